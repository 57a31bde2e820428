package kernels

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// onEachLevel runs a test on every set of instructions that this processor has.
func onEachLevel(t *testing.T, test func(t *testing.T)) {
	defer func(l Level) { level = l }(level)
	for _, l := range supported() {
		level = l
		t.Run(string(l), test)
	}
}

func TestChooseLevel(t *testing.T) {
	have := []Level{Plain, AVX2}
	require.Equal(t, AVX2, chooseLevel("", have))
	require.Equal(t, Plain, chooseLevel("go", have))
	require.Panics(t, func() { chooseLevel("avx512", have) })
	require.Panics(t, func() { chooseLevel("AVX2 ", have) })
}
