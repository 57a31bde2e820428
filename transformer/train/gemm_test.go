package train

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"gonum.org/v1/gonum/blas/gonum"
)

func TestGemmAgreesWithFloat64(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	random := func(n int) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(rng.NormFloat64())
		}
		return v
	}
	for _, size := range [][3]int{{1, 1, 1}, {12, 32, 4}, {13, 33, 5}, {11, 31, 257}, {5, 70, 300}, {150, 131, 140}, {97, 40, 1000}} {
		m, n, k := size[0], size[1], size[2]
		for _, trans := range [][2]bool{{false, false}, {false, true}, {true, false}, {true, true}} {
			for _, scale := range [][2]float32{{1, 0}, {0.5, 1}, {-2, 0.25}} {
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
					a, b, c := random(rowsA*lda-gap), random(rowsB*ldb-gap), random(m*ldc-gap)
					if scale[1] == 0 {
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
					for name, product := range map[string]func(){
						"gemm": func() { gemm(trans[0], trans[1], m, n, k, scale[0], a, lda, b, ldb, scale[1], c, ldc) },
						"gonum": func() {
							gonum.Implementation{}.Sgemm(transpose(trans[0]), transpose(trans[1]), m, n, k, scale[0], a, lda, b, ldb, scale[1], c, ldc)
						},
					} {
						before := slices.Clone(c)
						product()
						for i := range c {
							if !(math.Abs(want[i]-float64(c[i])) <= 2e-6*float64(k)+1e-5) {
								require.InDelta(t, want[i], c[i], 2e-6*float64(k)+1e-5, "%s at %d", name, i)
							}
						}
						copy(c, before)
					}
				})
			}
		}
	}
}

func TestGemmIsTheSameOnOneCore(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const m, n, k = 301, 130, 300
	a, b := make([]float32, m*k), make([]float32, k*n)
	for i := range a {
		a[i] = rng.Float32()
	}
	for i := range b {
		b[i] = rng.Float32()
	}
	one, all := make([]float32, m*n), make([]float32, m*n)
	gemm(false, false, m, n, k, 1, a, k, b, n, 0, all, n)
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	gemm(false, false, m, n, k, 1, a, k, b, n, 0, one, n)
	require.Equal(t, one, all)
}

func BenchmarkGemm(b *testing.B) {
	const m, n, k = 2048, 512, 160
	x, w, y := make([]float32, m*k), make([]float32, n*k), make([]float32, m*n)
	start := cpuTime(b)
	for b.Loop() {
		gemm(false, true, m, n, k, 1, x, k, w, k, 0, y, n)
	}
	b.ReportMetric(2*m*n*k*float64(b.N)/1e9/(cpuTime(b)-start).Seconds(), "GFLOP/CPU-s")
}
