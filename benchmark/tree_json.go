package benchmark

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"unicode/utf8"
)

// parseJSON reads one JSON value, whose first line has the number line.
func parseJSON(file string, data []byte, line int) (node, error) {
	p := jsonParser{file: file, data: data, line: line, tokens: json.NewDecoder(bytes.NewReader(data))}
	p.tokens.UseNumber()
	if at := invalidUTF8(data); at >= 0 {
		return node{}, fail(file, line+bytes.Count(data[:at], []byte("\n")), "the line is not valid UTF-8")
	}
	root, err := p.value(0)
	if err != nil {
		return node{}, err
	}
	if _, err := p.tokens.Token(); !errors.Is(err, io.EOF) {
		p.move()
		return node{}, fail(file, p.line, "there is more behind the end of the JSON value")
	}
	return root, nil
}

// parseJSONLines reads one JSON value a line, blank lines aside, as a list.
func parseJSONLines(file string, data []byte) (node, error) {
	root := node{line: 1, kind: isList}
	line := 0
	for text := range bytes.Lines(data) {
		line++
		text = bytes.TrimSpace(text)
		if len(text) == 0 {
			continue
		}
		item, err := parseJSON(file, text, line)
		if err != nil {
			return node{}, err
		}
		root.items = append(root.items, item)
	}
	return root, nil
}

type jsonParser struct {
	file   string
	data   []byte
	tokens *json.Decoder
	seen   int // bytes whose lines are counted
	line   int
}

// move counts the lines up to the end of the last token.
func (p *jsonParser) move() {
	to := min(int(p.tokens.InputOffset()), len(p.data))
	p.line += bytes.Count(p.data[p.seen:to], []byte("\n"))
	p.seen = to
}

func (p *jsonParser) token() (json.Token, error) {
	t, err := p.tokens.Token()
	if err != nil {
		var syntax *json.SyntaxError
		if errors.As(err, &syntax) {
			to := max(min(int(syntax.Offset), len(p.data)), p.seen)
			p.line += bytes.Count(p.data[p.seen:to], []byte("\n"))
			return nil, fail(p.file, p.line, "not JSON: %s", syntax)
		}
		return nil, fail(p.file, p.line+bytes.Count(p.data[p.seen:], []byte("\n")), "not JSON: the text ends too early")
	}
	p.move()
	return t, nil
}

func (p *jsonParser) value(depth int) (node, error) {
	t, err := p.token()
	if err != nil {
		return node{}, err
	}
	if depth > maxDepth {
		return node{}, fail(p.file, p.line, "values are nested more than %d deep", maxDepth)
	}
	n := node{line: p.line}
	switch t := t.(type) {
	case nil:
		n.kind = isNull
	case string:
		n.kind, n.text = isText, t
	case json.Number:
		n.kind, n.text = isNumber, t.String()
	case bool:
		n.kind, n.text = isBoolean, "false"
		if t {
			n.text = "true"
		}
	case json.Delim:
		if t == '[' {
			n.kind = isList
			for p.tokens.More() {
				item, err := p.value(depth + 1)
				if err != nil {
					return node{}, err
				}
				n.items = append(n.items, item)
			}
		} else {
			n.kind = isMapping
			seen := map[string]bool{}
			for p.tokens.More() {
				k, err := p.token()
				if err != nil {
					return node{}, err
				}
				key, line := k.(string), p.line // the decoder lets nothing else be a key
				if seen[key] {
					return node{}, fail(p.file, line, "the key %q stands twice", key)
				}
				seen[key] = true
				value, err := p.value(depth + 1)
				if err != nil {
					return node{}, err
				}
				n.pairs = append(n.pairs, pair{key: key, line: line, value: value})
			}
		}
		if _, err := p.token(); err != nil { // the closing bracket
			return node{}, err
		}
	}
	return n, nil
}

// invalidUTF8 is where data stops being UTF-8; -1 when it never does.
func invalidUTF8(data []byte) int {
	if utf8.Valid(data) {
		return -1
	}
	at := 0
	for at < len(data) {
		r, size := utf8.DecodeRune(data[at:])
		if r == utf8.RuneError && size <= 1 {
			break
		}
		at += size
	}
	return at
}
