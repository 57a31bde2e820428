package weights

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"teller/transformer/gguf"
	"teller/transformer/safetensors"
)

// The files of a Hugging Face folder.
const (
	configFile  = "config.json"
	weightsFile = "model.safetensors"
	indexFile   = "model.safetensors.index.json"
)

// maxShards bounds how many files an index may name.
const maxShards = 1000

var huggingFaceNames = names{
	embedding: "model.embed_tokens.weight", norm: "model.norm.weight", head: "lm_head.weight",
	inputNorm: "model.layers.%d.input_layernorm.weight",
	q:         "model.layers.%d.self_attn.q_proj.weight",
	k:         "model.layers.%d.self_attn.k_proj.weight",
	v:         "model.layers.%d.self_attn.v_proj.weight",
	o:         "model.layers.%d.self_attn.o_proj.weight",
	postNorm:  "model.layers.%d.post_attention_layernorm.weight",
	gate:      "model.layers.%d.mlp.gate_proj.weight",
	up:        "model.layers.%d.mlp.up_proj.weight",
	down:      "model.layers.%d.mlp.down_proj.weight",

	ngramTable: "teller.ngrams.weight", ngramProjection: "teller.ngrams_proj.weight",
	// Old checkpoints hold RoPE's frequencies, which follow from the configuration.
	ignored: func(name string) bool { return strings.HasSuffix(name, ".rotary_emb.inv_freq") },
}

// openFolder describes the model of a folder whose files open gives.
func openFolder(open func(name string) (mapped, error)) (*Model, error) {
	m := &Model{}
	if err := m.readFolder(open); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	return m, nil
}

func (m *Model) readFolder(open func(name string) (mapped, error)) error {
	keep := func(name string) ([]byte, error) {
		file, err := open(name)
		if err != nil {
			return nil, err
		}
		m.files = append(m.files, file)
		return file.data, nil
	}
	config, err := keep(configFile)
	if err != nil {
		return err
	}
	if err := m.readConfig(config); err != nil {
		return fmt.Errorf("%s: %w", configFile, err)
	}
	if err := m.validate(); err != nil {
		return fmt.Errorf("%s: %w", configFile, err)
	}
	tensors, err := m.readTensors(keep)
	if err != nil {
		return err
	}
	n := huggingFaceNames
	if m.TiedHead { // some files hold the tied head, too
		ignored := n.ignored
		n.ignored = func(name string) bool { return name == n.head || ignored(name) }
	}
	return m.place(n, tensors)
}

// llamaConfig is the part of config.json that matters: Hugging Face's LlamaConfig and MistralConfig.
type llamaConfig struct {
	ModelType             string          `json:"model_type"`
	VocabSize             int             `json:"vocab_size"`
	HiddenSize            int             `json:"hidden_size"`
	IntermediateSize      int             `json:"intermediate_size"`
	NumHiddenLayers       int             `json:"num_hidden_layers"`
	NumAttentionHeads     int             `json:"num_attention_heads"`
	NumKeyValueHeads      *int            `json:"num_key_value_heads"`
	HeadDim               *int            `json:"head_dim"`
	MaxPositionEmbeddings int             `json:"max_position_embeddings"`
	RMSNormEps            float64         `json:"rms_norm_eps"`
	RopeTheta             *float64        `json:"rope_theta"`
	TieWordEmbeddings     bool            `json:"tie_word_embeddings"`
	HiddenAct             *string         `json:"hidden_act"`
	AttentionBias         bool            `json:"attention_bias"`
	MLPBias               bool            `json:"mlp_bias"`
	PartialRotaryFactor   *float64        `json:"partial_rotary_factor"`
	SlidingWindow         *int            `json:"sliding_window"`
	QuantizationConfig    json.RawMessage `json:"quantization_config"`

	RopeScaling    *ropeParameters `json:"rope_scaling"`
	RopeParameters *ropeParameters `json:"rope_parameters"` // what Transformers 5 writes instead: theta is in it

	Ngrams        json.RawMessage `json:"ngrams"`
	WeightsSHA256 string          `json:"weights_sha256"`
}

