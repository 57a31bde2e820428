package fakeserver

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode"
)

// constrained is the reply of a provider that was told nothing to a request that binds it: the script's choice, or the
// first value of an enumeration; the smallest instance of a schema. "" for a request that does not bind.
func (b Behaviour) constrained(r Request) string {
	if len(r.Enum) > 0 {
		if slices.Contains(r.Enum, b.Choice) {
			return b.Choice
		}
		return r.Enum[0]
	}
	var schema map[string]any
	if json.Unmarshal(r.Schema, &schema) != nil {
		return ""
	}
	text, err := json.Marshal(b.instance(schema))
	if err != nil {
		return ""
	}
	return string(text)
}

// instance makes a value that conforms to schema, as far as the tests' schemas go.
func (b Behaviour) instance(schema map[string]any) any {
	if values, ok := schema["enum"].([]any); ok && len(values) > 0 {
		if slices.Contains(values, any(b.Choice)) {
			return b.Choice
		}
		return values[0]
	}
	switch schema["type"] {
	case "object":
		out := map[string]any{}
		properties, _ := schema["properties"].(map[string]any)
		required, _ := schema["required"].([]any)
		for _, name := range required {
			name, _ := name.(string)
			property, _ := properties[name].(map[string]any)
			out[name] = b.instance(property)
		}
		return out
	case "array":
		return []any{}
	case "number", "integer":
		return 0
	case "boolean":
		return true
	default:
		return "text"
	}
}

// Tokens cuts text into the tokens that the fakes count: each word with the white space before it. They join to
// text again.
func Tokens(text string) []string {
	var out []string
	start, inWord := 0, false
	for i, r := range text {
		space := unicode.IsSpace(r)
		if space && inWord {
			out = append(out, text[start:i])
			start = i
		}
		inWord = !space
	}
	rest := text[start:]
	if strings.TrimSpace(rest) == "" && len(out) > 0 {
		out[len(out)-1] += rest
	} else if rest != "" {
		out = append(out, rest)
	}
	return out
}
