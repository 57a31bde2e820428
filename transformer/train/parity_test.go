package train

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/corpus"
	"teller/transformer"
)

// What is trained must be what is served: the graph and package transformer's forward pass, written apart from one another,
// give the same loss on the same weights, n-grams included.
func TestGraphComputesWhatIsServed(t *testing.T) {
	c, o := tiny(t)
	o.Hidden, o.Intermediate, o.Layers, o.Heads, o.KVHeads, o.Window, o.BatchTokens = 48, 72, 3, 6, 2, 128, 512
	o.NgramRows, o.NgramDim, o.NgramDrop, o.BagDrop, o.TokenDrop = 200, 12, 0, 0, 0
	tokenizer, err := trainTokenizer(newSource(c, nil), o)
	require.NoError(t, err)
	enc, err := newEncoder(tokenizer, o)
	require.NoError(t, err)
	config := o.config(tokenizer.VocabSize(), 1, 2)
	params := layout(config)
	flat := initial(config, params, 5)
	for _, p := range params {
		if p.name == "ngrams" { // starts with zeros
			for i := range p.view(flat) {
				p.view(flat)[i] = float32(i%7-3) / 100
			}
		}
	}
	for i, v := range flat {
		// Larger weights make attention sharp, so that an error in it shows; the lower bits would be lost in the file.
		flat[i] = math.Float32frombits(math.Float32bits(5*v) &^ 0xffff)
	}
	tensors, err := export(config, params, flat)
	require.NoError(t, err)
	model, err := transformer.NewModel(config, tensors)
	require.NoError(t, err)
	require.NoError(t, model.Attach(tokenizer))
	var labels []span
	for _, set := range tokenizer.Labels() {
		labels = append(labels, span{set.From, set.To()})
	}
	batch := NewBatch(o.BatchTokens, o.Window)
	var want, count float64
	for _, e := range c.Examples(corpus.Train, 1) {
		s, err := enc.sample(lessonOf(e), nil)
		require.NoError(t, err)
		for i := range s.Weights {
			s.Weights[i] = 1
		}
		ok, err := batch.Add(s)
		require.NoError(t, err)
		if !ok {
			break
		}
		state := model.NewState()
		for i, id := range s.IDs[:len(s.IDs)-1] {
			logits, err := state.Append(t.Context(), []int{int(id)})
			require.NoError(t, err)
			target := int(s.IDs[i+1])
			for _, set := range labels {
				if target >= set.from && target < set.to {
					logits, target = logits[set.from:set.to], target-set.from
				}
			}
			var sum float64
			for _, z := range logits {
				sum += math.Exp(float64(z))
			}
			want += math.Log(sum) - float64(logits[target])
			count++
		}
	}
	require.Greater(t, len(batch.Bags), 3)
	g, err := newGraph(config, params, flat, batch, graphOptions{labels: labels})
	require.NoError(t, err)
	got, err := g.run(0)
	require.NoError(t, err)
	require.NoError(t, g.close())
	require.InDelta(t, want/count, got, 2e-4)
}
