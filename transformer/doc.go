// Package transformer is Teller's own language model: a byte-level BPE tokenizer, a Llama-style decoder
// and the engine that generates text with it, in plain Go.
//
// Text goes in as a dialogue and comes out token by token:
//
//	Message --Tokenizer.EncodeDialogue--> ids --Engine.Generate--> ids --Decoder--> text
//
// A Bundle holds what belongs together: Config, Tokenizer and Model (the weights, shared and read-only). A
// State is one sequence's KV cache. An Engine runs many generations at once on a bounded number of States.
//
// The package knows nothing of chat gateways, HTTP or Temporal; adapters/transformer connects it to them.
// Its files are read and written in Hugging Face's formats. docs/transformer.md has every tensor's shape.
package transformer
