package train

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestExp(t *testing.T) {
	for x := float32(-86.9); x <= 88; x += 0.0371 {
		want := math.Exp(float64(x))
		require.InEpsilon(t, want, float64(exp(x)), 2.5e-7, "at %v", x)
	}
	require.Equal(t, float32(1), exp(0))
	require.Zero(t, exp(-88))
	require.Zero(t, exp(float32(math.Inf(-1))))
	require.InEpsilon(t, math.Exp(88), float64(exp(1000)), 1e-6)
	require.True(t, math.IsNaN(float64(exp(float32(math.NaN())))))
}
