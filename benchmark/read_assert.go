package benchmark

import (
	"bytes"
	"errors"
	"regexp"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"teller/llm"
)

// DefaultSimilarity is the least similarity where an assertion names none, as in promptfoo.
const DefaultSimilarity = 0.75

// assertions reads a case's assertions, with its vars' values put in their places.
func (r *reader) assertions(list []node, values map[string]string) ([]Assertion, error) {
	var out []Assertion
	choices := 0
	for _, n := range list {
		n, err := r.resolve(n)
		if err != nil {
			return nil, err
		}
		a, err := r.assertion(n, values)
		if err != nil {
			return nil, err
		}
		if a.Type == typeChoice {
			choices++
		}
		if choices > 1 {
			return nil, r.fail(n.line, "a case has at most one choice")
		}
		out = append(out, a)
	}
	return out, nil
}

func (r *reader) assertion(n node, values map[string]string) (Assertion, error) {
	if n.kind != isMapping {
		return Assertion{}, r.fail(n.line, "an assertion is keys with values, not %s", n.kind)
	}
	name, ok := n.get("type")
	if !ok || name.kind != isText {
		return Assertion{}, r.fail(n.line, `an assertion's key "type" is missing`)
	}
	a, f := Assertion{}, fields{r: r, line: n.line, values: values}
	a.Type, a.Not = strings.CutPrefix(name.text, "not-")
	if alias, ok := aliases[a.Type]; ok {
		a.Type = alias
	}
	read, known := readers[a.Type]
	if !known {
		return Assertion{}, r.fail(name.line, "assertions of type %q are not supported", name.text)
	}
	for _, p := range n.pairs {
		switch p.key {
		case "type":
		case "value":
			f.value = p.value
		case "threshold":
			f.threshold = p.value
		case "tolerance":
			f.tolerance = p.value
		case "choices":
			f.choices = p.value
		case "weight":
			v, ok := p.value.number()
			if !ok || v < 0 {
				return Assertion{}, r.fail(p.line, "weight: expected a number from 0 on")
			}
			a.Weight = &v
		case "metric", "provider", "rubricPrompt", "config", "description":
			r.note("%s: the key %q of assertions is left out of account", r.file, p.key)
		default:
			return Assertion{}, r.fail(p.line, "the key %q has no meaning in an assertion", p.key)
		}
	}
	return a, read(&a, f)
}

// fields are an assertion's keys as they were written.
type fields struct {
	r                                    *reader
	line                                 int
	values                               map[string]string
	value, threshold, tolerance, choices node
}

// readers check and take over what each type of assertion needs.
var readers = map[string]func(a *Assertion, f fields) error{
	typeEquals:      readEquals,
	typeContains:    readText,
	typeIContains:   readText,
	typeStartsWith:  readText,
	typeContainsAny: readTexts,
	typeContainsAll: readTexts,
	typeIContainAny: readTexts,
	typeIContainAll: readTexts,
	typeRegex:       readRegex,
	typeIsJSON:      readSchema,
	typeHasJSON:     readSchema,
	typeNumeric:     readNumeric,
	typeChoice:      readChoice,
	typeRefusal:     readNothing,
	typeNoPII:       readPII,
	typeSimilarity:  readSimilarity,
	typeLatency:     readLimit,
	typeCost:        readLimit,
	typeFinish:      readFinish,
	typeRubric:      readRubric,
}

func (f fields) fail(format string, args ...any) error { return f.r.fail(f.line, format, args...) }

func (f fields) text(n node) (string, error) {
	if !n.scalar() {
		return "", f.fail("value: expected a text, found %s", orNothing(n.kind))
	}
	if strings.HasPrefix(n.text, "file://") {
		return "", f.fail("value: values from files are not supported")
	}
	return renderKnown(n.text, f.values), nil
}

// orNothing names the kind of a value that may be absent.
func orNothing(k kind) kind {
	if k == "" {
		return isNull
	}
	return k
}

func readNothing(_ *Assertion, f fields) error {
	if f.value.kind != "" {
		return f.fail("this type of assertion takes no value")
	}
	return nil
}

func readText(a *Assertion, f fields) error {
	text, err := f.text(f.value)
	if err == nil && text == "" {
		err = f.fail("value: an empty text stands in every reply")
	}
	a.Texts = []string{text}
	return err
}

// readTexts reads a list, or one text with commas, as promptfoo does.
func readTexts(a *Assertion, f fields) error {
	n := f.value
	if n.kind == isText {
		n = node{kind: isList}
		for part := range strings.SplitSeq(f.value.text, ",") {
			n.items = append(n.items, node{kind: isText, text: strings.TrimSpace(part)})
		}
	}
	if n.kind != isList || len(n.items) == 0 {
		return f.fail("value: expected a list of texts, found %s", orNothing(n.kind))
	}
	for _, item := range n.items {
		text, err := f.text(item)
		if err != nil {
			return err
		}
		if text == "" {
			return f.fail("value: an empty text stands in every reply")
		}
		a.Texts = append(a.Texts, text)
	}
	return nil
}

