//go:build unix

package llama

import "golang.org/x/sys/unix"

// reserve gives zeroed memory outside the garbage collector's heap. The system backs it page by page when it is first touched, so a cache
// costs what it holds, not its bound.
func reserve(size int) (memory []byte, release func(), err error) {
	memory, err = unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, nil, err
	}
	return memory, func() { _ = unix.Munmap(memory) }, nil
}
