//go:build !unix

package llama

// reserve gives zeroed memory.
func reserve(size int) (memory []byte, release func(), err error) {
	return make([]byte, size), func() {}, nil
}
