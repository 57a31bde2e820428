// Package adapters makes the configured models: one llm.Model for each entry of the configuration.
// It holds no model's logic; that is in the adapters below it.
package adapters

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"teller/adapters/gemini"
	"teller/adapters/transformer"
	"teller/adapters/vllm"
	"teller/config"
	"teller/llm"
)

// Registry holds the models of one process by name. It is safe for concurrent use.
type Registry struct {
	names  []string
	models map[string]*entry
}

// entry makes its model when it is first asked for, because a transformer loads its weights then.
type entry struct {
	make func() (llm.Model, error)

	once  sync.Once
	model llm.Model
	err   error
}

// New makes the registry of models, of the given kinds only where kinds are given, so that a worker
// without a GPU loads no weights. It makes no model yet (see Model). It refuses an empty or repeated
// name and an unknown kind.
func New(models []config.Model, kinds ...config.Kind) (*Registry, error) {
	r := &Registry{models: map[string]*entry{}}
	seen := map[string]bool{}
	for _, cfg := range models {
		switch {
		case cfg.Name == "":
			return nil, errors.New("a configured model has no name")
		case seen[cfg.Name]:
			return nil, fmt.Errorf("two configured models have the name %q", cfg.Name)
		}
		seen[cfg.Name] = true
		build, ok := builders[cfg.Kind]
		if !ok {
			return nil, fmt.Errorf("model %q is of the unknown kind %q", cfg.Name, cfg.Kind)
		}
		if len(kinds) > 0 && !slices.Contains(kinds, cfg.Kind) {
			continue
		}
		r.names = append(r.names, cfg.Name)
		r.models[cfg.Name] = &entry{make: func() (llm.Model, error) { return build(cfg) }}
	}
	return r, nil
}

// builders makes a model of each kind.
var builders = map[config.Kind]func(config.Model) (llm.Model, error){
	config.VLLM:   func(cfg config.Model) (llm.Model, error) { return vllm.New(cfg), nil },
	config.Gemini: func(cfg config.Model) (llm.Model, error) { return gemini.New(cfg), nil },
	config.Transformer: func(cfg config.Model) (llm.Model, error) {
		m, err := transformer.New(cfg)
		if err != nil {
			return nil, err // not m: a nil *Model is no nil llm.Model
		}
		return m, nil
	},
}

// Names lists the registry's models in the order of the configuration.
func (r *Registry) Names() []string { return slices.Clone(r.names) }

// Model gives the named model: always the same one, made when it is first asked for, which for a
// transformer takes as long as its weights take to load. Errors are *llm.Error: NotFound for a name that
// the registry does not hold, and what its making failed with (NotConfigured, where it says nothing
// more). A model of a provider is always made; without its key or URL its calls fail.
func (r *Registry) Model(name string) (llm.Model, error) {
	e, ok := r.models[name]
	if !ok {
		return nil, &llm.Error{Code: llm.NotFound, Message: "no such model is configured here"}
	}
	e.once.Do(func() {
		var err error
		if e.model, err = e.make(); err != nil {
			e.err = asError(err)
		}
	})
	return e.model, e.err
}

// asError gives err as an *llm.Error.
func asError(err error) error {
	var e *llm.Error
	if errors.As(err, &e) {
		return e
	}
	return &llm.Error{Code: llm.NotConfigured, Message: "the model cannot be loaded", Cause: err}
}

// Close frees what the models made so far hold. None may be in use.
func (r *Registry) Close() error {
	var failed []error
	for _, name := range r.names {
		e := r.models[name]
		e.once.Do(func() { e.err = &llm.Error{Code: llm.Unavailable, Message: "the process is stopping"} })
		if c, ok := e.model.(io.Closer); ok {
			failed = append(failed, c.Close())
		}
	}
	return errors.Join(failed...)
}
