//go:build !unix

package weights

import (
	"io"
	"os"
)

func mapOpen(f *os.File, size int) (mapped, error) {
	data := make([]byte, size)
	_, err := io.ReadFull(f, data)
	return mapped{data: data, close: func() error { return nil }}, err
}
