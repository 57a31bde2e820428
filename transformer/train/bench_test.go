package train

import (
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// BenchmarkTrain measures training steps (forward, backward, update) on full batches of dialogues of typical length, in tokens per
// second of processor time, all cores summed. The shipped size, more than half of which is the table of n-grams, and about 6M parameters
// that every token meets.
func BenchmarkTrain(b *testing.B) {
	shipped := Default()
	larger := shipped
	larger.Vocab, larger.Hidden, larger.Intermediate, larger.Layers, larger.Heads, larger.KVHeads = 4096, 256, 688, 7, 8, 2
	larger.NgramRows = 0
	for _, o := range []Options{shipped, larger} {
		config := o.config(o.Vocab, 1, 2)
		b.Run(fmt.Sprintf("%.1fM", float64(config.Parameters())/1e6), func(b *testing.B) {
			params := layout(config)
			weights := initial(config, params, 1)
			batch := NewBatch(o.BatchTokens, o.Window)
			rng := rand.New(rand.NewPCG(1, 1))
			for {
				s := Sample{IDs: make([]int32, 40+rng.IntN(80)), Weights: make([]float32, 120)}
				for i := range s.IDs {
					s.IDs[i] = int32(rng.IntN(o.Vocab))
					s.Weights[i] = []float32{0.1, 1}[2*i/len(s.IDs)]
				}
				ok, err := batch.Add(s)
				require.NoError(b, err)
				if !ok {
					break
				}
			}
			g, err := newGraph(config, params, weights, batch, graphOptions{labels: nil, smoothing: smoothing{0.05, 0.05}, dropout: o.Dropout, gradients: true})
			require.NoError(b, err)
			defer func() { require.NoError(b, g.close()) }()
			optimizer := newAdamW(params, weights, o)
			start, step := cpuTime(b), 0
			for b.Loop() {
				step++
				_, err := g.run(step)
				require.NoError(b, err)
				optimizer.step(weights, g.gradient, 1e-4, step)
			}
			b.ReportMetric(float64(step*batch.Used())/(cpuTime(b)-start).Seconds(), "tokens/CPU-s")
			b.ReportMetric(float64(step*batch.Used())/b.Elapsed().Seconds(), "tokens/s")
		})
	}
}

// cpuTime is the processor time that the process has used.
func cpuTime(tb testing.TB) time.Duration {
	var u syscall.Rusage
	require.NoError(tb, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
