package benchmark

import (
	"fmt"
	"regexp"
	"strings"
)

// placeholder is the one piece of promptfoo's template language that is understood: a var by its name.
var placeholder = regexp.MustCompile(`\{\{-?\s*([A-Za-z_][\w.-]*?)\s*-?\}\}`)

// render puts the values in a template's places. It fails on a name without a value and on the rest of the template language,
// which would otherwise stand in the question as it is.
func render(template string, values map[string]string) (string, error) {
	var missing string
	var left strings.Builder // the template without its places
	last := 0
	out := placeholder.ReplaceAllStringFunc(template, func(found string) string {
		name := placeholder.FindStringSubmatch(found)[1]
		value, ok := values[name]
		if !ok {
			missing = name
		}
		return value
	})
	for _, at := range placeholder.FindAllStringIndex(template, -1) {
		left.WriteString(template[last:at[0]])
		last = at[1]
	}
	left.WriteString(template[last:])
	if missing != "" {
		return "", fmt.Errorf("there is no var %q for its {{%s}}", missing, missing)
	}
	for _, open := range []string{"{{", "{%"} {
		if strings.Contains(left.String(), open) {
			return "", fmt.Errorf("only {{name}} is understood of the template language, not what stands at %q", excerpt(left.String(), open))
		}
	}
	return out, nil
}

// renderKnown puts values in their places and leaves all else as it is: a text that is looked for may hold braces.
func renderKnown(template string, values map[string]string) string {
	return placeholder.ReplaceAllStringFunc(template, func(found string) string {
		if value, ok := values[placeholder.FindStringSubmatch(found)[1]]; ok {
			return value
		}
		return found
	})
}

func refersTo(template, name string) bool {
	for _, found := range placeholder.FindAllStringSubmatch(template, -1) {
		if found[1] == name {
			return true
		}
	}
	return false
}

// excerpt is the text from mark on, at most 30 characters of it.
func excerpt(text, mark string) string {
	_, after, _ := strings.Cut(text, mark)
	runes := []rune(mark + after)
	return string(runes[:min(len(runes), 30)])
}
