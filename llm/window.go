package llm

// BytesPerToken is a low estimate of the bytes of a token, for where a model's tokenizer is not at hand: English text has
// about four, other languages, code and figures fewer.
const BytesPerToken = 3
