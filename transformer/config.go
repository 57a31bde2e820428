package transformer

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// Config describes a model's architecture, in the keys of Hugging Face's LlamaConfig (config.json).
// The two checksums are ours: they tie the weights and the tokenizer to one another.
type Config struct {
	Architectures         []string `json:"architectures"` // ["LlamaForCausalLM"]
	ModelType             string   `json:"model_type"`    // "llama"
	VocabSize             int      `json:"vocab_size"`
	HiddenSize            int      `json:"hidden_size"`
	IntermediateSize      int      `json:"intermediate_size"` // of the SwiGLU block
	NumHiddenLayers       int      `json:"num_hidden_layers"`
	NumAttentionHeads     int      `json:"num_attention_heads"`     // query heads
	NumKeyValueHeads      int      `json:"num_key_value_heads"`     // divides NumAttentionHeads
	HeadDim               int      `json:"head_dim"`                // even; 0 when read means HiddenSize/NumAttentionHeads
	MaxPositionEmbeddings int      `json:"max_position_embeddings"` // the window: prompt plus reply, in tokens
	RMSNormEps            float64  `json:"rms_norm_eps"`
	RopeTheta             float64  `json:"rope_theta"`
	TieWordEmbeddings     bool     `json:"tie_word_embeddings"` // must be true: the head is the embedding
	BOSTokenID            int      `json:"bos_token_id"`        // <|begin|>
	EOSTokenID            int      `json:"eos_token_id"`        // <|end|>

	// Ngrams is ours: nil is a plain Llama.
	Ngrams *Ngrams `json:"ngrams,omitempty"`

	WeightsSHA256   string `json:"weights_sha256,omitempty"`   // of model.safetensors, lower-case hex
	TokenizerSHA256 string `json:"tokenizer_sha256,omitempty"` // of tokenizer.json, lower-case hex
}

// Bounds on what Validate accepts, so that a hostile config.json cannot ask for absurd amounts of memory.
const (
	maxVocab      = 1 << 20
	maxWidth      = 1 << 17
	maxLayers     = 1 << 10
	maxHeads      = 1 << 10
	maxWindow     = 1 << 17
	maxParameters = 1 << 34
	maxCacheBytes = 1 << 34
)

// ParseConfig reads and validates a config.json. Keys that it does not know are ignored, as long as they
// do not change what the model computes: biases, another activation or a scaled RoPE are refused.
func ParseConfig(data []byte) (Config, error) {
	var file struct {
		Config
		HiddenAct      *string         `json:"hidden_act"`
		AttentionBias  bool            `json:"attention_bias"`
		MLPBias        bool            `json:"mlp_bias"`
		RopeScaling    json.RawMessage `json:"rope_scaling"`
		RopeParameters json.RawMessage `json:"rope_parameters"`
	}
	if err := json.Unmarshal(data, &file); err != nil {
		return Config{}, fmt.Errorf("config: %w", err)
	}
	switch {
	case file.HiddenAct != nil && *file.HiddenAct != "silu":
		return Config{}, fmt.Errorf("config: hidden_act %q is not supported, only silu", *file.HiddenAct)
	case file.AttentionBias || file.MLPBias:
		return Config{}, errors.New("config: attention_bias and mlp_bias are not supported")
	case present(file.RopeScaling), present(file.RopeParameters):
		return Config{}, errors.New("config: rope_scaling and rope_parameters are not supported")
	}
	c := file.Config
	if c.HeadDim == 0 && c.NumAttentionHeads > 0 {
		c.HeadDim = c.HiddenSize / c.NumAttentionHeads
	}
	return c, c.Validate()
}

