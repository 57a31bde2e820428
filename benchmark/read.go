package benchmark

import (
	"encoding/json"
	"io/fs"
	"path"
	"slices"
	"strings"

	"teller/llm"
)

// reader reads one file's tree.
type reader struct {
	*loader
	file, short string // short is the file's path within the suite
	root        node
	prompts     []prompt
	defaults    defaults
}

// defaults are what promptfoo's defaultTest gives to every case of its file.
type defaults struct {
	vars      []pair
	assert    []node
	metadata  []pair
	threshold *float64
}

// prompt is a template of what is asked.
type prompt struct {
	line             int
	context, message string
}

func (r *reader) fail(line int, format string, args ...any) error {
	return fail(r.file, line, format, args...)
}

// config reads promptfoo's configuration. Keys that say which models are asked, and how, are left out of account: here the
// configured models are, each in the same way.
func (r *reader) config(root node) error {
	var tests node
	for _, p := range root.pairs {
		switch p.key {
		case "tests":
			tests = p.value
		case "prompts":
			if err := r.readPrompts(p.value); err != nil {
				return err
			}
		case "defaultTest":
			if err := r.readDefaults(p.value); err != nil {
				return err
			}
		case "description", "assertionTemplates", "$schema":
		case "providers", "targets", "env", "evaluateOptions", "commandLineOptions", "outputPath", "sharing", "tags", "metadata",
			"extensions", "derivedMetrics", "writeLatestResults":
			r.note("%s: the key %q is left out of account", r.file, p.key)
		default:
			return r.fail(p.line, "the key %q has no meaning in a suite", p.key)
		}
	}
	if tests.kind == "" {
		return r.fail(root.line, `the key "tests" is missing`)
	}
	return r.tests(tests)
}

