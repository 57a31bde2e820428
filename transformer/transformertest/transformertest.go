// Package transformertest makes small models with random weights, for tests of whatever stands on package
// transformer. They compute as real ones do and say nothing sensible.
package transformertest

import (
	"math"
	"math/rand/v2"
	"slices"

	"teller/transformer"
	"teller/transformer/safetensors"
)

// Config is a model of 0.1M parameters: two layers, grouped-query attention, a window of 128 tokens.
// Its vocabulary is that of Tokenizer.
func Config() transformer.Config {
	return transformer.Config{
		Architectures:         []string{"LlamaForCausalLM"},
		ModelType:             "llama",
		VocabSize:             Tokenizer().VocabSize(),
		HiddenSize:            48,
		IntermediateSize:      96,
		NumHiddenLayers:       2,
		NumAttentionHeads:     4,
		NumKeyValueHeads:      2,
		HeadDim:               12,
		MaxPositionEmbeddings: 128,
		RMSNormEps:            1e-5,
		RopeTheta:             10000,
		TieWordEmbeddings:     true,
		BOSTokenID:            1,
		EOSTokenID:            2,
	}
}

// Tokenizer is trained on a few sentences.
func Tokenizer() *transformer.Tokenizer {
	t, err := transformer.TrainTokenizer(slices.Values([]string{
		"What is a bank? A bank keeps money, lends money and moves money.",
		"What is my balance? What is my card limit? Where is my card?",
	}), 280, transformer.SpecialTokens())
	if err != nil {
		panic(err)
	}
	return t
}

// Tensors gives random weights for cfg: normal, scaled by the square root of their input's size, so that
// activations keep their size from layer to layer. The same seed gives the same weights.
func Tensors(cfg transformer.Config, seed uint64) []safetensors.Tensor {
	random := rand.New(rand.NewPCG(seed, 0))
	var tensors []safetensors.Tensor
	for _, spec := range cfg.Tensors() {
		size, scale, mean := 1, 0.1, 1.0 // norms are around one
		for _, extent := range spec.Shape {
			size *= extent
		}
		if len(spec.Shape) == 2 {
			scale, mean = 1/math.Sqrt(float64(spec.Shape[1])), 0
		}
		values := make([]float32, size)
		for i := range values {
			values[i] = float32(mean + scale*random.NormFloat64())
		}
		t, err := safetensors.New(spec.Name, safetensors.F32, spec.Shape, values)
		if err != nil {
			panic(err)
		}
		tensors = append(tensors, t)
	}
	return tensors
}

// RandomModel makes a model of Tensors. It panics when cfg is not valid.
func RandomModel(cfg transformer.Config, seed uint64) *transformer.Model {
	m, err := transformer.NewModel(cfg, Tensors(cfg, seed))
	if err != nil {
		panic(err)
	}
	return m
}

// LabelledBundle is a random model that has n-grams and labels: "balance", "card" and "other" of transformer.TellerNamespace, "a" and "b"
// of "public".
func LabelledBundle(seed uint64) *transformer.Bundle {
	tokenizer, err := Tokenizer().WithLabels(
		transformer.LabelSet{Namespace: transformer.TellerNamespace, Names: []string{"balance", "card", "other"}},
		transformer.LabelSet{Namespace: "public", Names: []string{"a", "b"}},
	)
	if err != nil {
		panic(err)
	}
	cfg := Config()
	cfg.VocabSize = tokenizer.VocabSize()
	cfg.Ngrams = &transformer.Ngrams{Rows: 256, Dim: 20, Words: 2, CharMin: 3, CharMax: 5}
	b := &transformer.Bundle{Config: cfg, Tokenizer: tokenizer, Model: RandomModel(cfg, seed), Version: "custom-random"}
	if err := b.Model.Attach(tokenizer); err != nil {
		panic(err)
	}
	return b
}

// RandomBundle is RandomModel(Config(), seed) with Tokenizer.
func RandomBundle(seed uint64) *transformer.Bundle {
	cfg := Config()
	return &transformer.Bundle{
		Config:    cfg,
		Tokenizer: Tokenizer(),
		Model:     RandomModel(cfg, seed),
		Version:   "custom-random",
	}
}