func present(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// Validate tells what is wrong with c, naming the key.
func (c Config) Validate() error {
	if err := c.validate(); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	return nil
}

func (c Config) validate() error {
	if c.ModelType != "llama" || len(c.Architectures) != 1 || c.Architectures[0] != "LlamaForCausalLM" {
		return fmt.Errorf("model_type %q, architectures %q: only llama, LlamaForCausalLM is supported", c.ModelType, c.Architectures)
	}
	for _, f := range []struct {
		key        string
		value, max int
	}{
		{"vocab_size", c.VocabSize, maxVocab},
		{"hidden_size", c.HiddenSize, maxWidth},
		{"intermediate_size", c.IntermediateSize, maxWidth},
		{"num_hidden_layers", c.NumHiddenLayers, maxLayers},
		{"num_attention_heads", c.NumAttentionHeads, maxHeads},
		{"num_key_value_heads", c.NumKeyValueHeads, maxHeads},
		{"head_dim", c.HeadDim, maxWidth},
		{"max_position_embeddings", c.MaxPositionEmbeddings, maxWindow},
	} {
		if f.value < 1 || f.value > f.max {
			return fmt.Errorf("%s is %d, must be 1 to %d", f.key, f.value, f.max)
		}
	}
	switch {
	case c.NumAttentionHeads%c.NumKeyValueHeads != 0:
		return fmt.Errorf("num_attention_heads %d is not a multiple of num_key_value_heads %d", c.NumAttentionHeads, c.NumKeyValueHeads)
	case c.HeadDim%2 != 0:
		return fmt.Errorf("head_dim is %d, must be even", c.HeadDim)
	case !(c.RMSNormEps > 0 && c.RMSNormEps < 1):
		return fmt.Errorf("rms_norm_eps is %v, must be between 0 and 1", c.RMSNormEps)
	case !(c.RopeTheta >= 1 && c.RopeTheta <= math.MaxFloat32):
		return fmt.Errorf("rope_theta is %v, must be at least 1", c.RopeTheta)
	case !c.TieWordEmbeddings:
		return errors.New("tie_word_embeddings must be true")
	case c.BOSTokenID < 0 || c.BOSTokenID >= c.VocabSize:
		return fmt.Errorf("bos_token_id %d is outside the vocabulary", c.BOSTokenID)
	case c.EOSTokenID < 0 || c.EOSTokenID >= c.VocabSize:
		return fmt.Errorf("eos_token_id %d is outside the vocabulary", c.EOSTokenID)
	case c.Parameters() > maxParameters:
		return fmt.Errorf("%d parameters are over the bound of %d", c.Parameters(), maxParameters)
	case c.cacheBytes() > maxCacheBytes:
		return fmt.Errorf("a KV cache of %d bytes is over the bound of %d", c.cacheBytes(), maxCacheBytes)
	}
	if c.Ngrams != nil {
		return c.Ngrams.validate()
	}
	return nil
}

// TensorSpec is the name and the shape of one tensor of model.safetensors.
type TensorSpec struct {
	Name  string
	Shape []int
}

// Tensors lists every tensor of the model. Projection matrices are (out, in), as Hugging Face stores them.
func (c Config) Tensors() []TensorSpec {
	qSize, kvSize := c.NumAttentionHeads*c.HeadDim, c.NumKeyValueHeads*c.HeadDim
	specs := []TensorSpec{{"model.embed_tokens.weight", []int{c.VocabSize, c.HiddenSize}}}
	for i := range c.NumHiddenLayers {
		specs = append(specs,
			TensorSpec{layerTensor(i, "input_layernorm"), []int{c.HiddenSize}},
			TensorSpec{layerTensor(i, "self_attn.q_proj"), []int{qSize, c.HiddenSize}},
			TensorSpec{layerTensor(i, "self_attn.k_proj"), []int{kvSize, c.HiddenSize}},
			TensorSpec{layerTensor(i, "self_attn.v_proj"), []int{kvSize, c.HiddenSize}},
			TensorSpec{layerTensor(i, "self_attn.o_proj"), []int{c.HiddenSize, qSize}},
			TensorSpec{layerTensor(i, "post_attention_layernorm"), []int{c.HiddenSize}},
			TensorSpec{layerTensor(i, "mlp.gate_proj"), []int{c.IntermediateSize, c.HiddenSize}},
			TensorSpec{layerTensor(i, "mlp.up_proj"), []int{c.IntermediateSize, c.HiddenSize}},
			TensorSpec{layerTensor(i, "mlp.down_proj"), []int{c.HiddenSize, c.IntermediateSize}},
		)
	}
	specs = append(specs, TensorSpec{"model.norm.weight", []int{c.HiddenSize}})
	if n := c.Ngrams; n != nil {
		specs = append(specs,
			TensorSpec{ngramTable, []int{n.Rows, n.Dim}},
			TensorSpec{ngramProjection, []int{c.HiddenSize, n.Dim}},
		)
	}
	return specs
}

// The tensors of the n-grams, which are ours alone.
const (
	ngramTable      = "teller.ngrams.weight"
	ngramProjection = "teller.ngrams_proj.weight"
)

func layerTensor(layer int, part string) string {
	return fmt.Sprintf("model.layers.%d.%s.weight", layer, part)
}

// Parameters is the number of weights; the tied head counts once.
func (c Config) Parameters() int {
	attention := 2 * (c.NumAttentionHeads + c.NumKeyValueHeads) * c.HeadDim * c.HiddenSize
	block := attention + 3*c.IntermediateSize*c.HiddenSize + 2*c.HiddenSize
	extra := 0
	if n := c.Ngrams; n != nil {
		extra = (n.Rows + c.HiddenSize) * n.Dim
	}
	return c.VocabSize*c.HiddenSize + c.NumHiddenLayers*block + c.HiddenSize + extra
}

// cacheBytes is the size of one State's KV cache: keys and values, float32, for the whole window.
func (c Config) cacheBytes() int {
	return 2 * 4 * c.NumHiddenLayers * c.MaxPositionEmbeddings * c.NumKeyValueHeads * c.HeadDim
}
