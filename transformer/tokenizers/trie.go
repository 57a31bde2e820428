package tokenizers

import (
	"unicode"
	"unicode/utf8"
)

// addedToken is a token that is looked for in a text before it is split.
type addedToken struct {
	spelled string
	match
}

// match is what a trie finds.
type match struct {
	id             int
	lstrip, rstrip bool // white space on this side belongs to the token
}

// trie finds the longest of many strings at the start of a text.
type trie struct {
	next map[byte]*trie
	end  bool
	match
}

func (t *trie) add(s string, m match) {
	for i := range len(s) {
		if t.next == nil {
			t.next = map[byte]*trie{}
		}
		child := t.next[s[i]]
		if child == nil {
			child = &trie{}
			t.next[s[i]] = child
		}
		t = child
	}
	t.end, t.match = true, m
}

// longest gives the longest string that text starts with; size is 0 for none.
func (t *trie) longest(text string) (found match, size int) {
	for i := range len(text) {
		if t = t.next[text[i]]; t == nil {
			return found, size
		}
		if t.end {
			found, size = t.match, i+1
		}
	}
	return found, size
}

func isSpace(r rune) bool { return unicode.IsSpace(r) }

func isSpaceAt(text string) bool {
	r, _ := utf8.DecodeRuneInString(text)
	return isSpace(r)
}
