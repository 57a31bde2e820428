package kernels

import (
	"fmt"
	"testing"
)

// The numbers that no kernel can pass on this machine.
func BenchmarkFloor(b *testing.B) {
	if level != AVX512 {
		b.Skip("the floors are measured with AVX-512")
	}
	for _, size := range []int{1 << 19, 8 << 20, 128 << 20} { // second-level cache, third-level cache, memory
		for threads := 1; threads <= 2; threads++ {
			b.Run(fmt.Sprintf("read/%dKiB/threads=%d", size>>10, threads), func(b *testing.B) {
				memory := aligned[byte](size)
				for i := range memory {
					memory[i] = 1
				}
				pool := NewPool(threads)
				defer pool.Close()
				const parts = 16
				read := func(_, i int) { readFloorAVX512(&memory[i*(size/parts)], size/parts/512) }
				for b.Loop() {
					pool.Run(parts, read)
				}
				b.ReportMetric(float64(size)*float64(b.N)/1e9/b.Elapsed().Seconds(), "GB/s")
			})
		}
	}
	b.Run("fma", func(b *testing.B) {
		for b.Loop() {
			fmaFloorAVX512(1000)
		}
		b.ReportMetric(1000*16*32*float64(b.N)/1e9/b.Elapsed().Seconds(), "GFLOP/s")
	})
	b.Run("vnni", func(b *testing.B) {
		for b.Loop() {
			dotFloorAVX512(1000)
		}
		b.ReportMetric(1000*16*128*float64(b.N)/1e9/b.Elapsed().Seconds(), "GOP/s")
	})
}
