package config

import (
	"errors"
	"fmt"
	"net/url"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"teller/llm"
)

// Kind is a way to reach a model.
type Kind string

// The kinds of model.
const (
	Transformer Kind = "transformer" // our own engine, hosted by GPU workers
	VLLM        Kind = "vllm"        // any server that speaks OpenAI's chat completions, vLLM first of all
	Gemini      Kind = "gemini"      // the Gemini API
)

// The Go SDKs that can reach Gemini.
const (
	SDKGenAI          = "genai"            // google.golang.org/genai
	SDKGenerativeAIGo = "generative-ai-go" // github.com/google/generative-ai-go
)

// Model is one configured model. Only the fields of its kind are set.
type Model struct {
	Name string // what callers and operators call it, such as "qlora"
	Kind Kind

	BaseURL string // VLLM (empty: not configured), Gemini (empty: Google's)
	APIKey  string // VLLM (may be empty), Gemini (empty: not configured)
	Model   string // VLLM, Gemini: the provider's model id
	SDK     string // Gemini: SDKGenAI or SDKGenerativeAIGo
	// ContextTokens is the model's window (VLLM, Gemini); 0: not known. A transformer knows its own.
	ContextTokens int

	Path   string // Transformer: a folder with config.json, model.safetensors, tokenizer.json; empty: the embedded weights
	Device string // Transformer: what computes: auto (a graphics card if there is one), cpu, opencl, opencl:NUMBER
}

// parseModels gives custom, qlora and gemini, then each "name:kind" of TELLER_MODELS. A further
// model's settings are its kind's variables with "__" and its name in capitals behind them
// (VLLM_MODEL__QLORA_B for qlora-b); what is not set so is taken from the plain variable, so that two
// LoRA adapters on one server differ by one line.
func parseModels(c Config, environ map[string]string) ([]Model, error) {
	models := []Model{
		c.model("custom", Transformer, nil),
		c.model("qlora", VLLM, nil),
		c.model("gemini", Gemini, nil),
	}
	var problems []error
	seen := map[string]bool{"custom": true, "qlora": true, "gemini": true}
	for _, entry := range c.ExtraModels {
		name, kind, _ := strings.Cut(strings.TrimSpace(entry), ":")
		switch {
		case !modelName.MatchString(name):
			problems = append(problems, fmt.Errorf("TELLER_MODELS: %q is not name:kind with a name of a-z, 0-9, '_', '.', '-'", entry))
		case name == llm.Auto:
			problems = append(problems, fmt.Errorf("TELLER_MODELS: %q is how callers name the route, and no model's name", name))
		case seen[name]:
			problems = append(problems, fmt.Errorf("TELLER_MODELS: there is a model %q already", name))
		case !oneOf(kind, string(Transformer), string(VLLM), string(Gemini)):
			problems = append(problems, fmt.Errorf("TELLER_MODELS: the kind of %q is none of transformer, vllm, gemini", entry))
		default:
			models = append(models, c.model(name, Kind(kind), environ))
		}
		seen[name] = true
	}
	for _, m := range models {
		problems = append(problems, m.check()...)
	}
	return models, errors.Join(problems...)
}

func (c Config) model(name string, kind Kind, environ map[string]string) Model {
	suffix := "__" + strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(name))
	setting := func(variable, plain string) string {
		if own, ok := environ[variable+suffix]; ok {
			return own
		}
		return plain
	}
	m := Model{Name: name, Kind: kind}
	switch kind {
	case Transformer:
		m.Path = setting("CUSTOM_MODEL_PATH", c.CustomPath)
		m.Device = setting("CUSTOM_DEVICE", c.CustomDevice)
	case VLLM:
		m.BaseURL = setting("VLLM_BASE_URL", c.VLLMBaseURL)
		m.Model = setting("VLLM_MODEL", c.VLLMModel)
		m.APIKey = setting("VLLM_API_KEY", c.VLLMAPIKey)
		m.ContextTokens = window(setting("VLLM_CONTEXT_TOKENS", strconv.Itoa(c.VLLMContext)))
	case Gemini:
		m.BaseURL = setting("GEMINI_BASE_URL", c.GeminiBaseURL)
		m.Model = setting("GEMINI_MODEL", c.GeminiModel)
		m.APIKey = setting("GOOGLE_API_KEY", c.GoogleAPIKey)
		m.SDK = setting("GEMINI_SDK", c.GeminiSDK)
		m.ContextTokens = window(setting("GEMINI_CONTEXT_TOKENS", strconv.Itoa(c.GeminiContext)))
	}
	return m
}

// The windows that make sense: a smaller one has no room for a question and its reply.
const (
	minContextTokens = 256
	maxContextTokens = 100_000_000
)

// window reads a model's window; -1, which check refuses, for what is no number.
func window(text string) int {
	n, err := strconv.Atoi(text)
	if err != nil {
		return -1
	}
	return n
}

var device = regexp.MustCompile(`^(auto|cpu|opencl(:[0-9]{1,4})?)$`)

func (m Model) check() (problems []error) {
	if m.ContextTokens != 0 && (m.ContextTokens < minContextTokens || m.ContextTokens > maxContextTokens) {
		problems = append(problems, fmt.Errorf("%s_CONTEXT_TOKENS: the window of model %q is not a number of tokens from %d to %d",
			strings.ToUpper(string(m.Kind)), m.Name, minContextTokens, maxContextTokens))
	}
	if m.BaseURL != "" {
		u, err := url.Parse(m.BaseURL)
		if err != nil || (u.Scheme != "http" && u.Scheme != "https") || u.Host == "" {
			// The URL itself may hold a password.
			problems = append(problems, fmt.Errorf("%s_BASE_URL: the address of model %q is not an http or https URL", strings.ToUpper(string(m.Kind)), m.Name))
		}
	}
	if m.Kind == Transformer && !device.MatchString(m.Device) {
		problems = append(problems, fmt.Errorf("CUSTOM_DEVICE: the device %q of model %q is none of auto, cpu, opencl, opencl:NUMBER", m.Device, m.Name))
	}
	if m.Kind == Gemini && !oneOf(m.SDK, SDKGenAI, SDKGenerativeAIGo) {
		problems = append(problems, fmt.Errorf("GEMINI_SDK: %q is neither %s nor %s", m.SDK, SDKGenAI, SDKGenerativeAIGo))
	}
	return problems
}

// variable gives the environment variable behind a field of Config.
func variable(field string) string {
	if f, ok := reflect.TypeFor[Config]().FieldByName(field); ok {
		return f.Tag.Get("env")
	}
	return field
}
