package benchmark

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// parseYAML reads a file of one YAML document.
func parseYAML(file string, data []byte) (root node, err error) {
	if at := invalidUTF8(data); at >= 0 {
		return node{}, fail(file, 1+bytes.Count(data[:at], []byte("\n")), "the line is not valid UTF-8")
	}
	if line := tooDeep(data); line > 0 {
		return node{}, fail(file, line, "lists are nested more than %d deep", maxDepth)
	}
	defer func() { // the parser is a library's and has panicked on broken files
		if r := recover(); r != nil {
			root, err = node{}, fail(file, 0, "not YAML: %v", r)
		}
	}()
	tree, err := parser.ParseBytes(data, 0)
	if err != nil {
		var syntax yaml.Error
		if errors.As(err, &syntax) && syntax.GetToken() != nil {
			return node{}, fail(file, syntax.GetToken().Position.Line, "not YAML: %s", syntax.GetMessage())
		}
		return node{}, fail(file, 0, "not YAML: %s", err)
	}
	var body ast.Node
	for _, doc := range tree.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType {
			continue
		}
		if body != nil {
			return node{}, fail(file, lineOf(doc.Body), "the file holds a second YAML document")
		}
		body = doc.Body
	}
	if body == nil {
		return node{}, fail(file, 1, "the file is empty")
	}
	c := yamlConverter{file: file, anchors: map[string]ast.Node{}}
	return c.node(body, 0)
}

// stacked finds a line that opens one list, tag or anchor after another.
var stacked = regexp.MustCompile(`(?m)^[ \t]*(?:(?:[-?:]|[!&][^ \t\n]*)[ \t]+){33}`)

// tooDeep is the line on which brackets or dashes nest deeper than any suite's do; 0 for none. The parser recurses, and a Go stack
// that overflows cannot be recovered from. Those within texts count too: a text with that many is no question.
func tooDeep(data []byte) int {
	depth, line := 0, 1
	for _, b := range data {
		switch b {
		case '\n':
			line++
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(depth-1, 0)
		}
		if depth > 100*maxDepth {
			return line
		}
	}
	if at := stacked.FindIndex(data); at != nil {
		return 1 + bytes.Count(data[:at[0]], []byte("\n"))
	}
	return 0
}

type yamlConverter struct {
	file    string
	anchors map[string]ast.Node
	// aliases is how many of them lead to the node that is read, repeated how many values they brought in.
	aliases, repeated int
}

func (c *yamlConverter) node(in ast.Node, depth int) (node, error) {
	if c.aliases > 0 {
		c.repeated++
	}
	if c.repeated > maxRepeated {
		return node{}, fail(c.file, lineOf(in), "aliases repeat more than %d values", maxRepeated)
	}
	if depth > maxDepth {
		return node{}, fail(c.file, lineOf(in), "values are nested more than %d deep", maxDepth)
	}
	n := node{line: lineOf(in)}
	switch in := in.(type) {
	case nil, *ast.NullNode:
		n.kind = isNull
	case *ast.StringNode:
		n.kind, n.text = isText, in.Value
	case *ast.LiteralNode:
		n.kind, n.text = isText, in.Value.Value
	case *ast.IntegerNode:
		n.kind, n.text = isNumber, fmt.Sprint(in.Value)
	case *ast.FloatNode:
		n.kind, n.text = isNumber, in.Token.Value
		if _, ok := n.number(); !ok {
			n.text = fmt.Sprint(in.Value)
		}
	case *ast.InfinityNode, *ast.NanNode:
		return node{}, fail(c.file, n.line, "%s is no number that a case can ask for", in.String())
	case *ast.BoolNode:
		n.kind, n.text = isBoolean, fmt.Sprint(in.Value)
	case *ast.AnchorNode:
		c.anchors[in.Name.String()] = in.Value
		return c.node(in.Value, depth)
	case *ast.AliasNode:
		value, err := c.alias(in)
		if err != nil {
			return node{}, err
		}
		c.aliases++
		defer func() { c.aliases-- }()
		return c.node(value, depth+1)
	case *ast.TagNode:
		return c.tagged(in, depth)
	case *ast.SequenceNode:
		n.kind = isList
		for _, item := range in.Values {
			value, err := c.node(item, depth+1)
			if err != nil {
				return node{}, err
			}
			n.items = append(n.items, value)
		}
	case ast.MapNode:
		n.kind = isMapping
		if err := c.pairs(in, &n, depth); err != nil {
			return node{}, err
		}
	default:
		return node{}, fail(c.file, n.line, "a %s has no meaning in a suite", strings.ToLower(in.Type().String()))
	}
	return n, nil
}

