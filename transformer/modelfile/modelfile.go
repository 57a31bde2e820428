// Package modelfile opens a model that people have on disk, whole: weights, tokenizer, chat template and the tokens that end a reply. It
// reads Hugging Face folders and GGUF files, and writes the latter.
package modelfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"teller/transformer/chattemplate"
	"teller/transformer/gguf"
	"teller/transformer/tokenizers"
	"teller/transformer/weights"
)

// Model is an opened model. Its parts are read-only and safe for concurrent use until Close.
type Model struct {
	Name      string
	Weights   *weights.Model
	Tokenizer *tokenizers.Tokenizer
	// Template is nil when there is none that can be used; TemplateErr says why.
	Template    *chattemplate.Template
	TemplateErr error
	// Stop is the tokens that end a reply, in order.
	Stop []int
}

// Close unmaps the weights.
func (m *Model) Close() error { return m.Weights.Close() }

// Version names the weights: "custom-" and eight hex digits of their file's SHA-256 where config.json has it, else of their fingerprint.
func (m *Model) Version() string {
	sum := m.Weights.SHA256
	if sum == "" {
		sum = m.Weights.Fingerprint()
	}
	return "custom-" + sum[:8]
}

// Open reads a model: a GGUF file, a folder with one, or a Hugging Face folder.
func Open(path string) (*Model, error) {
	w, err := weights.Open(path)
	if err != nil {
		return nil, err
	}
	var dir fs.FS
	if w.GGUF == nil {
		dir = os.DirFS(path)
	}
	name := filepath.Base(filepath.Clean(path))
	m, err := open(w, dir, strings.TrimSuffix(name, filepath.Ext(name)))
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", path, err)
	}
	return m, nil
}

// OpenFS reads a Hugging Face folder of any file system, such as one that is embedded in the program.
func OpenFS(dir fs.FS, name string) (*Model, error) {
	w, err := weights.OpenFS(dir)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", name, err)
	}
	m, err := open(w, dir, name)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", name, err)
	}
	return m, nil
}

// open adds the rest to the weights, which it closes when it fails.
func open(w *weights.Model, dir fs.FS, name string) (*Model, error) {
	m := &Model{Name: name, Weights: w}
	read := m.readGGUF
	if dir != nil {
		read = func() error { return m.readFolder(dir) }
	}
	if err := read(); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	if n := m.Tokenizer.VocabSize(); n > w.Vocab {
		return nil, errors.Join(fmt.Errorf("the tokenizer has %d tokens, the weights %d", n, w.Vocab), w.Close())
	}
	m.addEndings()
	return m, nil
}

const (
	keyName     = "general.name"
	keyTemplate = "tokenizer.chat_template"
)

func (m *Model) readGGUF() error {
	md := m.Weights.GGUF.Metadata
	var err error
	if m.Tokenizer, err = tokenizers.FromGGUF(md); err != nil {
		return err
	}
	if name, ok, err := md.String(keyName); err == nil && ok && name != "" {
		m.Name = name
	}
	template, _, err := md.String(keyTemplate)
	if err != nil {
		return err
	}
	m.setTemplate(template)
	for _, key := range []string{"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"} {
		id, ok, err := md.Int(key)
		if err != nil {
			return err
		}
		if ok {
			m.stop(id)
		}
	}
	return nil
}

func (m *Model) stop(id int) {
	if id >= 0 && id < m.Tokenizer.VocabSize() && !slices.Contains(m.Stop, id) {
		m.Stop = append(m.Stop, id)
		slices.Sort(m.Stop)
	}
}

// endings are the spellings of control tokens that end a message in the families of models there are. Many files name only the token
// that ends a document.
var endings = []string{"<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<|end|>", "<end_of_turn>", "<|endoftext|>"}

func (m *Model) addEndings() {
	if id, ok := m.Tokenizer.EOS(); ok {
		m.stop(id)
	}
	for _, spelled := range endings {
		if id, ok := m.Tokenizer.ControlID(spelled); ok {
			m.stop(id)
		}
	}
}

// dialogueTemplate is the layout of our own models: transformer.EncodeDialogue.
const dialogueTemplate = `{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] + '<|end|>' }}` +
	`{% endfor %}{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}`

// setTemplate parses the template; without one our own models' is taken where the tokenizer is theirs.
func (m *Model) setTemplate(source string) {
	if source == "" {
		for _, spelled := range []string{"<|begin|>", "<|end|>", "<|system|>", "<|user|>", "<|assistant|>"} {
			if _, ok := m.Tokenizer.ControlID(spelled); !ok {
				m.TemplateErr = errors.New("the model has no chat template")
				return
			}
		}
		source = dialogueTemplate
	}
	m.Template, m.TemplateErr = chattemplate.Parse(source)
}

// Prompt lays a dialogue out with the model's template and encodes it; the assistant's next message follows. Control tokens that a message
// spells stay text. now is the date that some templates show. It fails with *chattemplate.RefusedError when the template does
// not take such a dialogue.
func (m *Model) Prompt(messages []chattemplate.Message, now time.Time) ([]int, error) {
	if m.Template == nil {
		return nil, m.TemplateErr
	}
	in := chattemplate.Input{Messages: messages, Control: m.Tokenizer.ControlTokens(), Reply: true, Now: now}
	if id, ok := m.Tokenizer.BOS(); ok {
		in.BOS = m.Tokenizer.Spelled(id)
	}
	if id, ok := m.Tokenizer.EOS(); ok {
		in.EOS = m.Tokenizer.Spelled(id)
	}
	prompt, err := m.Template.Render(in)
	if err != nil {
		return nil, err
	}
	return m.Tokenizer.EncodePrompt(prompt.Guarded, prompt.Guard), nil
}

// types by the names that commands take.
var types = map[string]gguf.Type{"f32": gguf.F32, "f16": gguf.F16, "bf16": gguf.BF16, "q8_0": gguf.Q8_0}

// ParseType reads the name of a number format: f32, f16, bf16 or q8_0.
func ParseType(name string) (gguf.Type, error) {
	t, ok := types[name]
	if !ok {
		return 0, fmt.Errorf("the type %q is unknown: f32, f16, bf16 or q8_0", name)
	}
	return t, nil
}
