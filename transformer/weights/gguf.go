package weights

import (
	"errors"
	"fmt"
	"strings"

	"teller/transformer/gguf"
)

var ggufNames = names{
	embedding: "token_embd.weight", norm: "output_norm.weight", head: "output.weight",
	inputNorm: "blk.%d.attn_norm.weight",
	q:         "blk.%d.attn_q.weight",
	k:         "blk.%d.attn_k.weight",
	v:         "blk.%d.attn_v.weight",
	o:         "blk.%d.attn_output.weight",
	postNorm:  "blk.%d.ffn_norm.weight",
	gate:      "blk.%d.ffn_gate.weight",
	up:        "blk.%d.ffn_up.weight",
	down:      "blk.%d.ffn_down.weight",
	ignored:   ignoredGGUF,
}

// ropeDivisors is the tensor with what divides RoPE's frequencies.
const ropeDivisors = "rope_freqs.weight"

// openGGUF describes a model of the architecture "llama".
func openGGUF(file mapped) (*Model, error) {
	f, err := gguf.Parse(file.data)
	if err != nil {
		return nil, err
	}
	m := &Model{GGUF: f, files: []mapped{file}}
	byName := make(map[string]Tensor, len(f.Tensors))
	for _, t := range f.Tensors {
		byName[t.Name] = t
	}
	if err := m.readGGUF(f, byName); err != nil {
		return nil, err
	}
	if err := m.validate(); err != nil {
		return nil, err
	}
	if err := m.place(ggufNames, f.Tensors); err != nil {
		return nil, err
	}
	return m, nil
}

// place assigns the tensors and checks their numbers.
func (m *Model) place(n names, tensors []Tensor) error {
	// Before room is made for the layers: a file cannot claim more of them than it has tensors.
	if m.NumLayers > len(tensors) {
		return fmt.Errorf("%d layers do not fit %d tensors", m.NumLayers, len(tensors))
	}
	specs := m.specs(n)
	if m.Ngrams != nil {
		specs = append(specs,
			spec{name: n.ngramTable, to: &m.Ngrams.Table},
			spec{name: n.ngramProjection, to: &m.Ngrams.Projection})
	}
	if err := assign(specs, tensors, n.ignored); err != nil {
		return err
	}
	if m.TiedHead {
		m.Head = m.Embedding
	}
	if m.Ngrams != nil {
		if err := m.Ngrams.validate(m.Hidden); err != nil {
			return err
		}
	}
	return m.checkFinite()
}

func (n Ngrams) validate(hidden int) error {
	table, projection := n.Table.Shape, n.Projection.Shape
	if len(table) != 2 || len(projection) != 2 || projection[0] != hidden || projection[1] != table[1] || table[0] < 1 || table[1] < 1 {
		return fmt.Errorf("the n-grams' tensors are %v and %v, must be (rows, dim) and (%d, dim)", table, projection, hidden)
	}
	return nil
}

// readGGUF reads the architecture out of the metadata.
func (m *Model) readGGUF(f *gguf.File, tensors map[string]Tensor) error {
	md := &keys{Metadata: f.Metadata}
	if name := md.text("general.architecture", ""); name != "llama" && md.err == nil {
		return fmt.Errorf("the architecture is %q, only llama is supported", name)
	}
	if n := md.int("split.count", 1); n > 1 {
		return errors.New("the file is one of several splits, which are not supported: merge them first")
	}
	if n := md.int("llama.expert_count", 0); n > 0 {
		return errors.New("a mixture of experts is not supported")
	}
	embedding, ok := tensors[ggufNames.embedding]
	if !ok || len(embedding.Shape) != 2 {
		return fmt.Errorf("tensor %q is missing or no matrix", ggufNames.embedding)
	}
	a := &m.Architecture
	a.Vocab = md.int("llama.vocab_size", embedding.Shape[0])
	a.Hidden = md.int("llama.embedding_length", 0)
	a.Intermediate = md.perLayer("llama.feed_forward_length", 0)
	a.NumLayers = md.int("llama.block_count", 0)
	a.Heads = md.perLayer("llama.attention.head_count", 0)
	a.KVHeads = md.perLayer("llama.attention.head_count_kv", a.Heads)
	a.Context = md.int("llama.context_length", 0)
	a.RMSEps = md.float("llama.attention.layer_norm_rms_epsilon", 0)
	if a.Heads > 0 {
		a.HeadDim = md.int("llama.attention.key_length", a.Hidden/a.Heads)
	}
	_, untied := tensors[ggufNames.head]
	a.TiedHead = !untied
	a.Rope = Rope{Pairing: Neighbours, Theta: md.float("llama.rope.freq_base", 10000), Factor: 1}
	valueLength, dimensions := md.int("llama.attention.value_length", a.HeadDim), md.int("llama.rope.dimension_count", a.HeadDim)
	switch kind := md.text("llama.rope.scaling.type", "none"); kind {
	case "none":
	case "linear":
		a.Rope.Factor = md.float("llama.rope.scaling.factor", 1)
	default:
		return fmt.Errorf("RoPE scaling %q is not supported, only linear and Llama 3.1's", kind)
	}
	if md.err != nil {
		return md.err
	}
	if valueLength != a.HeadDim || dimensions != a.HeadDim {
		return fmt.Errorf("keys of %d, values of %d and %d turned dimensions: only equal ones are supported", a.HeadDim, valueLength, dimensions)
	}
	if t, ok := tensors[ropeDivisors]; ok {
		if t.Type != gguf.F32 || len(t.Shape) != 1 || t.Shape[0] != a.HeadDim/2 {
			return fmt.Errorf("tensor %q is %v %v, must be F32 [%d]", ropeDivisors, t.Type, t.Shape, a.HeadDim/2)
		}
		a.Rope.Divisors = t.Float32s()
	}
	return nil
}

// keys reads metadata and keeps the first error.
type keys struct {
	*gguf.Metadata
	err error
}

func value[T any](k *keys, read func(string) (T, bool, error), key string, absent T) T {
	v, ok, err := read(key)
	if err != nil && k.err == nil {
		k.err = err
	}
	if !ok {
		return absent
	}
	return v
}

func (k *keys) int(key string, absent int) int { return value(k, k.Int, key, absent) }
func (k *keys) float(key string, absent float64) float64 {
	return float(value(k, k.Float, key, absent))
}
func (k *keys) text(key, absent string) string { return value(k, k.String, key, absent) }

// perLayer reads a number that a file may give for each layer; they must all be the same.
func (k *keys) perLayer(key string, absent int) int {
	v, _ := k.Get(key)
	switch v.(type) {
	case []int32, []uint32:
	default:
		return k.int(key, absent)
	}
	list := value(k, k.Ints, key, nil)
	for _, n := range list {
		if n != list[0] && k.err == nil {
			k.err = fmt.Errorf("key %q differs between layers, which is not supported", key)
		}
	}
	if len(list) == 0 {
		return 0
	}
	return list[0]
}

func ignoredGGUF(name string) bool {
	return name == ropeDivisors || strings.HasSuffix(name, ".rope_freqs.weight") || strings.HasSuffix(name, ".attn_rot_embd")
}
