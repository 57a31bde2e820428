package config

// Kind is a way to reach a model.
type Kind string

// The kinds of model.
const (
	Transformer Kind = "transformer" // our own engine, hosted by GPU workers
	VLLM        Kind = "vllm"        // any server that speaks OpenAI's chat completions, vLLM first of all
	Gemini      Kind = "gemini"      // the Gemini API
)

// Model is one configured model. Only the fields of its kind are set.
type Model struct {
	Name string // what callers and operators call it, such as "qlora"
	Kind Kind

	BaseURL string // VLLM, Gemini (empty: Google's)
	APIKey  string // VLLM (may be empty), Gemini
	Model   string // VLLM, Gemini: the provider's model id
	SDK     string // Gemini: "genai" or "generative-ai-go"

	Path string // Transformer: a folder with config.json, model.safetensors, tokenizer.json; empty: the embedded weights
}
