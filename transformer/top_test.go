package transformer

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTopTokensAreThoseOfASort(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		logits := make([]float32, 1+random.IntN(50))
		for i := range logits {
			logits[i] = float32(random.IntN(20)) // with equals among them
		}
		var sum float64
		for _, l := range logits {
			sum += math.Exp(float64(l))
		}
		norm := math.Log(sum)
		want := make([]Token, len(logits))
		for i, l := range logits {
			want[i] = Token{ID: i, LogProb: float64(l) - norm}
		}
		slices.SortStableFunc(want, func(a, b Token) int { return cmp.Compare(b.LogProb, a.LogProb) })
		k := 1 + random.IntN(20)
		require.Equal(t, want[:min(k, len(want))], top(logits, k, norm))
	}
}
