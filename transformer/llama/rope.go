package llama

import "math"

// angles is the cosines and sines of RoPE for the positions so far asked for, (positions, headDim/2) each.
type angles struct {
	frequencies []float64
	cos, sin    []float32
}

// reach makes the table cover positions below n. It doubles, so that a sequence that grows token by token seldom waits for it.
func (a *angles) reach(n int) {
	half := len(a.frequencies)
	have := len(a.cos) / half
	if n <= have {
		return
	}
	n = max(n, 2*have, 256)
	cos, sin := make([]float32, n*half), make([]float32, n*half)
	copy(cos, a.cos)
	copy(sin, a.sin)
	for position := have; position < n; position++ {
		for i, f := range a.frequencies {
			s, c := math.Sincos(float64(position) * f)
			cos[position*half+i], sin[position*half+i] = float32(c), float32(s)
		}
	}
	a.cos, a.sin = cos, sin
}

// of gives the cosines and sines of one position.
func (a *angles) of(position int) (cos, sin []float32) {
	half := len(a.frequencies)
	return a.cos[position*half:][:half], a.sin[position*half:][:half]
}
