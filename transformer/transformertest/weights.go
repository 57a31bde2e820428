package transformertest

import (
	"math"
	"math/rand/v2"
	"slices"

	"teller/transformer/gguf"
	"teller/transformer/weights"
)

// Architecture is a model of 0.1M parameters: two layers, grouped-query attention, a separate head.
func Architecture() weights.Architecture {
	return weights.Architecture{
		Vocab: 101, Hidden: 64, Intermediate: 96, NumLayers: 2, Heads: 4, KVHeads: 2, HeadDim: 16, Context: 256, RMSEps: 1e-5,
		Rope: weights.Rope{Pairing: weights.Halves, Theta: 500, Factor: 1},
	}
}

// encode is gguf.Encode, which writes no Q4_0.
func encode(kind gguf.Type, values []float32) []byte {
	if kind != gguf.Q4_0 {
		data, err := gguf.Encode(kind, nil, values)
		if err != nil {
			panic(err)
		}
		return data
	}
	var data []byte
	for block := range slices.Chunk(values, gguf.Block) {
		scale, err := gguf.Encode(gguf.F16, nil, []float32{max(slices.Max(block), -slices.Min(block)) / 7})
		if err != nil {
			panic(err)
		}
		var exact [1]float32
		gguf.Decode(gguf.F16, exact[:], scale)
		four := func(v float32) byte { return byte(max(0, min(15, math.Round(float64(v/exact[0]))+8))) }
		data = append(data, scale...)
		for i := range gguf.Block / 2 {
			data = append(data, four(block[i])|four(block[i+gguf.Block/2])<<4)
		}
	}
	return data
}

// Weights gives random weights for an architecture: normal, scaled by the square root of their input's size, so that activations keep
// their size from layer to layer; norms are float32. The same seed gives the same weights. Quantised types need columns in whole blocks of 32.
func Weights(a weights.Architecture, kind gguf.Type, seed uint64) *weights.Model {
	random := rand.New(rand.NewPCG(seed, 0))
	tensor := func(kind gguf.Type, shape ...int) weights.Tensor {
		size, scale, mean := shape[0], 0.1, 1.0 // norms are around one
		if len(shape) == 2 {
			size, scale, mean = size*shape[1], 1/math.Sqrt(float64(shape[1])), 0
		}
		values := make([]float32, size)
		for i := range values {
			values[i] = float32(mean + scale*random.NormFloat64())
		}
		return weights.Tensor{Name: "random", Type: kind, Shape: shape, Data: encode(kind, values)}
	}
	q, kv := a.Heads*a.HeadDim, a.KVHeads*a.HeadDim
	m := &weights.Model{Architecture: a, Embedding: tensor(kind, a.Vocab, a.Hidden), Norm: tensor(gguf.F32, a.Hidden)}
	for range a.NumLayers {
		m.Layers = append(m.Layers, weights.Layer{
			InputNorm: tensor(gguf.F32, a.Hidden), PostNorm: tensor(gguf.F32, a.Hidden),
			Q: tensor(kind, q, a.Hidden), K: tensor(kind, kv, a.Hidden), V: tensor(kind, kv, a.Hidden), O: tensor(kind, a.Hidden, q),
			Gate: tensor(kind, a.Intermediate, a.Hidden), Up: tensor(kind, a.Intermediate, a.Hidden), Down: tensor(kind, a.Hidden, a.Intermediate),
		})
	}
	if m.Head = m.Embedding; !a.TiedHead {
		m.Head = tensor(kind, a.Vocab, a.Hidden)
	}
	return m
}
