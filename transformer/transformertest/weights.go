package transformertest

import (
	"math"
	"math/rand/v2"

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
		data, err := gguf.Encode(kind, nil, values)
		if err != nil {
			panic(err)
		}
		return weights.Tensor{Name: "random", Type: kind, Shape: shape, Data: data}
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
