package kernels

import "unsafe"

const cacheLine = 64

// aligned gives n elements that begin at a cache line, on huge pages when there are enough of them.
func aligned[T any](n int) []T {
	var one T
	size := int(unsafe.Sizeof(one))
	raw := make([]byte, n*size+cacheLine)
	at := -int(uintptr(unsafe.Pointer(unsafe.SliceData(raw)))) & (cacheLine - 1)
	raw = raw[at : at+n*size]
	preferHugePages(raw)
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(raw))), n)
}
