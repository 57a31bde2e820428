//go:build unix

package weights

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

func mapOpen(f *os.File, size int) (mapped, error) {
	data, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return mapped{}, err
	}
	return mapped{data, func() error { return unix.Munmap(data) }, forget}, nil
}

// forget takes whole pages of a mapped file out of the process. What is touched again is read again.
func forget(part []byte) {
	page := unix.Getpagesize()
	from := -int(uintptr(unsafe.Pointer(unsafe.SliceData(part)))) & (page - 1)
	to := from + (len(part)-from)&^(page-1)
	if to > from {
		_ = unix.Madvise(part[from:to], unix.MADV_DONTNEED) // failure leaves them where they are
	}
}
