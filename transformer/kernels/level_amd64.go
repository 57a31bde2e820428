package kernels

import "golang.org/x/sys/cpu"

// supported lists the levels that this processor has, the fastest last.
func supported() []Level {
	x := &cpu.X86
	levels := []Level{Plain}
	if !x.HasAVX2 || !x.HasFMA || !x.HasF16C || !x.HasBMI2 {
		return levels
	}
	levels = append(levels, AVX2)
	if x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL && x.HasAVX512VNNI {
		levels = append(levels, AVX512)
	}
	return levels
}
