package weights

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

// The frequencies of Llama 3.1 8B: the high ones stay, the low ones are divided by 8, between them it goes smoothly.
func TestLlama31Frequencies(t *testing.T) {
	a := Architecture{HeadDim: 128, Rope: Rope{Theta: 500000, Factor: 1,
		Llama3: &Llama3Scaling{Factor: 8, LowFreqFactor: 1, HighFreqFactor: 4, OriginalContext: 8192}}}
	require.NoError(t, a.Rope.validate(128))
	got, divisors := a.Frequencies(), a.RopeDivisors()
	between := 0
	for i, f := range got {
		plain := math.Pow(500000, -float64(2*i)/128)
		length := 2 * math.Pi / plain
		switch {
		case length < 8192.0/4:
			require.InEpsilon(t, plain, f, 1e-12)
		case length > 8192:
			require.InEpsilon(t, plain/8, f, 1e-12)
		default:
			between++
			smooth := (8192/length - 1) / 3
			require.InEpsilon(t, (1-smooth)*plain/8+smooth*plain, f, 1e-12)
		}
		require.InEpsilon(t, plain/f, float64(divisors[i]), 1e-6)
	}
	require.Positive(t, between)

	// A GGUF file has the divisors instead, with the same result.
	b := Architecture{HeadDim: 128, Rope: Rope{Theta: 500000, Factor: 1, Divisors: divisors}}
	for i, f := range b.Frequencies() {
		require.InEpsilon(t, got[i], f, 1e-6)
	}
	require.Equal(t, divisors, b.RopeDivisors())
	require.Nil(t, Architecture{HeadDim: 8, Rope: Rope{Theta: 1e4, Factor: 1}}.RopeDivisors())
}

// Turning halves of rows in one order is turning neighbours of rows in the other.
func TestPairings(t *testing.T) {
	halves := Architecture{HeadDim: 6, Rope: Rope{Pairing: Halves}}
	neighbours := Architecture{HeadDim: 6, Rope: Rope{Pairing: Neighbours}}
	for row := range 12 {
		require.Equal(t, row, halves.HalvesRow(row))
		require.Equal(t, row, neighbours.NeighboursRow(row))
		require.Equal(t, row, neighbours.HalvesRow(halves.NeighboursRow(row)), "one undoes the other")
		require.Equal(t, row, halves.NeighboursRow(neighbours.HalvesRow(row)))
		require.Equal(t, row/6, halves.NeighboursRow(row)/6, "a row stays in its head")
	}
	for pair := range 3 { // the pair i of halves is (i, i+3), of neighbours (2i, 2i+1)
		require.Equal(t, 6+pair, halves.NeighboursRow(6+2*pair))
		require.Equal(t, 6+pair+3, halves.NeighboursRow(6+2*pair+1))
	}
}
