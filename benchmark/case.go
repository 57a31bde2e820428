package benchmark

import "teller/llm"

// DefaultMaxTokens bounds a free reply, in tokens. It is far above what a case of the shipped suites needs, so that a reply which
// meets it has gone astray.
const DefaultMaxTokens = 256

// Uncategorised is the category of a case whose file names none.
const Uncategorised = "uncategorised"

// Case is one question with what a right reply must hold.
type Case struct {
	ID       string `json:"id"`
	Category string `json:"category"`
	// Family names the cases that are rewordings of one another. Their errors go together, so statistics
	// count them as one cluster.
	Family      string `json:"family"`
	Description string `json:"description,omitempty"`
	// Context is what the bank knows about the customer; it goes before the message, as a system message.
	Context string      `json:"context,omitempty"`
	Message string      `json:"message"`
	Assert  []Assertion `json:"assert"`
	// Threshold is the weighted mean of the assertions' scores that the case needs. nil: every assertion must hold.
	Threshold *float64 `json:"threshold,omitempty"`

	file string
	line int
}

// Place is where the case stands: file:line.
func (c Case) Place() string { return place(c.file, c.line) }

// Request is what a model is asked. With a choice assertion the reply is one of its choices; otherwise it is free
// text, sampled greedily with seed for the models that draw all the same.
func (c Case) Request(seed int64) llm.Request {
	var req llm.Request
	if c.Context != "" {
		req.Messages = append(req.Messages, llm.Message{Role: llm.System, Text: c.Context})
	}
	req.Messages = append(req.Messages, llm.Message{Role: llm.User, Text: c.Message})
	if choices := c.Choices(); choices != nil {
		req.Choices = choices
		return req
	}
	greedy := 0.0
	req.MaxTokens, req.Temperature, req.Seed = DefaultMaxTokens, &greedy, &seed
	return req
}

// Choices are the texts that the reply is chosen from; nil for a free reply.
func (c Case) Choices() []string {
	for _, a := range c.Assert {
		if a.Type == typeChoice {
			return a.Choices
		}
	}
	return nil
}

// NeedsJudge tells whether a model must grade the reply.
func (c Case) NeedsJudge() bool { return len(c.Rubrics()) > 0 }

// Rubrics are what a model must grade the reply by, in the order in which they are graded.
func (c Case) Rubrics() (rubrics []string) {
	for _, a := range c.Assert {
		if a.Type == typeRubric {
			rubrics = append(rubrics, a.Texts[0])
		}
	}
	return rubrics
}
