package llama

import "math"

// Angles is the cosines and sines of RoPE for the positions so far asked for, (positions, headDim/2) each. They are computed in float64:
// a float32 has no room for both a large position and the fraction of a turn.
type Angles struct {
	frequencies []float64
	cos, sin    []float32
}

// NewAngles makes an empty table.
func NewAngles(m *Model) *Angles { return &Angles{frequencies: m.frequencies} }

// Reach makes the table cover positions below n. It doubles, so that a sequence that grows token by token seldom waits for it.
func (a *Angles) Reach(n int) {
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

// Of gives the cosines and sines of one position.
func (a *Angles) Of(position int) (cos, sin []float32) {
	half := len(a.frequencies)
	return a.cos[position*half:][:half], a.sin[position*half:][:half]
}
