package benchmark

import (
	"fmt"
	"slices"
	"strings"
)

// Bounds on one case, far above what a question to a bank needs.
const (
	maxCaseBytes = 1 << 20 // message and context together
	maxIDBytes   = 200
	maxVariants  = 1000 // of one case whose vars hold lists
)

// messageVars are the vars that hold the message of a file without prompts, in the order in which they are looked for.
var messageVars = []string{"message", "prompt", "question", "input", "query"}

// test reads one case, which is several when its vars hold lists or its file has several prompts.
func (r *reader) test(n node) error {
	if n.kind != isMapping {
		return r.fail(n.line, "a case is keys with values, not %s", n.kind)
	}
	c := Case{file: r.file, line: n.line, Category: Uncategorised, Threshold: r.defaults.threshold}
	vars, asserts, metadata := r.defaults.vars, r.defaults.assert, r.defaults.metadata
	for _, p := range n.pairs {
		var err error
		switch p.key {
		case "description":
			c.Description, err = r.text(p)
		case "vars":
			var own []pair
			own, err = r.mapping(p)
			vars = override(vars, own)
		case "assert":
			var own []node
			own, err = r.list(p)
			asserts = slices.Concat(asserts, own)
		case "metadata":
			var own []pair
			own, err = r.mapping(p)
			metadata = override(metadata, own)
		case "threshold":
			c.Threshold, err = r.share(p)
		case "options", "provider", "providers", "prompts":
			err = r.options(p)
		default:
			err = r.fail(p.line, "the key %q has no meaning in a case", p.key)
		}
		if err != nil {
			return err
		}
	}
	if err := r.metadata(&c, metadata); err != nil {
		return err
	}
	if len(asserts) == 0 {
		return r.fail(c.line, "the case asserts nothing, so that every reply would be right")
	}
	return r.variants(c, vars, asserts)
}

// override gives base with its values replaced, and its keys added to, by those of own.
func override(base, own []pair) []pair {
	out := slices.Clone(base)
	for _, p := range own {
		if i := slices.IndexFunc(out, func(b pair) bool { return b.key == p.key }); i >= 0 {
			out[i] = p
		} else {
			out = append(out, p)
		}
	}
	return out
}

func (r *reader) metadata(c *Case, metadata []pair) error {
	c.ID = place(r.short, c.line)
	for _, p := range metadata {
		var to *string
		switch p.key {
		case "id":
			to = &c.ID
		case "category":
			to = &c.Category
		case "family":
			to = &c.Family
		default:
			continue // promptfoo's users keep what they like here
		}
		text, err := r.text(p)
		if err != nil {
			return err
		}
		if text == "" || len(text) > maxIDBytes {
			return r.fail(p.line, "metadata.%s has 1 to %d bytes", p.key, maxIDBytes)
		}
		*to = text
	}
	if c.Family == "" {
		c.Family = c.ID
	}
	return nil
}

// variants adds one case for every way to pick one item of each var that is a list, and for every prompt.
func (r *reader) variants(c Case, vars []pair, asserts []node) error {
	picks, err := r.picks(c.line, vars)
	if err != nil {
		return err
	}
	hasMessage := slices.ContainsFunc(vars, func(p pair) bool { return p.key == "message" })
	prompts := r.prompts
	if hasMessage && len(prompts) > 0 {
		r.note("%s: the prompts are left out of account, since vars hold the message", r.file)
	}
	if hasMessage || len(prompts) == 0 {
		prompts = []prompt{{}}
	}
	id, several := c.ID, len(picks)*len(prompts) > 1
	for i, values := range picks {
		for j, p := range prompts {
			c := c
			if several {
				c.ID = fmt.Sprintf("%s#%d", id, i*len(prompts)+j+1)
			}
			if p == (prompt{}) {
				err = r.plainMessage(&c, values)
			} else {
				err = r.rendered(&c, p, values)
			}
			if err != nil {
				return err
			}
			if len(c.Message)+len(c.Context) > maxCaseBytes {
				return r.fail(c.line, "message and context are longer than 1 MiB")
			}
			if strings.TrimSpace(c.Message) == "" {
				return r.fail(c.line, "the message is empty")
			}
			if c.Assert, err = r.assertions(asserts, values); err != nil {
				return err
			}
			if err := r.add(c); err != nil {
				return err
			}
		}
	}
	return nil
}

// picks gives the values of the vars, once for every combination of their lists' items.
func (r *reader) picks(line int, vars []pair) ([]map[string]string, error) {
	picks := []map[string]string{{}}
	for _, v := range vars {
		items := []node{v.value}
		if v.value.kind == isList {
			items = v.value.items
		}
		if len(items) == 0 || len(items)*len(picks) > maxVariants {
			return nil, r.fail(v.line, "vars.%s: a list has at least one item, and a case at most %d variants", v.key, maxVariants)
		}
		var next []map[string]string
		for _, values := range picks {
			for _, item := range items {
				text, err := r.varText(v, item)
				if err != nil {
					return nil, err
				}
				more := map[string]string{v.key: text}
				for key, value := range values {
					more[key] = value
				}
				next = append(next, more)
			}
		}
		picks = next
	}
	if len(vars) == 0 && len(r.prompts) == 0 {
		return nil, r.fail(line, "the case has no vars.message")
	}
	return picks, nil
}

func (r *reader) varText(v pair, item node) (string, error) {
	switch {
	case item.kind == isText && strings.HasPrefix(item.text, "file://"):
		return "", r.fail(v.line, "vars.%s: values from files are not supported", v.key)
	case item.scalar():
		return item.text, nil
	case item.kind == isMapping || item.kind == isList:
		data, err := item.json()
		return string(data), err
	default:
		return "", r.fail(v.line, "vars.%s has no value", v.key)
	}
}

func (r *reader) plainMessage(c *Case, values map[string]string) error {
	c.Context = values["context"]
	for _, name := range messageVars {
		if text, ok := values[name]; ok {
			c.Message = text
			return nil
		}
	}
	return r.fail(c.line, "the case has no vars.message, and its file no prompts to render (vars.prompt, question, input and query would do too)")
}

func (r *reader) rendered(c *Case, p prompt, values map[string]string) error {
	var err error
	if c.Message, err = render(p.message, values); err == nil {
		c.Context, err = render(p.context, values)
	}
	if err != nil {
		return r.fail(c.line, "the prompt of line %d: %s", p.line, err)
	}
	if c.Context == "" && !refersTo(p.message, "context") {
		c.Context = values["context"]
	}
	return nil
}

func (r *reader) text(p pair) (string, error) {
	if !p.value.scalar() {
		return "", r.fail(p.line, "%s: expected a text, found %s", p.key, p.value.kind)
	}
	return p.value.text, nil
}
