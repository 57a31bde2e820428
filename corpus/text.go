package corpus

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Longest texts, in bytes. They bound a dialogue well inside a small model's window.
const (
	phrasingLimit = 240
	answerLimit   = 320
)

// figures finds the numbers in a text as they are written: 1,204.50 and 14 and 4821.
var figures = regexp.MustCompile(`\d(?:[\d.,]*\d)?`)

// checkBytes refuses what no corpus file has a reason to hold, before YAML sees it.
func checkBytes(name string, data []byte) error {
	for i, line := range bytes.Split(data, []byte("\n")) {
		if !utf8.Valid(line) {
			return &Error{File: name, Line: i + 1, Message: "the line is not valid UTF-8"}
		}
		for _, r := range string(line) {
			if !plain(r) && r != '\r' {
				return &Error{File: name, Line: i + 1, Message: fmt.Sprintf("the line holds the character %q; texts are plain ASCII with £ and €", r)}
			}
		}
	}
	return nil
}

// plain keeps typographic quotes, exotic spaces and control characters out: each would be a rare
// token that a small model never learns.
func plain(r rune) bool {
	return r >= ' ' && r <= '~' || r == '£' || r == '€'
}

// normalise makes phrasings that differ only in case, punctuation and spaces equal.
func normalise(s string) string {
	words := strings.FieldsFunc(strings.ToLower(strings.ReplaceAll(s, "'", "")), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r)
	})
	return strings.Join(words, " ")
}

func (b *builder) checkText(f file, t text, limit int) {
	switch {
	case t.value == "" || strings.TrimSpace(t.value) != t.value:
		b.fail(f, t.line, "the text %q is empty or has spaces around it", t.value)
	case strings.Contains(t.value, "  ") || strings.ContainsAny(t.value, "\n\r\t"):
		b.fail(f, t.line, "the text %q has a double space or a line break", t.value)
	case len(t.value) > limit:
		b.fail(f, t.line, "the text is %d bytes long, more than %d", len(t.value), limit)
	case strings.Contains(t.value, "<|") || strings.Contains(t.value, "|>"):
		b.fail(f, t.line, "the text %q holds what looks like a control token", t.value)
	}
	if err := checkSlots(t.value); err != nil {
		b.fail(f, t.line, "%s in %q", err, t.value)
	}
}

// checkFigures keeps figures out of answers: one that stands there would be invented, and a model
// would learn to invent.
func (b *builder) checkFigures(f file, answer text) {
	if found := figures.FindString(slotPattern.ReplaceAllString(answer.value, "")); found != "" {
		b.fail(f, answer.line, "the answer holds the figure %s; figures come from the context only", found)
	}
}