type ropeParameters struct {
	RopeType        string   `json:"rope_type"`
	Type            string   `json:"type"` // the older name
	Theta           *float64 `json:"rope_theta"`
	Factor          float64  `json:"factor"`
	LowFreqFactor   float64  `json:"low_freq_factor"`
	HighFreqFactor  float64  `json:"high_freq_factor"`
	OriginalContext int      `json:"original_max_position_embeddings"`
}

func (m *Model) readConfig(data []byte) error {
	var c llamaConfig
	if err := json.Unmarshal(data, &c); err != nil {
		return err
	}
	switch {
	case c.ModelType != "llama" && c.ModelType != "mistral":
		return fmt.Errorf("model_type %q is not supported, only llama and mistral", c.ModelType)
	case c.HiddenAct != nil && *c.HiddenAct != "silu":
		return fmt.Errorf("hidden_act %q is not supported, only silu", *c.HiddenAct)
	case c.AttentionBias || c.MLPBias:
		return errors.New("attention_bias and mlp_bias are not supported")
	case c.PartialRotaryFactor != nil && *c.PartialRotaryFactor != 1:
		return errors.New("partial_rotary_factor is not supported")
	case present(c.QuantizationConfig):
		return errors.New("quantization_config is not supported: use a GGUF file for quantised weights")
	}
	m.Architecture = Architecture{
		Vocab: c.VocabSize, Hidden: c.HiddenSize, Intermediate: c.IntermediateSize, NumLayers: c.NumHiddenLayers,
		Heads: c.NumAttentionHeads, KVHeads: c.NumAttentionHeads, Context: c.MaxPositionEmbeddings,
		RMSEps: c.RMSNormEps, TiedHead: c.TieWordEmbeddings,
		Rope: Rope{Pairing: Halves, Theta: 10000, Factor: 1},
	}
	a := &m.Architecture
	if c.NumKeyValueHeads != nil {
		a.KVHeads = *c.NumKeyValueHeads
	}
	switch {
	case c.HeadDim != nil && *c.HeadDim != 0:
		a.HeadDim = *c.HeadDim
	case a.Heads > 0:
		a.HeadDim = a.Hidden / a.Heads
	}
	// Attention that looks back no further than a window is what a full one computes within that window.
	if c.SlidingWindow != nil && *c.SlidingWindow > 0 {
		a.Context = min(a.Context, *c.SlidingWindow)
	}
	if c.RopeTheta != nil {
		a.Rope.Theta = *c.RopeTheta
	}
	for _, p := range []*ropeParameters{c.RopeScaling, c.RopeParameters} {
		if err := a.Rope.scale(p); err != nil {
			return err
		}
	}
	if present(c.Ngrams) {
		m.Ngrams = &Ngrams{Config: bytes.Clone(c.Ngrams)}
	}
	m.SHA256 = c.WeightsSHA256
	return nil
}

