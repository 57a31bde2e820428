package llama

import (
	"fmt"

	"teller/transformer/kernels"
	"teller/transformer/weights"
)

// Model is weights packed for package kernels. It is read-only and shared by any number of CPUs.
type Model struct {
	weights.Architecture

	embed  *kernels.Matrix // (vocab, hidden)
	layers []layer
	norm   []float32       // (hidden)
	head   *kernels.Matrix // (vocab, hidden); embed itself when the head is tied

	frequencies []float64 // (headDim/2), RoPE's radians per position
	cache       kernels.Format
}

// layer is the weights of one decoder layer. qSize is Heads*HeadDim, kvSize KVHeads*HeadDim. The rows of q and k stand in the order in
// which RoPE turns element i of a head with element i+HeadDim/2.
type layer struct {
	inputNorm []float32       // (hidden)
	q         *kernels.Matrix // (qSize, hidden)
	k, v      *kernels.Matrix // (kvSize, hidden)
	o         *kernels.Matrix // (hidden, qSize)
	postNorm  []float32       // (hidden)
	gate, up  *kernels.Matrix // (intermediate, hidden)
	down      *kernels.Matrix // (hidden, intermediate)
}

// Options say how weights are kept.
type Options struct {
	// Quantise keeps matrices of floats as eight-bit integers in groups of 32, as GGUF's Q8_0 has them: a quarter of float32's memory, and
	// the faster for it.
	Quantise bool
	// ExactCache keeps keys and values as float32 rather than float16.
	ExactCache bool
}

// New packs the weights. Matrices keep the format of their file unless Options say otherwise. w is not needed afterwards.
func New(w *weights.Model, o Options) (*Model, error) {
	p := packer{model: w, quantise: o.Quantise}
	m := &Model{Architecture: w.Architecture, frequencies: w.Frequencies(), cache: kernels.F16}
	if o.ExactCache {
		m.cache = kernels.F32
	}
	p.one(&m.embed, w.Embedding)
	m.layers = make([]layer, len(w.Layers))
	for i := range w.Layers {
		from, to := &w.Layers[i], &m.layers[i]
		to.inputNorm, to.postNorm = p.vector(from.InputNorm), p.vector(from.PostNorm)
		p.together(target{&to.q, from.Q, w.HalvesRow}, target{&to.k, from.K, w.HalvesRow}, target{&to.v, from.V, nil})
		p.one(&to.o, from.O)
		p.together(target{&to.gate, from.Gate, nil}, target{&to.up, from.Up, nil})
		p.one(&to.down, from.Down)
	}
	m.norm = p.vector(w.Norm)
	if m.head = m.embed; !w.TiedHead {
		p.one(&m.head, w.Head)
	}
	if p.err != nil {
		return nil, fmt.Errorf("weights: %w", p.err)
	}
	return m, nil
}

// Bytes is the memory that the matrices take.
func (m *Model) Bytes() int {
	n := m.embed.Bytes()
	for i := range m.layers {
		for _, w := range m.layers[i].matrices() {
			n += w.Bytes()
		}
	}
	if m.head != m.embed {
		n += m.head.Bytes()
	}
	return n
}

func (l *layer) matrices() []*kernels.Matrix {
	return []*kernels.Matrix{l.q, l.k, l.v, l.o, l.gate, l.up, l.down}
}

// Format tells how most of the weights are kept.
func (m *Model) Format() kernels.Format { return m.layers[0].gate.Format }

// PageBytes is the memory of one page of the cache: the keys and values of PageTokens tokens in all layers.
func (m *Model) PageBytes() int {
	size := 2
	if m.cache == kernels.F32 {
		size = 4
	}
	c := kernels.Cache{HeadDim: m.HeadDim, PageTokens: PageTokens}
	return size * m.NumLayers * m.KVHeads * (c.KeyLen() + c.ValueLen())
}

// Parameters is the number of weights in matrices; a tied head counts once.
func (m *Model) Parameters() int {
	a := m.Architecture
	n := a.Vocab*a.Hidden + a.NumLayers*(2*(a.Heads+a.KVHeads)*a.HeadDim+3*a.Intermediate)*a.Hidden
	if !a.TiedHead {
		n += a.Vocab * a.Hidden
	}
	return n
}
