package kernels

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func TestAlignedBeginsAtACacheLine(t *testing.T) {
	for _, n := range []int{1, 3, 64, 1000, 1 << 20} {
		s := aligned[float32](n)
		require.Len(t, s, n)
		require.Zero(t, uintptr(unsafe.Pointer(&s[0]))%cacheLine)
	}
	require.Empty(t, aligned[byte](0))
}
