package benchmark

import (
	"encoding/json"
	"fmt"
	"strconv"

	"teller/evaluation"
)

// Bounds on what a suite's file may hold. They keep a file that was made by mistake or malice from eating the memory: aliases can
// make a short YAML file long.
const (
	maxFileBytes = 64 << 20
	maxRepeated  = 100_000 // values that aliases repeat
	maxDepth     = 32
)

type kind string

const (
	isNull    kind = "nothing"
	isText    kind = "a text"
	isNumber  kind = "a number"
	isBoolean kind = "true or false"
	isList    kind = "a list"
	isMapping kind = "keys with values"
)

// node is a value of a YAML or JSON file with the line it stands on. Files are walked as trees rather than decoded into
// structs because a decoder forgets the lines that errors must name.
type node struct {
	line  int
	kind  kind
	text  string // of a text, a number or a boolean
	items []node // of a list
	pairs []pair // of a mapping
}

type pair struct {
	key   string
	line  int
	value node
}

// get gives the value of a mapping's key.
func (n node) get(key string) (node, bool) {
	for _, p := range n.pairs {
		if p.key == key {
			return p.value, true
		}
	}
	return node{}, false
}

// scalar tells whether the node is a text or can be written as one.
func (n node) scalar() bool { return n.kind == isText || n.kind == isNumber || n.kind == isBoolean }

// number gives a number's value, or that of a text that is a number.
func (n node) number() (float64, bool) {
	if n.kind != isNumber && n.kind != isText {
		return 0, false
	}
	v, err := strconv.ParseFloat(n.text, 64)
	return v, err == nil && v-v == 0 // finite
}

// json writes the node as JSON.
func (n node) json() (json.RawMessage, error) { return json.Marshal(n.plain()) }

func (n node) plain() any {
	switch n.kind {
	case isText:
		return n.text
	case isNumber:
		if json.Valid([]byte(n.text)) {
			return json.Number(n.text)
		}
		v, _ := n.number() // YAML writes numbers in more ways than JSON does
		return v
	case isBoolean:
		return n.text == "true"
	case isList:
		out := make([]any, len(n.items))
		for i, item := range n.items {
			out[i] = item.plain()
		}
		return out
	case isMapping:
		out := make(map[string]any, len(n.pairs))
		for _, p := range n.pairs {
			out[p.key] = p.value.plain()
		}
		return out
	default:
		return nil
	}
}

func fail(file string, line int, format string, args ...any) error {
	return &evaluation.LineError{File: file, Line: line, Message: fmt.Sprintf(format, args...)}
}

func place(file string, line int) string { return file + ":" + strconv.Itoa(line) }
