package kernels

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// Sizes of the layers of the 15M and the 110M models, and of the head of the latter, at different numbers of inputs. bytes/s count the
// weights, operations are additions and multiplications.
func BenchmarkMultiply(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, format := range formats {
		for _, size := range [][2]int{{288, 288}, {1536, 288}, {32000, 288}, {4096, 768}, {768, 2048}, {32000, 768}} {
			m := NewMatrix(format, size[0], size[1])
			if err := m.SetFloats(0, randomFloats(rng, size[0]*size[1])); err != nil {
				b.Fatal(err)
			}
			for _, n := range []int{1, 2, 4, 8, 16, 32, 128, 512} {
				var in Input
				in.Reset(format, n, size[1])
				for i := range n {
					in.Set(i, randomFloats(rng, size[1]))
				}
				out := make([]float32, n*size[0])
				for threads := 1; threads <= 2; threads++ {
					b.Run(fmt.Sprintf("%s/%dx%d/n=%d/threads=%d", format, size[0], size[1], n, threads), func(b *testing.B) {
						pool := NewPool(threads)
						defer pool.Close()
						for b.Loop() {
							Multiply(pool, &in, Product{W: m, Out: out, Step: size[0]})
						}
						b.ReportMetric(float64(m.Bytes())*float64(b.N)/1e9/b.Elapsed().Seconds(), "GB/s")
						b.ReportMetric(2*float64(n*size[0]*size[1])*float64(b.N)/1e9/b.Elapsed().Seconds(), "GOP/s")
					})
				}
			}
		}
	}
}
