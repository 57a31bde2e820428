package transformertest

import (
	"math"

	"teller/transformer/weights"
)

// Logits computes the logits (len(tokens), vocab) after each of tokens in float64, for the whole sequence at once and straight from the
// formulas, with no cache: slow, plain, and sharing no code with what it is compared to but the reading of files and RoPE's frequencies.
func Logits(m *weights.Model, tokens []int) [][]float64 {
	x := make([][]float64, len(tokens))
	embedding := matrix(m.Embedding)
	for t, id := range tokens {
		x[t] = append(x[t], embedding[id]...)
	}
	for _, l := range m.Layers {
		attention(m, l, x)
		gate, up, down, weight := matrix(l.Gate), matrix(l.Up), matrix(l.Down), vector(l.PostNorm)
		for t := range x {
			h := norm(x[t], weight, m.RMSEps)
			inner, right := linear(gate, h), linear(up, h)
			for j, v := range inner {
				inner[j] = v / (1 + math.Exp(-v)) * right[j]
			}
			accumulate(x[t], linear(down, inner))
		}
	}
	head, weight := matrix(m.Head), vector(m.Norm)
	out := make([][]float64, len(tokens))
	for t := range x {
		out[t] = linear(head, norm(x[t], weight, m.RMSEps))
	}
	return out
}

// attention adds a layer's attention to x (n, hidden).
func attention(m *weights.Model, l weights.Layer, x [][]float64) {
	wq, wk, wv, wo, weight := matrix(l.Q), matrix(l.K), matrix(l.V), matrix(l.O), vector(l.InputNorm)
	q, k, v := make([][]float64, len(x)), make([][]float64, len(x)), make([][]float64, len(x))
	for t := range x {
		h := norm(x[t], weight, m.RMSEps)
		q[t], k[t], v[t] = linear(wq, h), linear(wk, h), linear(wv, h)
		rotate(m, q[t], t)
		rotate(m, k[t], t)
	}
	for t := range x {
		gathered := make([]float64, len(q[t]))
		for h := range m.Heads {
			kv := h * m.KVHeads / m.Heads
			weight, total := make([]float64, t+1), 0.0
			for p := range weight {
				score := dot(q[t][h*m.HeadDim:(h+1)*m.HeadDim], k[p][kv*m.HeadDim:(kv+1)*m.HeadDim])
				weight[p] = math.Exp(score / math.Sqrt(float64(m.HeadDim)))
				total += weight[p]
			}
			for p := range weight {
				for d := range m.HeadDim {
					gathered[h*m.HeadDim+d] += weight[p] / total * v[p][kv*m.HeadDim+d]
				}
			}
		}
		accumulate(x[t], linear(wo, gathered))
	}
}

// rotate multiplies each of the complex numbers that two elements of a head are by e^(i*angle).
func rotate(m *weights.Model, x []float64, position int) {
	half := m.HeadDim / 2
	for h := 0; h < len(x); h += m.HeadDim {
		for i, frequency := range m.Frequencies() {
			re, im := h+i, h+i+half
			if m.Rope.Pairing == weights.Neighbours {
				re, im = h+2*i, h+2*i+1
			}
			angle := float64(position) * frequency
			turned := complex(x[re], x[im]) * complex(math.Cos(angle), math.Sin(angle))
			x[re], x[im] = real(turned), imag(turned)
		}
	}
}

func norm(x, weight []float64, eps float64) []float64 {
	scale := 1 / math.Sqrt(dot(x, x)/float64(len(x))+eps)
	y := make([]float64, len(x))
	for i := range x {
		y[i] = x[i] * scale * weight[i]
	}
	return y
}

func linear(w [][]float64, x []float64) []float64 {
	y := make([]float64, len(w))
	for i := range w {
		y[i] = dot(w[i], x)
	}
	return y
}

func dot(a, b []float64) (sum float64) {
	for i := range a {
		sum += a[i] * b[i]
	}
	return sum
}

func accumulate(x, y []float64) {
	for i := range x {
		x[i] += y[i]
	}
}

func vector(t weights.Tensor) []float64 {
	var out []float64
	for _, v := range t.Float32s() {
		out = append(out, float64(v))
	}
	return out
}

func matrix(t weights.Tensor) [][]float64 {
	all, cols := vector(t), t.Shape[1]
	out := make([][]float64, t.Shape[0])
	for i := range out {
		out[i] = all[i*cols:][:cols]
	}
	return out
}
