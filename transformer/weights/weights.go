// Package weights describes a model of the Llama family: its architecture and its named tensors, the same whether they come from a
// Hugging Face folder (config.json and safetensors, in one file or in shards) or from a GGUF file. It computes nothing.
//
// Files are memory-mapped and checked before anything is handed out: names, shapes, types, bounds, and that every number, or every
// scale of quantised ones, is finite. Tensors are views into the mapped file; nothing is converted.
package weights

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"unsafe"

	"teller/transformer/gguf"
)

// Tensor is a view into a mapped file: F32, F16, BF16, Q8_0 or Q4_0. Its Shape is slowest first, a matrix is (out, in).
type Tensor = gguf.Tensor

// Pairing says which two numbers of a head RoPE turns together. Files differ in it: the rows of the query and key projections are in
// the matching order.
type Pairing int

// Hugging Face's files pair i with i + HeadDim/2, GGUF's pair 2i with 2i + 1; both turn pair i by the same angle.
const (
	Halves Pairing = iota
	Neighbours
)

// Architecture is what the forward pass needs to know beside the tensors.
type Architecture struct {
	Vocab        int
	Hidden       int
	Intermediate int // of the SwiGLU block
	NumLayers    int
	Heads        int // of the queries
	KVHeads      int // divides Heads: each key and value head serves Heads/KVHeads queries
	HeadDim      int // even
	Context      int // the window that the model was made for, in tokens
	RMSEps       float64
	Rope         Rope
	TiedHead     bool // Head is the Embedding
}

// Layer is the tensors of one decoder layer. qSize is Heads*HeadDim, kvSize KVHeads*HeadDim.
type Layer struct {
	InputNorm Tensor // (hidden)
	Q         Tensor // (qSize, hidden)
	K, V      Tensor // (kvSize, hidden)
	O         Tensor // (hidden, qSize)
	PostNorm  Tensor // (hidden)
	Gate, Up  Tensor // (intermediate, hidden)
	Down      Tensor // (hidden, intermediate)
}

// Model is a model's description and tensors. It is read-only and safe for concurrent use until Close.
type Model struct {
	Architecture
	Embedding Tensor // (vocab, hidden)
	Layers    []Layer
	Norm      Tensor // (hidden)
	Head      Tensor // (vocab, hidden); the Embedding when TiedHead

	// Ngrams is the bag of n-grams that our own models may have, nil elsewhere.
	Ngrams *Ngrams

	// GGUF is the parsed file that the model came from, nil for a Hugging Face folder.
	GGUF *gguf.File

	// SHA256 is the lower-case hex checksum that config.json gives of model.safetensors, empty where it gives none. It was checked.
	SHA256 string

	files []mapped
}

// Ngrams is the part of our own models that is no Llama's; transformer.Ngrams says what it means.
type Ngrams struct {
	Config     []byte // the JSON value of config.json's key "ngrams"
	Table      Tensor // (rows, dim)
	Projection Tensor // (hidden, dim)
}

// Close unmaps the files. No tensor's Data may be touched afterwards.
func (m *Model) Close() error {
	var errs []error
	for _, f := range m.files {
		errs = append(errs, f.close())
	}
	m.files = nil
	return errors.Join(errs...)
}

// Forget says that a tensor will not be read for a while: its part of the mapped file need not stay in memory.
func (m *Model) Forget(t Tensor) {
	if len(t.Data) == 0 {
		return
	}
	at := uintptr(unsafe.Pointer(unsafe.SliceData(t.Data)))
	for _, f := range m.files {
		from := uintptr(unsafe.Pointer(unsafe.SliceData(f.data)))
		if f.forget != nil && at >= from && at < from+uintptr(len(f.data)) { // not what was made in memory
			f.forget(t.Data)
		}
	}
}

// Parameters is the number of weights; a tied head counts once.
func (m *Model) Parameters() int {
	n := 0
	for _, t := range m.Tensors() {
		n += t.Len()
	}
	return n
}

// Bytes is how much of the files the tensors take.
func (m *Model) Bytes() int {
	n := 0
	for _, t := range m.Tensors() {
		n += len(t.Data)
	}
	return n
}

// Tensors lists every tensor once, under the name it has in its file.
func (m *Model) Tensors() []Tensor {
	all := []Tensor{m.Embedding}
	for _, l := range m.Layers {
		all = append(all, l.InputNorm, l.Q, l.K, l.V, l.O, l.PostNorm, l.Gate, l.Up, l.Down)
	}
	all = append(all, m.Norm)
	if !m.TiedHead {
		all = append(all, m.Head)
	}
	if m.Ngrams != nil {
		all = append(all, m.Ngrams.Table, m.Ngrams.Projection)
	}
	return all
}

// Bounds on what an architecture may ask for, so that a hostile file cannot ask for absurd amounts of memory.
const (
	maxVocab      = 1 << 20
	maxWidth      = 1 << 17
	maxLayers     = 1 << 10
	maxHeads      = 1 << 10
	maxContext    = 1 << 24
	maxParameters = 1 << 40
)

