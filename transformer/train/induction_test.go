package train

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// A new model already looks for where it has seen its last tokens before, and copies what followed.
func TestNewModelContinuesRepetition(t *testing.T) {
	const vocab, length = 300, 60
	right := func(kvHeads int) (share float64) {
		o := Default()
		o.KVHeads = kvHeads
		config := o.config(vocab, 1, 2)
		params := layout(config)
		batch := NewBatch(1024, 512)
		rng := rand.New(rand.NewPCG(1, 1))
		for range 8 {
			s := Sample{IDs: make([]int32, 2*length), Weights: make([]float32, 2*length)}
			for i := range s.IDs {
				s.IDs[i] = int32(rng.IntN(30)) // few different tokens, so that one alone does not tell the place
				if i >= length {
					s.IDs[i] = s.IDs[i-length]
				}
				if i > length+lookBack {
					s.Weights[i] = 1
				}
			}
			ok, err := batch.Add(s)
			require.NoError(t, err)
			require.True(t, ok)
		}
		flat := initial(config, params, 3)
		for _, p := range params {
			if p.name == "layers.1.o" { // what it copies starts faint, not to drown the rest; louder, it shows
				for i := range p.view(flat) {
					p.view(flat)[i] *= 10
				}
			}
		}
		g, err := newGraph(config, params, flat, batch, graphOptions{gradients: false})
		require.NoError(t, err)
		defer func() { require.NoError(t, g.close()) }()
		_, err = g.run(0)
		require.NoError(t, err)
		for r, i := range g.loss.rows {
			z, target := g.loss.dz[r*vocab:][:vocab], batch.Targets[i]
			z[target] += 1 / float32(len(g.loss.rows)) // from the gradient by the logits back to the probability
			best := 0
			for v := range z {
				if z[v] > z[best] {
					best = v
				}
			}
			if best == int(target) {
				share += 1 / float64(len(g.loss.rows))
			}
		}
		return share
	}
	planted, plain := right(Default().KVHeads), right(1) // shared keys leave no room for the circuit
	t.Logf("continues %.0f%% of the tokens, without the circuit %.0f%%", 100*planted, 100*plain)
	require.Greater(t, planted, 0.15)
	require.Less(t, plain, 0.1)
}
