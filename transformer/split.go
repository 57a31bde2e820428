package transformer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// contractions are the endings that GPT-2's split keeps apart from their word.
var contractions = []string{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"}

// nextPiece gives the length in bytes of the first piece of s, which must not be empty. Pieces are those
// of GPT-2's pattern, which BPE merges never cross:
//
//	's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
// Go's regexp has no lookahead, hence by hand. An invalid byte counts as neither space, letter nor number.
func nextPiece(s string) int {
	for _, c := range contractions {
		if strings.HasPrefix(s, c) {
			return len(c)
		}
	}
	start := 0
	first, size := classify(s)
	if first == classSpace {
		if s[0] != ' ' || len(s) == 1 {
			return spacePiece(s)
		}
		start = 1
		if first, size = classify(s[1:]); first == classSpace {
			return spacePiece(s)
		}
	}
	end := start + size
	for end < len(s) {
		class, size := classify(s[end:])
		if class != first {
			break
		}
		end += size
	}
	return end
}

// spacePiece is the piece at the start of s, which begins with white space: all of it up to the end of the
// text, else all but the last rune, which the following word may take, else that one rune.
func spacePiece(s string) int {
	end, last := 0, 0
	for end < len(s) {
		class, size := classify(s[end:])
		if class != classSpace {
			break
		}
		last = size
		end += size
	}
	if end == len(s) || end == last {
		return end
	}
	return end - last
}

type runeClass uint8

const (
	classOther runeClass = iota
	classSpace
	classLetter
	classNumber
)

// classify gives the class and the size in bytes of the first rune of s.
func classify(s string) (runeClass, int) {
	if b := s[0]; b < utf8.RuneSelf {
		return asciiClass[b], 1
	}
	r, size := utf8.DecodeRuneInString(s)
	switch {
	case r == utf8.RuneError:
		return classOther, size
	case unicode.IsLetter(r):
		return classLetter, size
	case unicode.IsNumber(r):
		return classNumber, size
	case unicode.IsSpace(r):
		return classSpace, size
	default:
		return classOther, size
	}
}

var asciiClass = func() (table [utf8.RuneSelf]runeClass) {
	for b := range table {
		switch r := rune(b); {
		case unicode.IsLetter(r):
			table[b] = classLetter
		case unicode.IsNumber(r):
			table[b] = classNumber
		case unicode.IsSpace(r):
			table[b] = classSpace
		}
	}
	return table
}()
