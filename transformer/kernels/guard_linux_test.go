package kernels

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// guarded gives n elements that end where an inaccessible page begins: who reads or writes past them crashes.
func guarded[T any](t testing.TB, n int) []T {
	var one T
	size := n * int(unsafe.Sizeof(one))
	page := unix.Getpagesize()
	room := (size + page - 1) / page * page
	memory, err := unix.Mmap(-1, 0, room+page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	require.NoError(t, err)
	require.NoError(t, unix.Mprotect(memory[room:], unix.PROT_NONE))
	t.Cleanup(func() { require.NoError(t, unix.Munmap(memory)) })
	if n == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(&memory[room-size])), n)
}
