package transformer

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"teller/transformer/gguf"
	"teller/transformer/kernels"
	"teller/transformer/llama"
	"teller/transformer/safetensors"
	"teller/transformer/weights"
)

// Model is a model's weights with what the engine must know of them: read-only once made, shared by any number of engines and States.
type Model struct {
	net  *llama.Model
	stop []int // tokens that end a reply

	ngrams     *Ngrams // nil without n-grams
	ngramTable []float32
	ngramsProj *kernels.Matrix // (hidden, dim)

	tokenizer *Tokenizer // what Attach gave: n-grams and labels need it
	markers   dialogueMarkers
}

// NewModel makes a model of tensors, which must be exactly those of cfg.Tensors, in any order. It refuses
// missing, extra and misshapen tensors by name, and values that are not finite. Weights and cache are as exact as the tensors.
func NewModel(cfg Config, tensors []safetensors.Tensor) (*Model, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if err := checkTensors(cfg, tensors); err != nil {
		return nil, err
	}
	byName := make(map[string]weights.Tensor, len(tensors))
	for _, t := range tensors {
		kind := map[safetensors.DType]gguf.Type{safetensors.F32: gguf.F32, safetensors.F16: gguf.F16, safetensors.BF16: gguf.BF16}[t.DType]
		tensor := weights.Tensor{Name: t.Name, Type: kind, Shape: t.Shape, Data: t.Data}
		if err := tensor.CheckFinite(); err != nil {
			return nil, fmt.Errorf("weights: %w", err)
		}
		byName[t.Name] = tensor
	}
	w, err := cfg.weights(byName)
	if err != nil {
		return nil, err
	}
	return OpenModel(w, []int{cfg.EOSTokenID}, llama.Options{ExactCache: true})
}