// tests reads a list of cases; a text in it, or in its place, names a file of them.
func (r *reader) tests(list node) error {
	if list.kind == isText {
		list = node{line: list.line, kind: isList, items: []node{list}}
	}
	if list.kind != isList {
		return r.fail(list.line, "expected a list of cases, found %s", list.kind)
	}
	for _, item := range list.items {
		item, err := r.resolve(item)
		if err != nil {
			return err
		}
		if item.kind == isText {
			err = r.include(item)
		} else {
			err = r.test(item)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// include reads the cases of another file, with this file's prompts and defaults.
func (r *reader) include(name node) error {
	file, err := r.beside(name)
	if err != nil {
		return err
	}
	if !isSuiteFile(file) {
		return r.fail(name.line, "%s: cases are read from .yaml, .yml, .json, .jsonl and .ndjson", name.text)
	}
	if r.depth == maxDepth {
		return r.fail(name.line, "files name one another more than %d deep", maxDepth)
	}
	root, err := readTree(r.fsys, file)
	if err != nil {
		return err
	}
	inner := reader{loader: r.loader, file: file, short: path.Join(path.Dir(r.short), strings.TrimPrefix(name.text, "file://")),
		root: root, prompts: r.prompts, defaults: r.defaults}
	r.depth++
	defer func() { r.depth-- }()
	if root.kind == isMapping {
		return inner.config(root)
	}
	return inner.tests(root)
}

// beside is the path of a file that this one names.
func (r *reader) beside(name node) (string, error) {
	file := path.Join(path.Dir(r.file), strings.TrimPrefix(name.text, "file://"))
	if _, err := fs.Stat(r.fsys, file); err != nil {
		return "", r.fail(name.line, "the file %q that is named here cannot be read beside this one", name.text)
	}
	return file, nil
}

func (r *reader) readDefaults(n node) error {
	if n.kind != isMapping {
		return r.fail(n.line, "expected keys with values, found %s", n.kind)
	}
	for _, p := range n.pairs {
		var err error
		switch p.key {
		case "vars":
			r.defaults.vars, err = r.mapping(p)
		case "assert":
			r.defaults.assert, err = r.list(p)
		case "metadata":
			r.defaults.metadata, err = r.mapping(p)
		case "threshold":
			r.defaults.threshold, err = r.share(p)
		case "description":
		case "options", "provider":
			err = r.options(p)
		default:
			err = r.fail(p.line, "the key %q has no meaning in defaultTest", p.key)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// options are left out of account, except for those that would change what is asked or graded.
func (r *reader) options(p pair) error {
	for _, o := range p.value.pairs {
		if slices.Contains([]string{"transform", "transformVars", "postprocess", "prefix", "suffix"}, o.key) {
			return r.fail(o.line, "the option %q is not supported", o.key)
		}
	}
	r.note("%s: the key %q is left out of account", r.file, p.key)
	return nil
}

func (r *reader) readPrompts(n node) error {
	if n.kind == isText {
		n = node{line: n.line, kind: isList, items: []node{n}}
	}
	if n.kind != isList {
		return r.fail(n.line, "expected a list of prompts, found %s", n.kind)
	}
	for _, item := range n.items {
		text := item
		if item.kind == isMapping {
			for _, key := range []string{"raw", "id"} {
				if value, ok := item.get(key); ok && value.kind == isText {
					text = value
					break
				}
			}
		}
		if text.kind != isText {
			return r.fail(item.line, "a prompt is a text")
		}
		if strings.HasPrefix(text.text, "file://") {
			file, err := r.beside(text)
			if err != nil || !slices.Contains([]string{".txt", ".md", ".json"}, path.Ext(file)) {
				r.note("%s: the prompt %s is left out of account", r.file, text.text)
				continue
			}
			data, err := readFile(r.fsys, file)
			if err != nil {
				return err
			}
			text.text = string(data)
		}
		p, err := r.prompt(text)
		if err != nil {
			return err
		}
		r.prompts = append(r.prompts, p)
	}
	return nil
}

// prompt reads a template: a text, or a dialogue in JSON as promptfoo writes it.
func (r *reader) prompt(n node) (prompt, error) {
	var dialogue []struct {
		Role    llm.Role `json:"role"`
		Content string   `json:"content"`
	}
	if json.Unmarshal([]byte(n.text), &dialogue) != nil || len(dialogue) == 0 {
		return prompt{line: n.line, message: n.text}, nil
	}
	last := dialogue[len(dialogue)-1]
	switch {
	case len(dialogue) == 1 && last.Role == llm.User:
		return prompt{line: n.line, message: last.Content}, nil
	case len(dialogue) == 2 && dialogue[0].Role == llm.System && last.Role == llm.User:
		return prompt{line: n.line, context: dialogue[0].Content, message: last.Content}, nil
	}
	return prompt{}, r.fail(n.line, "a prompt's dialogue is a user's message, or a system's and a user's")
}

// resolve follows a reference {$ref: "#/a/b"} within the file, which promptfoo uses for assertionTemplates.
func (r *reader) resolve(n node) (node, error) {
	for range maxDepth {
		ref, ok := n.get("$ref")
		if !ok {
			return n, nil
		}
		to, ok := strings.CutPrefix(ref.text, "#/")
		if !ok {
			return node{}, r.fail(ref.line, "the reference %q does not start with #/", ref.text)
		}
		target := r.root
		for part := range strings.SplitSeq(to, "/") {
			if target, ok = target.get(part); !ok {
				return node{}, r.fail(ref.line, "the reference %q leads nowhere", ref.text)
			}
		}
		n = target
	}
	return node{}, r.fail(n.line, "references lead in a circle")
}

func (r *reader) mapping(p pair) ([]pair, error) {
	if p.value.kind != isMapping {
		return nil, r.fail(p.line, "%s: expected keys with values, found %s", p.key, p.value.kind)
	}
	return p.value.pairs, nil
}

func (r *reader) list(p pair) ([]node, error) {
	if p.value.kind != isList {
		return nil, r.fail(p.line, "%s: expected a list, found %s", p.key, p.value.kind)
	}
	return p.value.items, nil
}

// share reads a number from 0 to 1.
func (r *reader) share(p pair) (*float64, error) {
	v, ok := p.value.number()
	if !ok || v < 0 || v > 1 {
		return nil, r.fail(p.line, "%s: expected a number from 0 to 1, found %s %s", p.key, p.value.kind, p.value.text)
	}
	return &v, nil
}
