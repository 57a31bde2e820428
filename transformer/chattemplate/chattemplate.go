// Package chattemplate lays a dialogue out as a model was trained on it, by the Jinja template that comes with its weights. It renders
// what Hugging Face's apply_chat_template renders.
//
// A template is a program. It cannot read files or other templates, its output and its ranges are bounded, and what it does wrong is
// an error. It is not stopped from computing for long or from making long texts on the way: take weights from where you would take programs.
// Control tokens that a message spells out stay text: see Prompt.
package chattemplate

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nikolalohinski/gonja/v2/builtins"
	"github.com/nikolalohinski/gonja/v2/config"
	"github.com/nikolalohinski/gonja/v2/exec"
	"github.com/nikolalohinski/gonja/v2/loaders"
)

// Bounds on what a template may do.
const (
	maxSource = 1 << 20 // bytes of a template
	maxRange  = 1 << 12 // numbers of one range()
	// maxOverhead is what the output may have beside the messages, times their number, in bytes.
	maxOverhead = 1 << 16
)

// Template is a parsed template, safe for concurrent use.
type Template struct {
	source string
	parsed *exec.Template
}

// Message is one message of a dialogue.
type Message struct {
	Role string // system, user, assistant or tool
	Text string
}

// Input is what a template is rendered with.
type Input struct {
	Messages []Message
	// BOS and EOS are the spellings of the tokens, empty for none.
	BOS, EOS string
	// Control is the spellings of all control tokens, which stay text in a message.
	Control []string
	// Reply opens the assistant's next message at the end.
	Reply bool
	// Now is what a template shows as today's date.
	Now time.Time
}

// RefusedError is what a template itself says against a dialogue, such as roles that do not alternate.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return "the chat template refuses the dialogue: " + e.Reason }

// Prompt is a dialogue laid out. Its control tokens are those of the template: where a message spells one, the rune Guard stands
// inside the spelling.
type Prompt struct {
	Guarded string
	Guard   rune
}

// Text is the prompt without the guards.
func (p Prompt) Text() string { return strings.ReplaceAll(p.Guarded, string(p.Guard), "") }

// Parse reads a template. It refuses one that includes others.
func Parse(source string) (t *Template, err error) {
	if len(source) > maxSource {
		return nil, fmt.Errorf("chat template: %d bytes are over the bound of %d", len(source), maxSource)
	}
	defer func() {
		if r := recover(); r != nil {
			t, err = nil, fmt.Errorf("chat template: %v", r)
		}
	}()
	cfg := config.New()
	cfg.TrimBlocks, cfg.LeftStripBlocks = true, true // as Hugging Face has them
	parsed, err := exec.NewTemplate(templateName, cfg, onlyTemplate(source), environment())
	if err != nil {
		return nil, short(err)
	}
	return &Template{source: source, parsed: parsed}, nil
}

// Source is the template's text.
func (t *Template) Source() string { return t.source }

// Render lays a dialogue out. It fails with *RefusedError when the template refuses the dialogue.
func (t *Template) Render(in Input) (p Prompt, err error) {
	limit := maxOverhead
	for _, m := range in.Messages {
		switch m.Role {
		case "system", "user", "assistant", "tool":
		default:
			return Prompt{}, fmt.Errorf("chat template: the role %q is unknown", m.Role)
		}
		limit += 2*len(m.Text) + maxOverhead
	}
	messages, guard, err := guarded(in.Messages, in.Control)
	if err != nil {
		return Prompt{}, fmt.Errorf("chat template: %w", err)
	}
	var refused *RefusedError
	data := exec.NewContext(map[string]any{
		"messages":              messages,
		"bos_token":             in.BOS,
		"eos_token":             in.EOS,
		"add_generation_prompt": in.Reply,
		"tools":                 nil,
		"documents":             nil,
		"raise_exception": func(_ *exec.Evaluator, args *exec.VarArgs) (*exec.Value, error) {
			reason := "no reason given"
			if len(args.Args) > 0 {
				reason = args.Args[0].String()
			}
			refused = &RefusedError{Reason: strings.ReplaceAll(reason, string(guard), "")}
			return nil, refused
		},
		"strftime_now": func(_ *exec.Evaluator, args *exec.VarArgs) (*exec.Value, error) {
			if len(args.Args) != 1 {
				return nil, errors.New("strftime_now takes a format")
			}
			return exec.AsValue(strftime(args.Args[0].String(), in.Now)), nil
		},
	})
	defer func() {
		if r := recover(); r != nil {
			p, err = Prompt{}, fmt.Errorf("chat template: %v", r)
		}
	}()
	out := &bounded{left: limit}
	err = t.parsed.Execute(out, data)
	switch {
	case refused != nil:
		return Prompt{}, refused
	case out.left < 0:
		return Prompt{}, fmt.Errorf("chat template: its output is over the bound of %d bytes", limit)
	case err != nil:
		return Prompt{}, short(err)
	}
	return Prompt{Guarded: out.String(), Guard: guard}, nil
}