func present(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

func (r *Rope) scale(p *ropeParameters) error {
	if p == nil {
		return nil
	}
	if p.Theta != nil {
		r.Theta = *p.Theta
	}
	kind := p.RopeType
	if kind == "" {
		kind = p.Type
	}
	switch kind {
	case "", "default":
	case "linear":
		r.Factor = p.Factor
	case "llama3":
		r.Llama3 = &Llama3Scaling{Factor: p.Factor, LowFreqFactor: p.LowFreqFactor, HighFreqFactor: p.HighFreqFactor, OriginalContext: p.OriginalContext}
	default:
		return fmt.Errorf("RoPE scaling %q is not supported, only linear and llama3", kind)
	}
	return nil
}

// readTensors reads model.safetensors, or the shards that the index names.
func (m *Model) readTensors(keep func(string) ([]byte, error)) ([]Tensor, error) {
	data, err := keep(weightsFile)
	if errors.Is(err, fs.ErrNotExist) {
		index, indexErr := keep(indexFile)
		if errors.Is(indexErr, fs.ErrNotExist) {
			return nil, fmt.Errorf("there is neither %s nor %s", weightsFile, indexFile)
		}
		if indexErr != nil {
			return nil, indexErr
		}
		return readShards(index, keep)
	}
	if err != nil {
		return nil, err
	}
	if m.SHA256 != "" {
		sum := sha256.Sum256(data)
		if got := hex.EncodeToString(sum[:]); got != m.SHA256 {
			return nil, fmt.Errorf("%s has SHA-256 %s, config.json wants %s: it is damaged or belongs to another model", weightsFile, got, m.SHA256)
		}
	}
	f, err := safetensors.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", weightsFile, err)
	}
	return convert(f.Tensors), nil
}

// convert gives safetensors' tensors the common type. Their three types are F32, F16 and BF16.
func convert(tensors []safetensors.Tensor) []Tensor {
	types := map[safetensors.DType]gguf.Type{safetensors.F32: gguf.F32, safetensors.F16: gguf.F16, safetensors.BF16: gguf.BF16}
	out := make([]Tensor, len(tensors))
	for i, t := range tensors {
		out[i] = Tensor{Name: t.Name, Type: types[t.DType], Shape: t.Shape, Data: t.Data}
	}
	return out
}

// readShards reads the files that an index names. Each must hold exactly the tensors that the index says it holds.
func readShards(index []byte, keep func(string) ([]byte, error)) ([]Tensor, error) {
	shardOf, err := parseIndex(index)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", indexFile, err)
	}
	wanted := map[string]int{}
	for _, shard := range shardOf {
		wanted[shard]++
	}
	shards := make([]string, 0, len(wanted))
	for shard := range wanted {
		shards = append(shards, shard)
	}
	slices.Sort(shards)
	if len(shards) > maxShards {
		return nil, fmt.Errorf("%s: %d files are over the bound of %d", indexFile, len(shards), maxShards)
	}
	var all []Tensor
	for _, shard := range shards {
		if filepath.Base(shard) != shard || strings.ContainsAny(shard, `/\:`) || filepath.Ext(shard) != ".safetensors" {
			return nil, fmt.Errorf("%s: %q is no name of a file in the folder", indexFile, shard)
		}
		data, err := keep(shard)
		if err != nil {
			return nil, err
		}
		f, err := safetensors.Parse(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", shard, err)
		}
		for _, t := range f.Tensors {
			if shardOf[t.Name] != shard {
				return nil, fmt.Errorf("%s: tensor %q does not stand there according to %s", shard, t.Name, indexFile)
			}
		}
		if len(f.Tensors) != wanted[shard] {
			return nil, fmt.Errorf("%s has %d tensors, %s says %d", shard, len(f.Tensors), indexFile, wanted[shard])
		}
		all = append(all, convert(f.Tensors)...)
	}
	return all, nil
}

// parseIndex reads the weight_map by tokens, because a map would silently keep the last of two tensors of one name.
func parseIndex(index []byte) (map[string]string, error) {
	var file struct {
		WeightMap json.RawMessage `json:"weight_map"`
	}
	if err := json.Unmarshal(index, &file); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(file.WeightMap))
	if token, err := dec.Token(); err != nil || token != json.Delim('{') {
		return nil, errors.New("weight_map is not an object")
	}
	out := map[string]string{}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, err
		}
		shard, err := dec.Token()
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, err
		}
		key, _ := name.(string)
		file, ok := shard.(string)
		if !ok {
			return nil, fmt.Errorf("weight_map: tensor %q has no file", key)
		}
		if _, twice := out[key]; twice {
			return nil, fmt.Errorf("weight_map: tensor %q occurs twice", key)
		}
		out[key] = file
	}
	return out, nil
}
