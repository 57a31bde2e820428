package transformer

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"time"

	"teller/config"
	"teller/llm"
	engine "teller/transformer"
	"teller/transformer/llama"
	"teller/transformer/modelfile"
	"teller/transformer/pretrained"
)

// New loads the model of cfg: a GGUF file, a Hugging Face folder or one of our own at cfg.Path, or the embedded weights when it is empty. It
// runs as many requests at once as Slots says; the others wait. When the model cannot be loaded, the
// error is an *llm.Error with code NotConfigured, whose cause says what is wrong.
func New(cfg config.Model) (*Model, error) {
	m, err := load(cfg.Path)
	if err != nil {
		message := "the embedded weights cannot be loaded"
		if cfg.Path != "" {
			message = "the weights that CUSTOM_MODEL_PATH names cannot be loaded"
		}
		return nil, &llm.Error{Code: llm.NotConfigured, Message: message, Cause: err}
	}
	return m, nil
}

func load(path string) (*Model, error) {
	var bundle *engine.Bundle
	var err error
	switch {
	case path == "":
		bundle, err = pretrained.Load()
	case isOwn(path):
		bundle, err = engine.LoadDir(path)
	default:
		return loadForeign(path)
	}
	if err != nil {
		return nil, err
	}
	return newModel(bundle), nil
}

// isOwn tells whether "teller train" wrote a folder: its config.json has the tokenizer's checksum.
func isOwn(dir string) bool {
	data, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		return false
	}
	var c struct {
		TokenizerSHA256 string `json:"tokenizer_sha256"`
	}
	return json.Unmarshal(data, &c) == nil && c.TokenizerSHA256 != ""
}

func newModel(bundle *engine.Bundle) *Model {
	e := engine.NewEngine(bundle.Model, 0)
	return &Model{language: own{bundle}, engine: e, scorer: e, window: e.Window()}
}

// loadForeign opens weights that others trained. Those of floats become eight-bit integers: half the memory of 16-bit ones and nearly twice
// the speed, for a perplexity within half a percent.
func loadForeign(path string) (*Model, error) {
	file, err := modelfile.Open(path)
	if err != nil {
		return nil, err
	}
	if file.Template == nil {
		return nil, errors.Join(file.TemplateErr, file.Close())
	}
	if len(file.Stop) == 0 {
		return nil, errors.Join(errors.New("the file names no token that ends a reply"), file.Close())
	}
	weights, err := engine.OpenModel(file.Weights, file.Stop, llama.Options{Quantise: true})
	language := foreign{Model: file, named: file.Version(), now: time.Now}
	if err = errors.Join(err, file.Close()); err != nil { // the weights are packed
		return nil, err
	}
	e := engine.NewEngine(weights, 0)
	language.window = e.Window()
	return &Model{language: language, engine: e, scorer: e, window: e.Window()}, nil
}

// Slots is how many requests the engine works on at once.
func (m *Model) Slots() int { return m.scorer.Slots() }
