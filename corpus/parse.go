package corpus

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// file is a corpus file as written: every text keeps its line, so that later checks can name it.
type file struct {
	name    string
	topic   text
	intents []rawIntent
}

type rawIntent struct {
	line                             int
	name, kind                       text
	after, answers, facts, forbidden []text
	families                         [][]text
	hasContext                       bool
	contextLine                      int
	contextFact                      text
	contextLines, contextAnswers     []text
}

type text struct {
	value string
	line  int
}

// reader walks one file's syntax tree. The tree is walked by hand rather than decoded into structs
// because a decoder forgets the lines that errors must name.
type reader struct {
	name string
}

func (r reader) fail(line int, format string, args ...any) error {
	return &Error{File: r.name, Line: line, Message: fmt.Sprintf(format, args...)}
}

// parse reads one file's shape: known keys only, each of the right type. What the texts say is
// checked by build.
func parse(name string, data []byte) (file, error) {
	r := reader{name: name}
	body, err := r.document(data)
	if err != nil {
		return file{}, err
	}
	f := file{name: name}
	err = r.mapping(body, func(key text, value ast.Node) (err error) {
		switch key.value {
		case "topic":
			f.topic, err = r.text(value)
		case "intents":
			err = r.sequence(value, func(item ast.Node) error {
				intent, err := r.intent(item)
				f.intents = append(f.intents, intent)
				return err
			})
		default:
			err = r.fail(key.line, "unknown key %q", key.value)
		}
		return err
	})
	if err != nil {
		return file{}, err
	}
	if f.topic.value == "" {
		return file{}, r.fail(line(body), `the key "topic" is missing`)
	}
	if len(f.intents) == 0 {
		return file{}, r.fail(line(body), `the key "intents" is missing or empty`)
	}
	return f, nil
}

// document gives the root of a file's syntax tree.
func (r reader) document(data []byte) (ast.Node, error) {
	if err := checkBytes(r.name, data); err != nil {
		return nil, err
	}
	tree, err := parser.ParseBytes(data, 0)
	if err != nil {
		var syntax yaml.Error
		if errors.As(err, &syntax) && syntax.GetToken() != nil {
			return nil, r.fail(syntax.GetToken().Position.Line, "%s", syntax.GetMessage())
		}
		return nil, r.fail(0, "%s", err)
	}
	if len(tree.Docs) != 1 || tree.Docs[0].Body == nil {
		return nil, r.fail(1, "the file must hold one YAML document")
	}
	return tree.Docs[0].Body, nil
}

func (r reader) intent(node ast.Node) (rawIntent, error) {
	in := rawIntent{line: line(node)}
	err := r.mapping(node, func(key text, value ast.Node) (err error) {
		switch key.value {
		case "name":
			in.name, err = r.text(value)
		case "kind":
			in.kind, err = r.text(value)
		case "after":
			in.after, err = r.texts(value)
		case "facts":
			in.facts, err = r.texts(value)
		case "forbidden":
			in.forbidden, err = r.texts(value)
		case "answers":
			in.answers, err = r.texts(value)
		case "context":
			in.hasContext, in.contextLine = true, key.line
			err = r.context(value, &in)
		case "families":
			err = r.sequence(value, func(item ast.Node) error {
				family, err := r.texts(item)
				in.families = append(in.families, family)
				return err
			})
		default:
			err = r.fail(key.line, "unknown key %q in an intent", key.value)
		}
		return err
	})
	return in, err
}

func (r reader) context(node ast.Node, in *rawIntent) error {
	return r.mapping(node, func(key text, value ast.Node) (err error) {
		switch key.value {
		case "fact":
			in.contextFact, err = r.text(value)
		case "lines":
			in.contextLines, err = r.texts(value)
		case "answers":
			in.contextAnswers, err = r.texts(value)
		default:
			err = r.fail(key.line, "unknown key %q in a context", key.value)
		}
		return err
	})
}

// mapping calls each for every key of a mapping, and refuses a key that stands twice.
func (r reader) mapping(node ast.Node, each func(key text, value ast.Node) error) error {
	mapping, ok := node.(ast.MapNode)
	if !ok {
		return r.fail(line(node), "expected keys with values, found %s", describe(node))
	}
	var seen []string
	for pair := mapping.MapRange(); pair.Next(); {
		key, err := r.text(pair.Key())
		if err != nil {
			return err
		}
		if slices.Contains(seen, key.value) {
			return r.fail(key.line, "the key %q stands twice", key.value)
		}
		seen = append(seen, key.value)
		if err := each(key, pair.Value()); err != nil {
			return err
		}
	}
	return nil
}

func (r reader) sequence(node ast.Node, each func(ast.Node) error) error {
	sequence, ok := node.(*ast.SequenceNode)
	if !ok {
		return r.fail(line(node), "expected a list, found %s", describe(node))
	}
	for _, item := range sequence.Values {
		if err := each(item); err != nil {
			return err
		}
	}
	return nil
}

func (r reader) texts(node ast.Node) ([]text, error) {
	var out []text
	err := r.sequence(node, func(item ast.Node) error {
		t, err := r.text(item)
		out = append(out, t)
		return err
	})
	return out, err
}

// text accepts strings only: an unquoted 12, yes or ~ would silently become something else.
func (r reader) text(node ast.Node) (text, error) {
	switch node := node.(type) {
	case *ast.StringNode:
		return text{value: node.Value, line: line(node)}, nil
	case *ast.LiteralNode:
		return text{value: strings.TrimSpace(node.Value.Value), line: line(node)}, nil
	default:
		return text{}, r.fail(line(node), "expected a text, found %s (quote it if it is meant as text)", describe(node))
	}
}

func describe(node ast.Node) string {
	if node == nil {
		return "nothing"
	}
	return "a " + strings.ToLower(node.Type().String())
}

// line is the line on which a node starts. A block mapping's own token is its first colon.
func line(node ast.Node) int {
	if node == nil {
		return 0
	}
	if pair, ok := node.(*ast.MappingValueNode); ok && pair.Key != nil {
		node = pair.Key
	}
	if mapping, ok := node.(*ast.MappingNode); ok && len(mapping.Values) > 0 && mapping.Values[0].Key != nil {
		node = mapping.Values[0].Key
	}
	if node.GetToken() == nil || node.GetToken().Position == nil {
		return 0
	}
	return node.GetToken().Position.Line
}
