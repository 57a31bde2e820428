package transformer

import (
	"fmt"
	"math"
	"slices"

	"teller/transformer/safetensors"
)

// Model is a model's weights: read-only once made, shared by any number of States. Matrices are row-major
// (out, in), so that each output is one contiguous dot product.
type Model struct {
	config Config
	embed  []float32 // (vocab, hidden); also the head
	layers []layer
	norm   []float32 // (hidden)

	ngrams     []float32 // (rows, dim); nil without n-grams
	ngramsProj []float32 // (hidden, dim)

	tokenizer *Tokenizer // what Attach gave: n-grams and labels need it
	markers   dialogueMarkers
}

// layer is the weights of one decoder layer. qSize is NumAttentionHeads*HeadDim, kvSize NumKeyValueHeads*HeadDim.
type layer struct {
	inputNorm []float32 // (hidden)
	q         []float32 // (qSize, hidden)
	k, v      []float32 // (kvSize, hidden)
	o         []float32 // (hidden, qSize)
	postNorm  []float32 // (hidden)
	gate, up  []float32 // (intermediate, hidden)
	down      []float32 // (hidden, intermediate)
}

// NewModel makes a model of tensors, which must be exactly those of cfg.Tensors, in any order. It refuses
// missing, extra and misshapen tensors by name, and values that are not finite.
func NewModel(cfg Config, tensors []safetensors.Tensor) (*Model, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := checkTensors(cfg, tensors); err != nil {
		return nil, err
	}
	values := make(map[string][]float32, len(tensors))
	for _, t := range tensors {
		v := t.Float32s()
		for i, x := range v {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				return nil, fmt.Errorf("weights: tensor %q holds %v at %d", t.Name, x, i)
			}
		}
		values[t.Name] = v
	}
	m := &Model{config: cfg, embed: values["model.embed_tokens.weight"], norm: values["model.norm.weight"],
		ngrams: values[ngramTable], ngramsProj: values[ngramProjection]}
	for i := range cfg.NumHiddenLayers {
		part := func(name string) []float32 { return values[layerTensor(i, name)] }
		m.layers = append(m.layers, layer{
			inputNorm: part("input_layernorm"),
			q:         part("self_attn.q_proj"),
			k:         part("self_attn.k_proj"),
			v:         part("self_attn.v_proj"),
			o:         part("self_attn.o_proj"),
			postNorm:  part("post_attention_layernorm"),
			gate:      part("mlp.gate_proj"),
			up:        part("mlp.up_proj"),
			down:      part("mlp.down_proj"),
		})
	}
	return m, nil
}

// checkTensors compares names and shapes with what cfg asks for.
func checkTensors(cfg Config, tensors []safetensors.Tensor) error {
	shapes := make(map[string][]int, len(tensors))
	for _, t := range tensors {
		if _, twice := shapes[t.Name]; twice {
			return fmt.Errorf("weights: tensor %q occurs twice", t.Name)
		}
		shapes[t.Name] = t.Shape
	}
	for _, want := range cfg.Tensors() {
		shape, ok := shapes[want.Name]
		if !ok {
			return fmt.Errorf("weights: tensor %q is missing", want.Name)
		}
		if !slices.Equal(shape, want.Shape) {
			return fmt.Errorf("weights: tensor %q is %v, must be %v", want.Name, shape, want.Shape)
		}
		delete(shapes, want.Name)
	}
	for _, t := range tensors {
		if _, extra := shapes[t.Name]; extra {
			return fmt.Errorf("weights: tensor %q is not part of this architecture", t.Name)
		}
	}
	return nil
}

// Config gives the model's architecture.
func (m *Model) Config() Config { return m.config }

// Attach tells the model which tokens its ids stand for. A model with n-grams reads the last question's text through them, and one with
// labels names its intent before it replies; without a tokenizer it does neither. Call it before the model is used.
func (m *Model) Attach(t *Tokenizer) error {
	if err := matches(m.config, t); err != nil {
		return err
	}
	markers, err := t.dialogueMarkers()
	if err != nil {
		return err
	}
	m.tokenizer, m.markers = t, markers
	return nil
}

// textTokens is how many tokens texts are made of; labels come after them.
func (m *Model) textTokens() int {
	if m.tokenizer == nil {
		return m.config.VocabSize
	}
	return m.tokenizer.textTokens
}

// labelsAfter gives the labels one of which comes before the reply to prompt.
func (m *Model) labelsAfter(prompt []int) (LabelSet, bool) {
	n := len(prompt)
	if m.tokenizer == nil || n == 0 || n == m.config.MaxPositionEmbeddings || prompt[n-1] != m.markers.role[RoleAssistant] {
		return LabelSet{}, false
	}
	return m.tokenizer.LabelSet(TellerNamespace)
}
