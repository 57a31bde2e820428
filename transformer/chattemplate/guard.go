package chattemplate

import (
	"errors"
	"sort"
	"strings"
	"unicode/utf8"
)

// guarded gives the messages as a template sees them, with guards where they spell control tokens.
func guarded(messages []Message, control []string) (list, rune, error) {
	guard, ok := unusedRune(messages)
	if !ok {
		return nil, 0, errors.New("the messages hold every rune that could mark a control token")
	}
	byFirst := map[byte][]string{}
	for _, c := range control {
		if c != "" {
			byFirst[c[0]] = append(byFirst[c[0]], c)
		}
	}
	out := make(list, len(messages))
	for i, m := range messages {
		out[i] = map[string]any{"role": m.Role, "content": guardText(m.Text, control, byFirst, guard)}
	}
	return out, guard, nil
}

// unusedRune finds a rune that no message holds: first among Unicode's noncharacters, which no text should hold, then in a private plane.
func unusedRune(messages []Message) (rune, bool) {
	used := map[rune]bool{}
	for _, m := range messages {
		for _, r := range m.Text {
			if r >= 0xFDD0 {
				used[r] = true
			}
		}
	}
	for r := rune(0xFDD0); r <= 0xFDEF; r++ {
		if !used[r] {
			return r, true
		}
	}
	for r := rune(0xF0000); r <= 0xFFFFD; r++ {
		if !used[r] {
			return r, true
		}
	}
	return 0, false
}

// guardText puts the guard after the first rune of each control token that text spells, and where text could complete one together
// with what the template writes before and after it: a template may trim the white space at both ends.
func guardText(text string, control []string, byFirst map[byte][]string, guard rune) string {
	start := len(text) - len(strings.TrimLeft(text, " \t\r\n\v\f"))
	end := len(strings.TrimRight(text, " \t\r\n\v\f"))
	var at []int
	for i := range len(text) {
		for _, c := range byFirst[text[i]] {
			rest := text[i:]
			if strings.HasPrefix(rest, c) || len(rest) < len(c) && strings.HasPrefix(c, rest) || i < end && strings.HasPrefix(c, text[i:end]) {
				_, size := utf8.DecodeRuneInString(rest)
				at = append(at, i+size)
				break
			}
		}
	}
	if start < end && endsControl(text[start:], control) {
		at = append(at, start)
	}
	if len(at) == 0 {
		return text
	}
	sort.Ints(at)
	var out strings.Builder
	last := 0
	for _, i := range at {
		out.WriteString(text[last:i])
		out.WriteRune(guard)
		last = i
	}
	out.WriteString(text[last:])
	return out.String()
}

// endsControl tells whether text starts with what a control token ends with.
func endsControl(text string, control []string) bool {
	for _, c := range control {
		for i := 1; i < len(c); i++ {
			if strings.HasPrefix(text, c[i:]) {
				return true
			}
		}
	}
	return false
}
