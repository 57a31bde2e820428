package train

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/transformer"
)

// What is trained must be what is served: the graph and package transformer's forward pass, written apart from one another,
// give the same loss on the same weights.
func TestGraphComputesWhatIsServed(t *testing.T) {
	o := Default()
	o.Hidden, o.Intermediate, o.Layers, o.Heads, o.KVHeads, o.Window, o.BatchTokens = 48, 72, 3, 6, 2, 64, 128
	o.NgramRows, o.NgramDim = 200, 12
	config := o.config(300, 1, 2)
	params := layout(config)
	flat := initial(config, params, 5)
	for i, v := range flat {
		// Larger weights make attention sharp, so that an error in it shows; the lower bits would be lost in the file.
		flat[i] = math.Float32frombits(math.Float32bits(5*v) &^ 0xffff)
	}
	batch := NewBatch(o.BatchTokens, o.Window)
	var want, count float64
	tensors, err := export(config, params, flat)
	require.NoError(t, err)
	model, err := transformer.NewModel(config, tensors)
	require.NoError(t, err)
	for _, n := range []int{2, 17, 60} {
		s := Sample{IDs: make([]int32, n), Weights: make([]float32, n)}
		ids := make([]int, n)
		for i := range ids {
			ids[i] = (i*i*7 + n) % 300
			s.IDs[i], s.Weights[i] = int32(ids[i]), 1
		}
		ok, err := batch.Add(s)
		require.NoError(t, err)
		require.True(t, ok)
		state := model.NewState()
		for i := range n - 1 {
			logits, err := state.Append(t.Context(), ids[i:i+1])
			require.NoError(t, err)
			var sum float64
			for _, z := range logits {
				sum += math.Exp(float64(z))
			}
			want += math.Log(sum) - float64(logits[ids[i+1]])
			count++
		}
	}
	g, err := newGraph(config, params, flat, batch, graphOptions{})
	require.NoError(t, err)
	got, err := g.run(0)
	require.NoError(t, err)
	require.NoError(t, g.close())
	require.InDelta(t, want/count, got, 2e-4)
}
