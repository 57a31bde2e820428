package llama

import (
	"fmt"

	"teller/transformer/kernels"
	"teller/transformer/weights"
)

// Model is weights packed for package kernels. It is read-only and shared by any number of devices.
type Model struct {
	weights.Architecture

	Embed  *kernels.Matrix // (vocab, hidden)
	Layers []Layer
	Norm   []float32       // (hidden)
	Head   *kernels.Matrix // (vocab, hidden); Embed itself when the head is tied

	frequencies []float64 // (headDim/2), RoPE's radians per position
	cache       kernels.Format
}

// Layer is the weights of one decoder layer. qSize is Heads*HeadDim, kvSize KVHeads*HeadDim. The rows of Q and K stand in the order in
// which RoPE turns element i of a head with element i+HeadDim/2.
type Layer struct {
	InputNorm []float32       // (hidden)
	Q         *kernels.Matrix // (qSize, hidden)
	K, V      *kernels.Matrix // (kvSize, hidden)
	O         *kernels.Matrix // (hidden, qSize)
	PostNorm  []float32       // (hidden)
	Gate, Up  *kernels.Matrix // (intermediate, hidden)
	Down      *kernels.Matrix // (hidden, intermediate)
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
	p.one(&m.Embed, w.Embedding)
	m.Layers = make([]Layer, len(w.Layers))
	for i := range w.Layers {
		from, to := &w.Layers[i], &m.Layers[i]
		to.InputNorm, to.PostNorm = p.vector(from.InputNorm), p.vector(from.PostNorm)
		p.together(target{&to.Q, from.Q, w.HalvesRow}, target{&to.K, from.K, w.HalvesRow}, target{&to.V, from.V, nil})
		p.one(&to.O, from.O)
		p.together(target{&to.Gate, from.Gate, nil}, target{&to.Up, from.Up, nil})
		p.one(&to.Down, from.Down)
	}
	m.Norm = p.vector(w.Norm)
	if m.Head = m.Embed; !w.TiedHead {
		p.one(&m.Head, w.Head)
	}
	if p.err != nil {
		return nil, fmt.Errorf("weights: %w", p.err)
	}
	return m, nil
}

// Bytes is the memory that the matrices take.
func (m *Model) Bytes() int {
	n := 0
	for _, w := range m.Matrices() {
		n += w.Bytes()
	}
	return n
}

// Matrices are all of the model's, each once: a tied head is the embedding.
func (m *Model) Matrices() []*kernels.Matrix {
	all := []*kernels.Matrix{m.Embed}
	if m.Head != m.Embed {
		all = append(all, m.Head)
	}
	for i := range m.Layers {
		l := &m.Layers[i]
		all = append(all, l.Q, l.K, l.V, l.O, l.Gate, l.Up, l.Down)
	}
	return all
}

// Format tells how most of the weights are kept.
func (m *Model) Format() kernels.Format { return m.Layers[0].Gate.Format }

// ExactCache tells whether keys and values are kept as float32 rather than float16.
func (m *Model) ExactCache() bool { return m.cache == kernels.F32 }

// PageBytes is the memory of one page of the cache: the keys and values of PageTokens tokens in all layers.
func (m *Model) PageBytes() int {
	size := 2
	if m.ExactCache() {
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
