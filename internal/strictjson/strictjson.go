// Package strictjson reads the JSON objects that callers send. It refuses what encoding/json lets pass or mends in silence:
// names in another case, names that nobody knows or that stand there twice, bytes and escapes that are no character, and
// what follows the object. Its errors say in a caller's words what is wrong, and where.
package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Error says what is wrong with a caller's JSON.
type Error struct {
	Field   string // where, such as "messages[2].role"; "" when it is no one field
	Message string
}

func (e *Error) Error() string { return e.Message }

// Body reads text, which is exactly one JSON object, into v, a pointer to a struct. The json tags of v, plain names, say what
// may stand in it.
func Body(text []byte, v any) *Error {
	// encoding/json would put U+FFFD in place of bytes that are not UTF-8, and nobody would know.
	if !utf8.Valid(text) {
		return &Error{Message: "the body is not valid UTF-8"}
	}
	trimmed := bytes.Trim(text, " \t\r\n") // what JSON calls white space
	switch {
	case len(trimmed) == 0:
		return &Error{Message: "the body is empty: send a JSON object"}
	case trimmed[0] != '{':
		return &Error{Message: "the body must be a JSON object"}
	}
	if halfCharacter(text) {
		return &Error{Message: `the body is not valid Unicode: a \u escape holds one half of a surrogate pair`}
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(v); err != nil {
		return explain(err, "")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return &Error{Message: "the body must hold one JSON object and nothing after it"}
	}
	return checkNames(text, v, "")
}

// Object reads text, a part of what Body has read, into v in the same way. where is its place in the body, such as
// "messages[2]".
func Object(text json.RawMessage, v any, where string) *Error {
	if !bytes.HasPrefix(text, []byte("{")) {
		return &Error{Field: where, Message: where + " must be an object"}
	}
	if err := json.Unmarshal(text, v); err != nil {
		return explain(err, where)
	}
	return checkNames(text, v, where)
}

// Given tells whether a member of an object was sent with a value. null counts as missing.
func Given(text json.RawMessage) bool { return len(text) > 0 && string(text) != "null" }

// Shortened keeps a message readable whatever stands in the body.
func Shortened(value string) string {
	if len(value) > 40 {
		return strings.ToValidUTF8(value[:40], "") + "..."
	}
	return value
}

// checkNames refuses a field that v has no tag for and one that stands there twice. encoding/json takes a
// name in another case, and the last of two.
func checkNames(object []byte, v any, where string) *Error {
	known := map[string]bool{}
	for _, field := range reflect.VisibleFields(reflect.TypeOf(v).Elem()) {
		if name := field.Tag.Get("json"); name != "" { // an embedded struct has none
			known[name] = true
		}
	}
	seen := map[string]bool{}
	decoder := json.NewDecoder(bytes.NewReader(object))
	_, err := decoder.Token() // the brace
	for err == nil && decoder.More() {
		var token json.Token
		if token, err = decoder.Token(); err != nil {
			break
		}
		name, _ := token.(string)
		switch shown := inside(where, Shortened(name)); {
		case !known[name]:
			return &Error{Field: shown, Message: fmt.Sprintf("there is no field %q; GET /openapi.yaml lists those there are", shown)}
		case seen[name]:
			return &Error{Field: shown, Message: shown + " stands there twice"}
		}
		seen[name] = true
		var value json.RawMessage
		err = decoder.Decode(&value)
	}
	if err != nil {
		return explain(err, where)
	}
	return nil
}

func inside(where, name string) string {
	switch {
	case where == "":
		return name
	case name == "":
		return where
	default:
		return where + "." + name
	}
}

func explain(err error, where string) *Error {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) {
		field := inside(where, wrongType.Field)
		return &Error{Field: field, Message: fmt.Sprintf("%s must be %s, not %s", field, article(wrongType.Type), Shortened(wrongType.Value))}
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return &Error{Message: "the JSON ends too early"}
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return &Error{Message: fmt.Sprintf("the body is not JSON: %s, at byte %d", syntax, syntax.Offset)}
	}
	return &Error{Message: "the body is not the JSON that this route takes"}
}

// escapes finds each escape of a JSON text; its group holds one half of a surrogate pair that stands alone.
var escapes = regexp.MustCompile(`\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)`)

// halfCharacter tells whether a \u escape holds half a character. encoding/json puts U+FFFD in its
// place, as it does with bytes that are not UTF-8.
func halfCharacter(body []byte) bool {
	if !bytes.Contains(body, []byte(`\ud`)) && !bytes.Contains(body, []byte(`\uD`)) {
		return false
	}
	for _, match := range escapes.FindAllSubmatchIndex(body, -1) {
		if match[2] >= 0 {
			return true
		}
	}
	return false
}

func article(wanted reflect.Type) string {
	switch wanted.Kind() {
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float64:
		return "a finite number"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Map, reflect.Struct:
		return "an object"
	default:
		return "a " + wanted.Kind().String()
	}
}