func (c *yamlConverter) alias(in *ast.AliasNode) (ast.Node, error) {
	value, ok := c.anchors[in.Value.String()]
	if !ok {
		return nil, fail(c.file, lineOf(in), "there is no anchor &%s before this alias", in.Value.String())
	}
	return value, nil
}

// tagged reads the standard tags that change how a scalar is read; others name types that a suite has no use for.
func (c *yamlConverter) tagged(in *ast.TagNode, depth int) (node, error) {
	n, err := c.node(in.Value, depth+1)
	if err != nil {
		return node{}, err
	}
	switch tag := in.Start.Value; {
	case tag == "!!str" && n.kind == isNull:
		n.kind = isText
	case tag == "!!str" && n.scalar():
		n.kind = isText
	case tag == "!!int" && n.kind == isNumber, tag == "!!float" && n.kind == isNumber, tag == "!!bool" && n.kind == isBoolean,
		tag == "!!null" && n.kind == isNull, tag == "!!seq" && n.kind == isList, tag == "!!map" && n.kind == isMapping:
	default:
		return node{}, fail(c.file, n.line, "the tag %s does not fit here", tag)
	}
	return n, nil
}

func (c *yamlConverter) pairs(in ast.MapNode, n *node, depth int) error {
	index := map[string]int{}
	var merged []node
	for each := in.MapRange(); each.Next(); {
		if each.Key().IsMergeKey() {
			value, err := c.node(each.Value(), depth+1)
			if err != nil {
				return err
			}
			if value.kind == isList {
				merged = append(merged, value.items...)
			} else {
				merged = append(merged, value)
			}
			continue
		}
		key, err := c.node(each.Key(), depth+1)
		if err != nil {
			return err
		}
		if !key.scalar() {
			return fail(c.file, key.line, "a key is a text, not %s", key.kind)
		}
		if _, twice := index[key.text]; twice {
			return fail(c.file, key.line, "the key %q stands twice", key.text)
		}
		value, err := c.node(each.Value(), depth+1)
		if err != nil {
			return err
		}
		index[key.text] = len(n.pairs)
		n.pairs = append(n.pairs, pair{key: key.text, line: key.line, value: value})
	}
	// What is merged in gives way to the mapping's own keys, and to what was merged before it.
	for _, m := range merged {
		if m.kind != isMapping {
			return fail(c.file, m.line, "only keys with values can be merged, not %s", m.kind)
		}
		for _, p := range m.pairs {
			if _, own := index[p.key]; !own {
				index[p.key] = len(n.pairs)
				n.pairs = append(n.pairs, p)
			}
		}
	}
	return nil
}

// lineOf is the line on which a node starts. A block mapping's own token is its first colon.
func lineOf(in ast.Node) int {
	switch typed := in.(type) {
	case nil:
		return 0
	case *ast.MappingValueNode:
		in = typed.Key
	case *ast.MappingNode:
		if len(typed.Values) > 0 {
			in = typed.Values[0].Key
		}
	}
	if in == nil || in.GetToken() == nil || in.GetToken().Position == nil {
		return 0
	}
	return in.GetToken().Position.Line
}
