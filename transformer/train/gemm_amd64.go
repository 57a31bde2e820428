package train

import "golang.org/x/sys/cpu"

// haveKernel tells whether kernel runs on this processor.
var haveKernel = cpu.X86.HasAVX512F

// kernel is C = alpha·Aᵀ·B + beta·C for a panel A (depth, tileRows), a panel B (depth, tileCols) and a tile C (tileRows, tileCols) whose
// rows are ldc floats apart, in AVX-512. depth is at least 1. It reads C only where beta is not 0.
//
//go:noescape
func kernel(depth int, a, b, c *float32, ldc int, alpha, beta float32)
