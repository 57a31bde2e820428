package transformer

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// draws counts how often each token is chosen.
func draws(t *testing.T, how Sampling, logits []float32, n int) []float64 {
	t.Helper()
	var s sampler
	var work scratch
	s.start(how, nil, len(logits))
	share := make([]float64, len(logits))
	for range n {
		token, err := s.next(&work, slices.Clone(logits), 0)
		require.NoError(t, err)
		share[token.ID] += 1 / float64(n)
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
		{"min-p of a half", Sampling{Temperature: 1, MinP: 0.5}, []float64{0, 4. / 9, 2. / 9, 3. / 9}},
		{"min-p of 0.7", Sampling{Temperature: 1, MinP: 0.7}, []float64{0, 4. / 7, 0, 3. / 7}},
		{"min-p and top-p", Sampling{Temperature: 1, MinP: 0.7, TopP: 0.3}, []float64{0, 1, 0, 0}},
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

// started is a sampler that has begun, and what it works in.
func started(how Sampling, prompt []int, vocab int) (*sampler, *scratch) {
	var s sampler
	s.start(how, prompt, vocab)
	return &s, &scratch{}
}

func TestSamplerLogProbIsTheModels(t *testing.T) {
	logits := []float32{1, 1 + float32(math.Ln2), 1 + float32(math.Ln2)} // 1/5, 2/5, 2/5
	for _, how := range []Sampling{{}, {Temperature: 1e-9}, {Temperature: 2, TopK: 2}, {RepetitionPenalty: 1.01}} {
		s, work := started(how, []int{0}, 3)
		token, err := s.next(work, slices.Clone(logits), 2)
		require.NoError(t, err)
		require.InDelta(t, math.Log(0.4), token.LogProb, 1e-6)
		require.Len(t, token.Top, 2)
		for i, other := range token.Top {
			require.Equal(t, i+1, other.ID)
			require.InDelta(t, math.Log(0.4), other.LogProb, 1e-6)
		}
	}
}

func TestRepetitionPenalty(t *testing.T) {
	s, work := started(Sampling{RepetitionPenalty: 2}, []int{0, 0, 4}, 5)
	var ids []int
	for range 4 {
		token, err := s.next(work, []float32{3, 2, -1, 1.4, -2.5}, 0) // 0 counts as 1.5, 4 as -5
		require.NoError(t, err)
		ids = append(ids, token.ID)
	}
	require.Equal(t, []int{1, 0, 0, 0}, ids, "1 counts as 1 once it was said; nothing is penalised twice")
}

func TestSamplerRepeatsBySeed(t *testing.T) {
	run := func(seed uint64) (ids []int) {
		s, work := started(Sampling{Temperature: 1, TopP: 0.9, Seed: seed}, nil, 100)
		for range 20 {
			token, err := s.next(work, make([]float32, 100), 0)
			require.NoError(t, err)
			ids = append(ids, token.ID)
		}
		return ids
	}
	require.Equal(t, run(1), run(1))
	require.NotEqual(t, run(1), run(2))
}

func TestSamplerRefusesLogitsThatAreNotFinite(t *testing.T) {
	for _, bad := range []float64{math.NaN(), math.Inf(1)} {
		s, work := started(Sampling{}, nil, 2)
		_, err := s.next(work, []float32{0, float32(bad)}, 0)
		require.ErrorIs(t, err, errNotFinite)
	}
}

func TestTopTokensAreThoseOfASort(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		logits := make([]float32, 1+random.IntN(50))
		for i := range logits {
			logits[i] = float32(random.IntN(20)) // with equals among them
		}
		want := make([]float64, len(logits))
		require.NoError(t, logSoftmax(want, logits))
		order := make([]int, len(logits))
		for i := range order {
			order[i] = i
		}
		slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(want[b], want[a]) })
		k := 1 + random.IntN(20)
		s, work := started(Sampling{}, nil, len(logits))
		token, err := s.next(work, logits, k)
		require.NoError(t, err)
		require.Len(t, token.Top, min(k, len(want)))
		for i, other := range token.Top {
			require.Equal(t, order[i], other.ID)
			require.InDelta(t, want[other.ID], other.LogProb, 1e-5)
		}
	}
}

func TestSamplerDoesNotAllocate(t *testing.T) {
	logits, again := make([]float32, 1000), make([]float32, 1000)
	for i := range logits {
		logits[i] = float32(i % 37)
	}
	for _, how := range []Sampling{{}, {Temperature: 1, TopK: 40}, {Temperature: 1, TopP: 0.9}, {Temperature: 1, MinP: 0.1}, {RepetitionPenalty: 1.1}} {
		s, work := started(how, make([]int, 1), len(logits))
		require.Zero(t, testing.AllocsPerRun(20, func() {
			copy(again, logits)
			_, _ = s.next(work, again, 0)
		}))
	}
}
