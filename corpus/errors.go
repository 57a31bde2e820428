package corpus

import "fmt"

// Error says what is wrong with a corpus file, and where.
type Error struct {
	File    string
	Line    int // 1 for the first line; 0 where the whole file is meant
	Message string
	Cause   error // may be nil
}

// Error reads "file:line: message".
func (e *Error) Error() string {
	text := e.File
	if e.Line > 0 {
		text = fmt.Sprintf("%s:%d", e.File, e.Line)
	}
	text += ": " + e.Message
	if e.Cause != nil {
		text += ": " + e.Cause.Error()
	}
	return text
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Cause }
