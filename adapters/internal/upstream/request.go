package upstream

import (
	"cmp"
	"fmt"
	"math"
	"unicode/utf8"

	"teller/llm"
)

// Validate tells what is wrong with a request that no provider could answer, or nil. The SDKs would
// drop an empty text and replace invalid UTF-8 in silence.
func Validate(req llm.Request) *llm.Error {
	invalid := func(message string) *llm.Error { return &llm.Error{Code: llm.InvalidRequest, Message: message} }
	if len(req.Messages) == 0 {
		return invalid("the dialogue has no message")
	}
	for i, m := range req.Messages {
		switch {
		case m.Role != llm.System && m.Role != llm.User && m.Role != llm.Assistant:
			return invalid("a message has an unknown role")
		case m.Role == llm.System && i > 0:
			return invalid("a system message stands behind another message")
		case m.Text == "":
			return invalid("a message is empty")
		case !utf8.ValidString(m.Text):
			return invalid("a message is not valid UTF-8")
		}
	}
	if req.Messages[len(req.Messages)-1].Role != llm.User {
		return invalid("the dialogue does not end with a user message")
	}
	if req.MaxTokens < 0 {
		return invalid("max_tokens is negative")
	}
	if t := req.Temperature; t != nil && (math.IsNaN(*t) || *t < 0 || *t > 2) {
		return invalid("temperature is not between 0 and 2")
	}
	if p := req.TopP; p != nil && !(*p > 0 && *p <= 1) {
		return invalid("top_p is not over 0 and at most 1")
	}
	if wrong := cmp.Or(checkStop(req.Stop), checkLogProbs(req)); wrong != "" {
		return invalid(wrong)
	}
	if len(req.Choices) > 0 && len(req.Schema) > 0 {
		return invalid("choices and schema exclude each other")
	}
	if wrong := cmp.Or(checkChoices(req.Choices), checkSchema(req.Schema)); wrong != "" {
		return invalid(wrong)
	}
	return nil
}

func checkStop(stops []string) string {
	if len(stops) > llm.MaxStops {
		return fmt.Sprintf("there are more than %d stop texts", llm.MaxStops)
	}
	for _, stop := range stops {
		switch {
		case stop == "":
			return "a stop text is empty"
		case !utf8.ValidString(stop):
			return "a stop text is not valid UTF-8"
		}
	}
	return ""
}

func checkLogProbs(req llm.Request) string {
	switch {
	case req.TopLogProbs < 0 || req.TopLogProbs > llm.MaxTopLogProbs:
		return fmt.Sprintf("top_logprobs is not between 0 and %d", llm.MaxTopLogProbs)
	case req.TopLogProbs > 0 && !req.LogProbs:
		return "top_logprobs stands without logprobs"
	}
	return ""
}

// Confidence gives exp(mean) for the mean log-probability of a completion's tokens, or nil and why not.
func Confidence(mean float64) (confidence *float64, reason string) {
	// Servers round: a token of probability 1 can come as 1e-7.
	if math.IsNaN(mean) || mean > 1e-3 {
		return nil, "the server's log-probabilities are out of range"
	}
	// The least positive number stands for what underflows, because a confidence is never 0.
	value := min(max(math.Exp(mean), math.SmallestNonzeroFloat64), 1)
	return &value, ""
}
