package kernels

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// preferHugePages asks for pages of 2 MiB for the inside of b: weights are read from end to end for each token, and with pages of 4 KiB
// the processor spends a part of the time looking addresses up. Failure changes nothing but the speed.
func preferHugePages(b []byte) {
	const page = 2 << 20
	from := -int(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) & (page - 1)
	to := from + (len(b)-from)&^(page-1)
	if to > from {
		_ = unix.Madvise(b[from:to], unix.MADV_HUGEPAGE)
	}
}
