package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGemmAgreesWithFloat64(t *testing.T) {
	pool := NewPool(2)
	defer pool.Close()
	onEachLevel(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(1, 2))
		random := func(n int) []float32 {
			v := guarded[float32](t, n)
			copy(v, randomFloats(rng, n))
			return v
		}
		for _, size := range [][3]int{{1, 1, 1}, {12, 32, 4}, {13, 33, 5}, {11, 31, 257}, {5, 40, 300}, {61, 67, 30}, {3, 3, 0}, {0, 3, 3}} {
			m, n, k := size[0], size[1], size[2]
			for _, trans := range [][2]bool{{false, false}, {false, true}, {true, false}, {true, true}} {
				for _, scale := range [][2]float32{{1, 0}, {0.5, 1}, {-2, 0.25}, {0, 2}} {
					t.Run(fmt.Sprint(size, trans, scale), func(t *testing.T) {
						const gap = 3 // rows further apart than they are long
						lda, ldb, ldc := k+gap, n+gap, n+gap
						rowsA, rowsB := m, k
						if trans[0] {
							lda, rowsA = m+gap, k
						}
						if trans[1] {
							ldb, rowsB = k+gap, n
						}
						a, b, c := random(max(0, rowsA*lda-gap)), random(max(0, rowsB*ldb-gap)), random(max(0, m*ldc-gap))
						if scale[1] == 0 && len(c) > 0 {
							c[0] = float32(math.NaN())
						}
						at := func(x []float32, ld int, trans bool, i, j int) float64 {
							if trans {
								i, j = j, i
							}
							return float64(x[i*ld+j])
						}
						want := make([]float64, len(c))
						for i := range c {
							want[i] = float64(c[i])
						}
						for i := range m {
							for j := range n {
								var sum float64
								for p := range k {
									sum += at(a, lda, trans[0], i, p) * at(b, ldb, trans[1], p, j)
								}
								want[i*ldc+j] = float64(scale[0]) * sum
								if scale[1] != 0 {
									want[i*ldc+j] += float64(scale[1]) * float64(c[i*ldc+j])
								}
							}
						}
						Gemm(pool, trans[0], trans[1], m, n, k, scale[0], a, lda, b, ldb, scale[1], c, ldc)
						for i := range c {
							if !(math.Abs(want[i]-float64(c[i])) <= 2e-6*float64(k)+1e-5) {
								require.InDelta(t, want[i], c[i], 2e-6*float64(k)+1e-5, "at %d", i)
							}
						}
					})
				}
			}
		}
	})
}

func TestGemmIsTheSameOnOneThread(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const m, n, k = 301, 130, 300
	a, b := randomFloats(rng, m*k), randomFloats(rng, k*n)
	one, all := make([]float32, m*n), make([]float32, m*n)
	pool := NewPool(3)
	defer pool.Close()
	Gemm(nil, false, false, m, n, k, 1, a, k, b, n, 0, one, n)
	Gemm(pool, false, false, m, n, k, 1, a, k, b, n, 0, all, n)
	require.Equal(t, one, all)
}

func BenchmarkGemm(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	const m, n, k = 2048, 512, 160
	x, w, y := randomFloats(rng, m*k), randomFloats(rng, n*k), make([]float32, m*n)
	for threads := 1; threads <= 2; threads++ {
		b.Run(fmt.Sprintf("threads=%d", threads), func(b *testing.B) {
			pool := NewPool(threads)
			defer pool.Close()
			for b.Loop() {
				Gemm(pool, false, true, m, n, k, 1, x, k, w, k, 0, y, n)
			}
			b.ReportMetric(2*m*n*k*float64(b.N)/1e9/b.Elapsed().Seconds(), "GFLOP/s")
		})
	}
}
