package modelfile

import (
	"fmt"
	"io"

	"teller/transformer/gguf"
	"teller/transformer/weights"
)

// fileTypes is how general.file_type numbers what most tensors are.
var fileTypes = map[gguf.Type]uint32{gguf.F32: 0, gguf.F16: 1, gguf.Q8_0: 7, gguf.BF16: 32}

// WriteGGUF writes the model as a GGUF file of the architecture "llama", which llama.cpp loads: matrices as t, which is F32, F16, BF16 or
// Q8_0, norms as F32. Q8_0 leaves matrices whose rows are not whole blocks at F16. A bag of n-grams has no place in such a file
// and is left out.
func (m *Model) WriteGGUF(w io.Writer, t gguf.Type) error {
	fileType, ok := fileTypes[t]
	if !ok {
		return fmt.Errorf("%v cannot be written", t)
	}
	entries, err := m.metadata(fileType)
	if err != nil {
		return err
	}
	metadata, err := gguf.NewMetadata(entries)
	if err != nil {
		return err
	}
	return gguf.Write(w, metadata, m.pending(t))
}

func (m *Model) metadata(fileType uint32) ([]gguf.KV, error) {
	a := m.Weights.Architecture
	entries := []gguf.KV{
		{Key: "general.architecture", Value: "llama"},
		{Key: "general.type", Value: "model"},
		{Key: keyName, Value: m.Name},
		{Key: "general.file_type", Value: fileType},
		{Key: "general.quantization_version", Value: uint32(2)},
	}
	for _, n := range []struct {
		key   string
		value int
	}{
		{"vocab_size", a.Vocab},
		{"context_length", a.Context},
		{"embedding_length", a.Hidden},
		{"block_count", a.NumLayers},
		{"feed_forward_length", a.Intermediate},
		{"attention.head_count", a.Heads},
		{"attention.head_count_kv", a.KVHeads},
		{"attention.key_length", a.HeadDim},
		{"attention.value_length", a.HeadDim},
		{"rope.dimension_count", a.HeadDim},
	} {
		entries = append(entries, gguf.KV{Key: "llama." + n.key, Value: uint32(n.value)})
	}
	entries = append(entries,
		gguf.KV{Key: "llama.attention.layer_norm_rms_epsilon", Value: float32(a.RMSEps)},
		gguf.KV{Key: "llama.rope.freq_base", Value: float32(a.Rope.Theta)})
	if a.Rope.Factor != 1 {
		entries = append(entries,
			gguf.KV{Key: "llama.rope.scaling.type", Value: "linear"},
			gguf.KV{Key: "llama.rope.scaling.factor", Value: float32(a.Rope.Factor)})
	}
	tokenizer, err := m.Tokenizer.Metadata(a.Vocab)
	if err != nil {
		return nil, err
	}
	entries = append(entries, tokenizer...)
	if m.Template != nil {
		entries = append(entries, gguf.KV{Key: keyTemplate, Value: m.Template.Source()})
	}
	return entries, nil
}

// pending lists the tensors under the names that llama.cpp looks for.
func (m *Model) pending(t gguf.Type) []gguf.Pending {
	w := m.Weights
	var out []gguf.Pending
	add := func(name string, from weights.Tensor, to gguf.Type, row func(int) int) {
		if numbers, _ := to.Layout(); from.Shape[len(from.Shape)-1]%numbers != 0 {
			to = gguf.F16
		}
		out = append(out, gguf.Pending{Name: name, Type: to, Shape: from.Shape, Data: func() ([]byte, error) { return convert(from, to, row) }})
	}
	same := func(row int) int { return row }
	add("token_embd.weight", w.Embedding, t, same)
	add("output_norm.weight", w.Norm, gguf.F32, same)
	if !w.TiedHead {
		add("output.weight", w.Head, t, same)
	}
	if divisors := w.RopeDivisors(); divisors != nil {
		out = append(out, gguf.Pending{
			Name: "rope_freqs.weight", Type: gguf.F32, Shape: []int{len(divisors)},
			Data: func() ([]byte, error) { return gguf.Encode(gguf.F32, nil, divisors) },
		})
	}
	for i, l := range w.Layers {
		name := func(part string) string { return fmt.Sprintf("blk.%d.%s.weight", i, part) }
		add(name("attn_norm"), l.InputNorm, gguf.F32, same)
		add(name("attn_q"), l.Q, t, w.NeighboursRow)
		add(name("attn_k"), l.K, t, w.NeighboursRow)
		add(name("attn_v"), l.V, t, same)
		add(name("attn_output"), l.O, t, same)
		add(name("ffn_norm"), l.PostNorm, gguf.F32, same)
		add(name("ffn_gate"), l.Gate, t, same)
		add(name("ffn_up"), l.Up, t, same)
		add(name("ffn_down"), l.Down, t, same)
	}
	return out
}

// convert gives a tensor's bytes in another format, whose row i is row(i) of the tensor.
func convert(from weights.Tensor, to gguf.Type, row func(int) int) ([]byte, error) {
	size, err := to.Size(from.Shape)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, size)
	values := make([]float32, from.Shape[len(from.Shape)-1])
	for i := range from.Rows() {
		data := from.Row(row(i))
		if from.Type == to {
			out = append(out, data...)
			continue
		}
		gguf.Decode(from.Type, values, data)
		if out, err = gguf.Encode(to, out, values); err != nil {
			return nil, fmt.Errorf("row %d: %w", i, err)
		}
	}
	return out, nil
}
