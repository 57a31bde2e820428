package benchmark

import (
	"bytes"
	"encoding/json"
	"io"
	"reflect"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// gradeIsJSON asks for one JSON value and nothing else, which conforms to the schema where there is one.
func gradeIsJSON(a *Assertion, _ Case, reply Reply) (bool, float64, string) {
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(reply.Text))
	if err != nil {
		return false, 0, "the reply is not JSON"
	}
	return a.conforms(value)
}

// gradeContainsJSON asks for an object or a list somewhere in the reply, such as within a fence.
func gradeContainsJSON(a *Assertion, _ Case, reply Reply) (bool, float64, string) {
	found := "the reply holds no JSON"
	text := reply.Text
	for tries := 0; tries < 100; tries++ { // a reply of brackets would take quadratic time
		start := strings.IndexAny(text, "{[")
		if start < 0 {
			break
		}
		text = text[start:]
		values := json.NewDecoder(strings.NewReader(text))
		values.UseNumber()
		var value any
		if values.Decode(&value) == nil {
			pass, score, why := a.conforms(value)
			if pass {
				return pass, score, "the reply holds JSON"
			}
			found = why
		}
		text = text[1:]
	}
	return false, 0, found
}

func (a *Assertion) conforms(value any) (bool, float64, string) {
	schema, err := a.compiledSchema()
	if err == nil && schema != nil {
		err = schema.Validate(value)
	}
	if err != nil {
		lines := strings.Split(err.Error(), "\n")
		return false, 0, "the JSON does not conform: " + quote(strings.TrimSpace(lines[len(lines)-1]))
	}
	return true, 1, "the reply is JSON"
}

// sameJSON tells whether two JSON texts have the same value, numbers by their value.
func sameJSON(a, b []byte) bool {
	var x, y any
	if json.Unmarshal(a, &x) != nil || json.Unmarshal(b, &y) != nil {
		return false
	}
	return reflect.DeepEqual(x, y)
}

func compactJSON(to *bytes.Buffer, data []byte) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return io.ErrUnexpectedEOF
	}
	return json.Compact(to, data)
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
