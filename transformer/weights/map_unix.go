//go:build unix

package weights

import (
	"os"

	"golang.org/x/sys/unix"
)

func mapOpen(f *os.File, size int) (mapped, error) {
	data, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return mapped{}, err
	}
	return mapped{data, func() error { return unix.Munmap(data) }}, nil
}