// validate names what is wrong in the words of the field.
func (a Architecture) validate() error {
	for _, f := range []struct {
		what       string
		value, max int
	}{
		{"the vocabulary", a.Vocab, maxVocab},
		{"the hidden size", a.Hidden, maxWidth},
		{"the intermediate size", a.Intermediate, maxWidth},
		{"the number of layers", a.NumLayers, maxLayers},
		{"the number of query heads", a.Heads, maxHeads},
		{"the number of key and value heads", a.KVHeads, maxHeads},
		{"the size of a head", a.HeadDim, maxWidth},
		{"the context", a.Context, maxContext},
	} {
		if f.value < 1 || f.value > f.max {
			return fmt.Errorf("%s is %d, must be 1 to %d", f.what, f.value, f.max)
		}
	}
	switch {
	case a.Heads%a.KVHeads != 0:
		return fmt.Errorf("%d query heads are not a multiple of %d key and value heads", a.Heads, a.KVHeads)
	case a.HeadDim%2 != 0:
		return fmt.Errorf("the size of a head is %d, must be even", a.HeadDim)
	case !(a.RMSEps > 0 && a.RMSEps < 1):
		return fmt.Errorf("the norms' epsilon is %v, must be between 0 and 1", a.RMSEps)
	}
	perLayer := 2*float64(a.Heads+a.KVHeads)*float64(a.HeadDim)*float64(a.Hidden) + 3*float64(a.Intermediate)*float64(a.Hidden)
	if n := float64(a.NumLayers)*perLayer + 2*float64(a.Vocab)*float64(a.Hidden); n > maxParameters {
		return fmt.Errorf("%.0f parameters are over the bound of %d", n, maxParameters)
	}
	return a.Rope.validate(a.HeadDim)
}

// spec is a tensor that an architecture needs.
type spec struct {
	name  string
	shape []int
	to    *Tensor
	norm  bool // a vector that llama.cpp's quantisers leave alone: F32, F16 or BF16
}

// names is what one file format calls the tensors; the layers' have a %d.
type names struct {
	embedding, norm, head                           string
	inputNorm, q, k, v, o, postNorm, gate, up, down string
	ngramTable, ngramProjection                     string
	ignored                                         func(name string) bool
}

// specs lists the tensors and where they go.
func (m *Model) specs(n names) []spec {
	a := m.Architecture
	qSize, kvSize := a.Heads*a.HeadDim, a.KVHeads*a.HeadDim
	m.Layers = make([]Layer, a.NumLayers)
	out := []spec{{n.embedding, []int{a.Vocab, a.Hidden}, &m.Embedding, false}}
	for i := range m.Layers {
		l := &m.Layers[i]
		at := func(name string) string { return fmt.Sprintf(name, i) }
		out = append(out,
			spec{at(n.inputNorm), []int{a.Hidden}, &l.InputNorm, true},
			spec{at(n.q), []int{qSize, a.Hidden}, &l.Q, false},
			spec{at(n.k), []int{kvSize, a.Hidden}, &l.K, false},
			spec{at(n.v), []int{kvSize, a.Hidden}, &l.V, false},
			spec{at(n.o), []int{a.Hidden, qSize}, &l.O, false},
			spec{at(n.postNorm), []int{a.Hidden}, &l.PostNorm, true},
			spec{at(n.gate), []int{a.Intermediate, a.Hidden}, &l.Gate, false},
			spec{at(n.up), []int{a.Intermediate, a.Hidden}, &l.Up, false},
			spec{at(n.down), []int{a.Hidden, a.Intermediate}, &l.Down, false},
		)
	}
	out = append(out, spec{n.norm, []int{a.Hidden}, &m.Norm, true})
	if !a.TiedHead {
		out = append(out, spec{n.head, []int{a.Vocab, a.Hidden}, &m.Head, false})
	}
	return out
}

// assign gives each spec its tensor. It refuses missing, extra and misshapen ones by name.
func assign(specs []spec, tensors []Tensor, ignored func(name string) bool) error {
	byName := make(map[string]Tensor, len(tensors))
	for _, t := range tensors {
		byName[t.Name] = t
	}
	for _, s := range specs {
		t, ok := byName[s.name]
		switch {
		case !ok:
			return fmt.Errorf("tensor %q is missing", s.name)
		case s.shape != nil && !slices.Equal(t.Shape, s.shape):
			return fmt.Errorf("tensor %q is %v, must be %v", s.name, t.Shape, s.shape)
		case s.norm && (t.Type == gguf.Q8_0 || t.Type == gguf.Q4_0):
			return fmt.Errorf("tensor %q is %v, a norm must be F32, F16 or BF16", s.name, t.Type)
		}
		*s.to = t
		delete(byName, s.name)
	}
	for _, t := range tensors {
		if _, extra := byName[t.Name]; extra && !ignored(t.Name) {
			hint := ""
			if strings.HasSuffix(t.Name, ".bias") {
				hint = ": biases are not supported"
			}
			return fmt.Errorf("tensor %q is not part of a Llama%s", t.Name, hint)
		}
	}
	return nil
}

// float gives a number of a file, or 0 for what is not finite, which validate refuses everywhere.
func float(v float64) float64 {
	if math.IsInf(v, 0) || math.IsNaN(v) {
		return 0
	}
	return v
}
