//go:build unix

package kernels

import "golang.org/x/sys/unix"

// reserve gives zeroed memory that begins at a page, and how to give it back; nil when the system has none.
func reserve(size int) (memory []byte, release func()) {
	memory, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		return nil, nil
	}
	return memory, func() { _ = unix.Munmap(memory) }
}