// OpenModel makes a model of weights that were opened from files, which it packs: they are not needed afterwards. stop are the tokens
// that end a reply, which are no part of it.
func OpenModel(w *weights.Model, stop []int, o llama.Options) (*Model, error) {
	for _, id := range stop {
		if id < 0 || id >= w.Vocab {
			return nil, fmt.Errorf("token %d, which ends replies, is outside the vocabulary of %d", id, w.Vocab)
		}
	}
	net, err := llama.New(w, o)
	if err != nil {
		return nil, err
	}
	m := &Model{net: net, stop: slices.Clone(stop)}
	if w.Ngrams != nil {
		if err := m.setNgrams(w.Ngrams); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// setNgrams reads the bag of n-grams.
func (m *Model) setNgrams(n *weights.Ngrams) error {
	m.ngrams = &Ngrams{}
	if err := json.Unmarshal(n.Config, m.ngrams); err != nil {
		return fmt.Errorf("config: ngrams: %w", err)
	}
	if err := m.ngrams.validate(); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	if want := []int{m.ngrams.Rows, m.ngrams.Dim}; !slices.Equal(n.Table.Shape, want) {
		return fmt.Errorf("weights: tensor %q is %v, must be %v", n.Table.Name, n.Table.Shape, want)
	}
	m.ngramTable = n.Table.Float32s()
	m.ngramsProj = kernels.NewMatrix(kernels.F32, m.net.Hidden, m.ngrams.Dim)
	return m.ngramsProj.SetFloats(0, n.Projection.Float32s())
}

// weights describes a model of ours as package weights does.
func (c Config) weights(tensors map[string]weights.Tensor) (*weights.Model, error) {
	m := &weights.Model{
		Architecture: weights.Architecture{
			Vocab: c.VocabSize, Hidden: c.HiddenSize, Intermediate: c.IntermediateSize, NumLayers: c.NumHiddenLayers,
			Heads: c.NumAttentionHeads, KVHeads: c.NumKeyValueHeads, HeadDim: c.HeadDim, Context: c.MaxPositionEmbeddings, RMSEps: c.RMSNormEps,
			Rope: weights.Rope{Pairing: weights.Halves, Theta: c.RopeTheta, Factor: 1}, TiedHead: true,
		},
		Embedding: tensors["model.embed_tokens.weight"], Head: tensors["model.embed_tokens.weight"], Norm: tensors["model.norm.weight"],
	}
	for i := range c.NumHiddenLayers {
		part := func(name string) weights.Tensor { return tensors[layerTensor(i, name)] }
		m.Layers = append(m.Layers, weights.Layer{
			InputNorm: part("input_layernorm"),
			Q:         part("self_attn.q_proj"),
			K:         part("self_attn.k_proj"),
			V:         part("self_attn.v_proj"),
			O:         part("self_attn.o_proj"),
			PostNorm:  part("post_attention_layernorm"),
			Gate:      part("mlp.gate_proj"),
			Up:        part("mlp.up_proj"),
			Down:      part("mlp.down_proj"),
		})
	}
	if c.Ngrams != nil {
		config, err := json.Marshal(c.Ngrams)
		if err != nil {
			return nil, err
		}
		m.Ngrams = &weights.Ngrams{Config: config, Table: tensors[ngramTable], Projection: tensors[ngramProjection]}
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

// Window is how many tokens the model was made for, prompt and reply together.
func (m *Model) Window() int { return m.net.Context }

// Vocab is the number of tokens.
func (m *Model) Vocab() int { return m.net.Vocab }

// CacheBytes is the memory of the keys and values of so many tokens.
func (m *Model) CacheBytes(tokens int) int { return llama.PagesOf(tokens) * m.net.PageBytes() }

// Format names how most of the weights are kept: F32, F16, BF16, Q8 or Q4.
func (m *Model) Format() string { return m.net.Format().String() }

// Attach tells the model which tokens its ids stand for. A model with n-grams reads the last question's text through them, and one with
// labels names its intent before it replies; without a tokenizer it does neither. Call it before the model is used.
func (m *Model) Attach(t *Tokenizer) error {
	markers, err := t.dialogueMarkers()
	if err != nil {
		return err
	}
	if t.VocabSize() != m.Vocab() {
		return fmt.Errorf("the tokenizer has %d tokens, the model %d", t.VocabSize(), m.Vocab())
	}
	m.tokenizer, m.markers = t, markers
	return nil
}

// textTokens is how many tokens texts are made of; labels come after them.
func (m *Model) textTokens() int {
	if m.tokenizer == nil {
		return m.Vocab()
	}
	return m.tokenizer.textTokens
}

// labelsAfter gives the labels one of which comes before the reply to prompt.
func (m *Model) labelsAfter(prompt []int) (LabelSet, bool) {
	n := len(prompt)
	if m.tokenizer == nil || n == 0 || n == m.Window() || prompt[n-1] != m.markers.role[RoleAssistant] {
		return LabelSet{}, false
	}
	return m.tokenizer.LabelSet(TellerNamespace)
}

// appendExtras adds to extras what belongs to tokens [from, to) of a sequence besides their embeddings: the bags of n-grams.
func (m *Model) appendExtras(extras []llama.Extra, piece int, tokens []int, from, to int) []llama.Extra {
	if m.ngrams == nil || m.tokenizer == nil {
		return extras
	}
	for t := from; t < to; t++ {
		if tokens[t] != m.markers.role[RoleAssistant] {
			continue
		}
		if bag := m.bag(tokens[:t]); bag != nil {
			extras = append(extras, llama.Extra{Piece: piece, Token: t - from, Vector: bag})
		}
	}
	return extras
}

// bag gives what the n-grams of the user's message that before ends with add to the embedding (hidden) of the marker after it; nil when
// there is no such message.
func (m *Model) bag(before []int) []float32 {
	features := m.ngrams.Features(m.tokenizer.question(m.markers, before))
	if len(features) == 0 {
		return nil
	}
	dim := m.ngrams.Dim
	sum := make([]float32, dim)
	for _, row := range features {
		kernels.Add(sum, m.ngramTable[int(row)*dim:][:dim])
	}
	scale := float32(1 / math.Sqrt(float64(len(features))))
	for i := range sum {
		sum[i] *= scale
	}
	out := make([]float32, m.net.Hidden)
	var in kernels.Input
	in.Reset(kernels.F32, 1, dim)
	in.Set(0, sum)
	kernels.Multiply(nil, &in, kernels.Product{W: m.ngramsProj, Out: out})
	return out
}