func readEquals(a *Assertion, f fields) (err error) {
	if f.value.kind == isMapping || f.value.kind == isList {
		a.JSON, err = f.value.json()
		return err
	}
	text, err := f.text(f.value)
	a.Texts = []string{text}
	return err
}

func readRegex(a *Assertion, f fields) error {
	if err := readText(a, f); err != nil {
		return err
	}
	if _, err := a.compiledPattern(); err != nil {
		return f.fail("value: %s", err)
	}
	return nil
}

func (a *Assertion) compiledPattern() (*regexp.Regexp, error) {
	if a.pattern == nil {
		pattern, err := regexp.Compile(a.Texts[0])
		if err != nil {
			return nil, err
		}
		a.pattern = pattern
	}
	return a.pattern, nil
}

func readSchema(a *Assertion, f fields) (err error) {
	switch f.value.kind {
	case "":
		return nil
	case isText:
		a.JSON = []byte(f.value.text)
	default:
		if a.JSON, err = f.value.json(); err != nil {
			return err
		}
	}
	var compact bytes.Buffer
	if err := compactJSON(&compact, a.JSON); err != nil {
		return f.fail("value: the schema is not JSON: %s", err)
	}
	a.JSON = compact.Bytes()
	if _, err := a.compiledSchema(); err != nil {
		return f.fail("value: the schema is not valid: %s", firstLine(err.Error()))
	}
	return nil
}

func (a *Assertion) compiledSchema() (*jsonschema.Schema, error) {
	if a.schema != nil || a.JSON == nil {
		return a.schema, nil
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(a.JSON))
	if err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(noLoader{})
	const url = "suite:schema"
	if err := c.AddResource(url, doc); err != nil {
		return nil, err
	}
	a.schema, err = c.Compile(url)
	return a.schema, err
}

// noLoader keeps a schema from reading further files.
type noLoader struct{}

func (noLoader) Load(string) (any, error) {
	return nil, errors.New("references to other files are not followed")
}

func readNumeric(a *Assertion, f fields) error {
	text, err := f.text(f.value)
	if err != nil {
		return err
	}
	value, ok := node{kind: isText, text: text}.number()
	if !ok {
		return f.fail("value: expected a number, found %q", text)
	}
	a.Value = value
	if f.tolerance.kind != "" {
		if a.Tolerance, ok = f.tolerance.number(); !ok || a.Tolerance < 0 {
			return f.fail("tolerance: expected a number from 0 on")
		}
	}
	return nil
}

func readChoice(a *Assertion, f fields) error {
	if f.choices.kind != isList {
		return f.fail("choices: expected a list of texts, found %s", orNothing(f.choices.kind))
	}
	for _, item := range f.choices.items {
		text, err := f.text(item)
		if err != nil {
			return err
		}
		if text == "" || len(text) > llm.MaxChoiceBytes || slices.Contains(a.Choices, text) {
			return f.fail("choices: %q is empty, too long or stands twice", text)
		}
		a.Choices = append(a.Choices, text)
	}
	if len(a.Choices) < 2 || len(a.Choices) > llm.MaxChoices {
		return f.fail("choices: there must be 2 to %d of them", llm.MaxChoices)
	}
	value, err := f.text(f.value)
	if err != nil {
		return err
	}
	if !slices.Contains(a.Choices, value) {
		return f.fail("value: %q is none of the choices", value)
	}
	a.Texts = []string{value}
	return nil
}

// readPII takes texts that must not be given away; without any, only the built-in patterns count.
func readPII(a *Assertion, f fields) error {
	if f.value.kind == "" {
		return nil
	}
	if f.value.scalar() {
		return readText(a, f) // a comma may be part of an address
	}
	return readTexts(a, f)
}

func readSimilarity(a *Assertion, f fields) error {
	read := readText
	if f.value.kind == isList {
		read = readTexts
	}
	if err := read(a, f); err != nil {
		return err
	}
	least := DefaultSimilarity
	if f.threshold.kind != "" {
		var ok bool
		if least, ok = f.threshold.number(); !ok || least < 0 || least > 1 {
			return f.fail("threshold: expected a number from 0 to 1")
		}
	}
	a.Threshold = &least
	return nil
}

func readLimit(a *Assertion, f fields) error {
	limit, ok := f.threshold.number()
	if !ok || limit < 0 {
		return f.fail("threshold: expected a number from 0 on (milliseconds of latency, US dollars of cost)")
	}
	a.Threshold = &limit
	return nil
}

func readFinish(a *Assertion, f fields) error {
	if err := readText(a, f); err != nil {
		return err
	}
	known := []string{string(llm.FinishStop), string(llm.FinishLength), string(llm.FinishContentFilter)}
	if !slices.Contains(known, a.Texts[0]) {
		return f.fail("value: %q is none of %s", a.Texts[0], strings.Join(known, ", "))
	}
	return nil
}

func readRubric(a *Assertion, f fields) error {
	if err := readText(a, f); err != nil {
		return err
	}
	if f.threshold.kind != "" {
		least, ok := f.threshold.number()
		if !ok || least < 0 || least > 1 {
			return f.fail("threshold: expected a number from 0 to 1")
		}
		a.Threshold = &least
	}
	return nil
}
