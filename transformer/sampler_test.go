package transformer

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// draws counts how often each token is chosen.
func draws(t *testing.T, how Sampling, logits []float32, n int) []float64 {
	t.Helper()
	s := newSampler(len(logits))
	s.start(how)
	share := make([]float64, len(logits))
	for range n {
		id, _, err := s.next(logits)
		require.NoError(t, err)
		share[id] += 1 / float64(n)
	}
	return share
}

func TestSampler(t *testing.T) {
	logits := make([]float32, 4)
	for i, p := range []float64{0.1, 0.4, 0.2, 0.3} {
		logits[i] = float32(math.Log(p)) + 5
	}
	for _, c := range []struct {
		name string
		how  Sampling
		want []float64
	}{
		{"greedy", Sampling{}, []float64{0, 1, 0, 0}},
		{"greedy whatever else is set", Sampling{TopK: 3, TopP: 0.9}, []float64{0, 1, 0, 0}},
		{"as the model believes", Sampling{Temperature: 1}, []float64{0.1, 0.4, 0.2, 0.3}},
		{"a half: squares", Sampling{Temperature: 0.5}, []float64{1. / 30, 16. / 30, 4. / 30, 9. / 30}},
		{"hot: even", Sampling{Temperature: 1e300}, []float64{0.25, 0.25, 0.25, 0.25}},
		{"nearly cold", Sampling{Temperature: 1e-300}, []float64{0, 1, 0, 0}},
		{"top-k of two", Sampling{Temperature: 1, TopK: 2}, []float64{0, 4. / 7, 0, 3. / 7}},
		{"top-k of more than all", Sampling{Temperature: 1, TopK: 99}, []float64{0.1, 0.4, 0.2, 0.3}},
		{"top-p of 0.6", Sampling{Temperature: 1, TopP: 0.6}, []float64{0, 4. / 7, 0, 3. / 7}},
		{"top-p of 0.75", Sampling{Temperature: 1, TopP: 0.75}, []float64{0, 4. / 9, 2. / 9, 3. / 9}},
		{"top-p of nearly nothing", Sampling{Temperature: 1, TopP: 1e-9}, []float64{0, 1, 0, 0}},
		{"top-p of what top-k left", Sampling{Temperature: 1, TopK: 2, TopP: 0.5}, []float64{0, 1, 0, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.InDeltaSlice(t, c.want, draws(t, c.how, logits, 20000), 0.02)
		})
	}
}

func TestSamplerGreedyTakesTheFirstOfEquals(t *testing.T) {
	require.Equal(t, []float64{0, 1, 0}, draws(t, Sampling{}, []float32{1, 2, 2}, 1))
}

func TestSamplerLogProbIsTheModels(t *testing.T) {
	logits := []float32{1, 1 + float32(math.Ln2), 1 + float32(math.Ln2)} // 1/5, 2/5, 2/5
	for _, how := range []Sampling{{}, {Temperature: 1e-9}, {Temperature: 2, TopK: 2}} {
		s := newSampler(3)
		s.start(how)
		_, logProb, err := s.next(logits)
		require.NoError(t, err)
		require.InDelta(t, math.Log(0.4), logProb, 1e-6)
	}
}

func TestSamplerRepeatsBySeed(t *testing.T) {
	logits := make([]float32, 100)
	run := func(seed uint64) (ids []int) {
		s := newSampler(len(logits))
		s.start(Sampling{Temperature: 1, TopP: 0.9, Seed: seed})
		for range 20 {
			id, _, _ := s.next(logits)
			ids = append(ids, id)
		}
		return ids
	}
	require.Equal(t, run(1), run(1))
	require.NotEqual(t, run(1), run(2))
}

func TestSamplerRefusesLogitsThatAreNotFinite(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		s := newSampler(2)
		s.start(Sampling{})
		_, _, err := s.next([]float32{0, float32(bad)})
		require.ErrorIs(t, err, errNotFinite)
	}
}

func TestSamplerDoesNotAllocate(t *testing.T) {
	logits := make([]float32, 1000)
	for _, how := range []Sampling{{}, {Temperature: 1, TopK: 40}, {Temperature: 1, TopP: 0.9}} {
		s := newSampler(len(logits))
		s.start(how)
		require.Zero(t, testing.AllocsPerRun(20, func() { _, _, _ = s.next(logits) }))
	}
}
