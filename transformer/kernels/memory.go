package kernels

import (
	"runtime"
	"unsafe"
)

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

// offHeap is from how many bytes on weights lie outside the garbage collector's heap.
const offHeap = 1 << 16

// weightsOf gives n zeroed elements, aligned, that live as long as m does. Large ones are none of the collector's business: it lets as much
// garbage pile up as there is live memory, and would with a model let its size again.
func weightsOf[T any](m *Matrix, n int) []T {
	var one T
	size := n * int(unsafe.Sizeof(one))
	if size < offHeap {
		return aligned[T](n)
	}
	memory, release := reserve(size)
	if release == nil {
		return aligned[T](n)
	}
	preferHugePages(memory)
	runtime.AddCleanup(m, func(release func()) { release() }, release)
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(memory))), n)
}
