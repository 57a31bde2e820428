package evaluation

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Row is a question with the label that is right for it.
type Row struct {
	Input    string
	Expected string
}

// ScopeRow is a question, and whether it is one that the model is there for.
type ScopeRow struct {
	Input   string
	InScope bool
}

// LineError is a line that does not parse.
type LineError struct {
	File    string
	Line    int // the first is 1
	Message string
}

func (e *LineError) Error() string { return fmt.Sprintf("%s:%d: %s", e.File, e.Line, e.Message) }

// MaxInputBytes bounds a row's input; a longer one is no question, and no model's window holds it.
const MaxInputBytes = 64 << 10

// ReadRows reads JSON lines {"input": "...", "expected": "..."}, blank lines aside. Other fields are left alone,
// so that a row may carry an id. The first line that does not parse is a *LineError with name as its file; so
// is a file without rows.
func ReadRows(r io.Reader, name string) ([]Row, error) {
	var rows []Row
	err := eachLine(r, name, func(data []byte) error {
		var in struct {
			Input    *string `json:"input"`
			Expected *string `json:"expected"`
		}
		if err := json.Unmarshal(data, &in); err != nil {
			return describe(err)
		}
		if err := checkInput(in.Input); err != nil {
			return err
		}
		switch {
		case in.Expected == nil:
			return errors.New(`the field "expected" is missing`)
		case strings.TrimSpace(*in.Expected) == "":
			return errors.New(`the field "expected" is empty`)
		}
		rows = append(rows, Row{*in.Input, *in.Expected})
		return nil
	})
	return rows, err
}

// ReadScopeRows reads JSON lines {"input": "...", "in_scope": true}, as ReadRows does.
func ReadScopeRows(r io.Reader, name string) ([]ScopeRow, error) {
	var rows []ScopeRow
	err := eachLine(r, name, func(data []byte) error {
		var in struct {
			Input   *string `json:"input"`
			InScope *bool   `json:"in_scope"`
		}
		if err := json.Unmarshal(data, &in); err != nil {
			return describe(err)
		}
		if err := checkInput(in.Input); err != nil {
			return err
		}
		if in.InScope == nil {
			return errors.New(`the field "in_scope" is missing`)
		}
		rows = append(rows, ScopeRow{*in.Input, *in.InScope})
		return nil
	})
	return rows, err
}

// eachLine calls parse with each line that is not blank.
func eachLine(r io.Reader, name string, parse func([]byte) error) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff")) // editors on Windows begin a file with it
	line, rows := 0, 0
	for text := range bytes.Lines(data) {
		line++
		text = bytes.TrimSpace(text)
		if len(text) == 0 {
			continue
		}
		if !utf8.Valid(text) {
			return &LineError{name, line, "the line is not valid UTF-8"}
		}
		if err := parse(text); err != nil {
			return &LineError{name, line, err.Error()}
		}
		rows++
	}
	if rows == 0 {
		return &LineError{name, max(line, 1), "the file holds no row"}
	}
	return nil
}

func checkInput(input *string) error {
	switch {
	case input == nil:
		return errors.New(`the field "input" is missing`)
	case strings.TrimSpace(*input) == "":
		return errors.New(`the field "input" is empty`)
	case len(*input) > MaxInputBytes:
		return fmt.Errorf(`the field "input" is %d bytes long, %d are the most`, len(*input), MaxInputBytes)
	}
	return nil
}

// describe says what is wrong with a line in the words of JSON rather than of Go.
func describe(err error) error {
	var wrong *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrong) && wrong.Field == "":
		return fmt.Errorf("a row is a JSON object, not %s", wrong.Value)
	case errors.As(err, &wrong):
		return fmt.Errorf("the field %q is %s, which is of the wrong type", wrong.Field, wrong.Value)
	default:
		return fmt.Errorf("not JSON: %w", err)
	}
}
