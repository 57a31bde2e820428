//go:build !amd64

package kernels

import "unsafe"

func matVecQ(format Format, w []byte, scales []uint16, x []quantGroup, groups, panels int, out []float32, add bool) {
	for p := range panels {
		panelPlain(format, w[p*groups*format.groupBytes():], scales[p*groups*panelRows:], x, 1, groups, out[p*panelRows:], add)
	}
}

func matMulQ(format Format, w []byte, scales []uint16, x []quantGroup, xStep, groups, n int, out []float32, outStep int, add bool) {
	for i := range n {
		panelPlain(format, w, scales, x[i:], xStep, groups, out[i*outStep:], add)
	}
}

func quantize(to []quantGroup, step int, x []float32) { quantizePlain(to, step, x) }

func tileOnce(format Format, rows, depth int, a *float32, aRow, aStep int, b unsafe.Pointer, bStep, cols int, c *float32, cRow int, alpha, beta float32) int {
	tilePlain(format, rows, depth, a, aRow, aStep, b, bStep, cols, c, cRow, alpha, beta)
	return rows
}

func wide(Format, int, *float32, int, unsafe.Pointer, unsafe.Pointer, int, int, *float32, float32, float32) (ok bool) {
	return false
}

func pause(n int) {
	for range n {
	}
}