// short gives the end of the library's errors, which may quote the whole template before they come to what is wrong.
func short(err error) error {
	const keep = 300
	text := err.Error()
	if len(text) > keep {
		text = "... " + strings.ToValidUTF8(text[len(text)-keep:], "")
	}
	return errors.New("chat template: " + text)
}

// bounded is a buffer that stops taking.
type bounded struct {
	bytes.Buffer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, errors.New("the output is too long")
	}
	return b.Buffer.Write(p)
}

func (b *bounded) WriteString(s string) (int, error) { return b.Write([]byte(s)) }

// environment is Jinja's, less what reaches beyond the template.
func environment() *exec.Environment {
	functions := exec.EmptyContext().Update(builtins.GlobalFunctions).Update(exec.NewContext(map[string]any{
		"range":  boundedRange,
		"lipsum": nil,
	}))
	methods := builtins.Methods
	methods.Str = stringMethods()
	return &exec.Environment{
		Context: functions, Filters: builtins.Filters, Tests: builtins.Tests,
		ControlStructures: builtins.ControlStructures, Methods: methods,
	}
}

func boundedRange(_ *exec.Evaluator, args *exec.VarArgs) ([]int, error) {
	numbers := make([]int, len(args.Args))
	for i, a := range args.Args {
		if !a.IsInteger() {
			return nil, errors.New("range takes integers")
		}
		numbers[i] = a.Integer()
	}
	start, stop, step := 0, 0, 1
	switch len(numbers) {
	case 1:
		stop = numbers[0]
	case 2:
		start, stop = numbers[0], numbers[1]
	case 3:
		start, stop, step = numbers[0], numbers[1], numbers[2]
	default:
		return nil, errors.New("range takes one to three integers")
	}
	if step == 0 {
		return nil, errors.New("range with a step of 0")
	}
	var out []int
	for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
		if out = append(out, i); len(out) > maxRange {
			return nil, fmt.Errorf("a range is over the bound of %d numbers", maxRange)
		}
	}
	return out, nil
}

const templateName = "chat_template"

// onlyTemplate is a loader with one template and no others.
type onlyTemplate string

var errNoOthers = errors.New("a chat template cannot read other templates")

func (o onlyTemplate) Read(name string) (io.Reader, error) {
	if name != templateName {
		return nil, errNoOthers
	}
	return strings.NewReader(string(o)), nil
}

func (o onlyTemplate) Resolve(name string) (string, error) {
	if name != templateName {
		return "", errNoOthers
	}
	return name, nil
}

func (o onlyTemplate) Inherit(string) (loaders.Loader, error) { return onlyNone{}, nil }

// onlyNone is what a template inherits: nothing, not even itself, so that none includes itself for ever.
type onlyNone struct{}

func (onlyNone) Read(string) (io.Reader, error)           { return nil, errNoOthers }
func (onlyNone) Resolve(string) (string, error)           { return "", errNoOthers }
func (o onlyNone) Inherit(string) (loaders.Loader, error) { return o, nil }
