// Package lockedbuffer is a log for tests that can be read while it is written.
package lockedbuffer

import (
	"bytes"
	"sync"
)

// Buffer is a bytes.Buffer for one writer and several readers at once. The zero value is empty.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write appends p.
func (l *Buffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String gives all that was written so far.
func (l *Buffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
