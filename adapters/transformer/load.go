package transformer

import (
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"teller/config"
	"teller/llm"
	engine "teller/transformer"
	"teller/transformer/devices"
	"teller/transformer/llama"
	"teller/transformer/modelfile"
	"teller/transformer/pretrained"
)

// New loads the model of cfg: a GGUF file, a Hugging Face folder or one of our own at cfg.Path, or the embedded weights when it is empty. It
// runs as many requests at once as Slots says; the others wait. When the model cannot be loaded, the
// error is an *llm.Error with code NotConfigured, whose cause says what is wrong. It computes on what cfg.Device names; where that is
// not there, or has no room for the model, the processor does, and the log says why.
func New(cfg config.Model) (*Model, error) {
	accelerators, err := devices.Choose(cfg.Device)
	if err != nil {
		slog.Warn("the processor computes: the device that CUSTOM_DEVICE names is not there", "model", cfg.Name, "device", cfg.Device, "error", err)
	}
	m, err := load(cfg.Path, accelerators)
	if err != nil {
		message := "the embedded weights cannot be loaded"
		if cfg.Path != "" {
			message = "the weights that CUSTOM_MODEL_PATH names cannot be loaded"
		}
		return nil, &llm.Error{Code: llm.NotConfigured, Message: message, Cause: err}
	}
	if err := m.engine.Refused(); err != nil {
		slog.Warn("a device cannot run the model", "model", cfg.Name, "error", err)
	}
	if len(accelerators) > 0 {
		slog.Info("model loaded", "model", cfg.Name, "version", m.version(), "device", m.engine.Device())
	}
	return m, nil
}

func load(path string, accelerators []llama.Accelerator) (*Model, error) {
	var bundle *engine.Bundle
	var err error
	switch {
	case path == "":
		bundle, err = pretrained.Load()
	case isOwn(path):
		bundle, err = engine.LoadDir(path)
	default:
		return loadForeign(path, accelerators)
	}
	if err != nil {
		return nil, err
	}
	return newModel(bundle, accelerators...), nil
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

func newModel(bundle *engine.Bundle, accelerators ...llama.Accelerator) *Model {
	e := engine.NewEngineWith(bundle.Model, engine.EngineOptions{Accelerators: accelerators})
	return &Model{language: own{bundle}, generator: e, engine: e, window: e.Window()}
}

// loadForeign opens weights that others trained. Those of floats become eight-bit integers: half the memory of 16-bit ones and nearly twice
// the speed, for a perplexity within half a percent.
func loadForeign(path string, accelerators []llama.Accelerator) (*Model, error) {
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
	e := engine.NewEngineWith(weights, engine.EngineOptions{Accelerators: accelerators})
	language.window = e.Window()
	return &Model{language: language, generator: e, engine: e, window: e.Window()}, nil
}

// Slots is how many requests the engine works on at once.
func (m *Model) Slots() int { return m.engine.Slots() }

// Close gives the engine's memory back when the requests at work are done.
func (m *Model) Close() error {
	m.engine.Close()
	return nil
}
