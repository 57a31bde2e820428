package weights

import (
	"fmt"
	"os"
)

// mapped is a file's bytes. They must not be written to. A file that another process cuts short while it is mapped kills this one, so
// models are replaced by renaming a new file over the old, never rewritten in place.
type mapped struct {
	data   []byte
	close  func() error
	forget func(part []byte) // nil: there is nothing to gain
}

// mapFile maps a regular file, symbolic links followed.
func mapFile(path string) (mapped, error) {
	info, err := os.Stat(path) // before it is opened, which would wait for ever on a pipe
	if err != nil {
		return mapped{}, err
	}
	if !info.Mode().IsRegular() {
		return mapped{}, fmt.Errorf("%s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return mapped{}, err
	}
	defer func() { _ = f.Close() }() // it was read only
	if info, err = f.Stat(); err != nil {
		return mapped{}, err
	}
	size := info.Size()
	if int64(int(size)) != size {
		return mapped{}, fmt.Errorf("%s is too large for this machine", path)
	}
	if size == 0 {
		return mapped{close: func() error { return nil }}, nil
	}
	m, err := mapOpen(f, int(size))
	if err != nil {
		return mapped{}, fmt.Errorf("%s: %w", path, err)
	}
	return m, nil
}
