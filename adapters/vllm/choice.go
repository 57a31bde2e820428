package vllm

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"

	"github.com/sashabaranov/go-openai"

	"teller/adapters/internal/upstream"
	"teller/llm"
)

// choiceField is the one field of the JSON object that a choice comes in. OpenAI takes no schema whose root is
// not an object, and guided_choice is ignored by vLLM since 0.12.
const choiceField = "choice"

// choose asks for one of req.Choices. vLLM keeps the reply to the schema but does not show it to the model, so
// the choices stand in the dialogue too.
func (m *Model) choose(ctx context.Context, req llm.Request) (llm.Completion, error) {
	choices := req.Choices
	wire := wireRequest(m.id, llm.Request{
		Messages: withChoices(req.Messages, choices),
		Options:  llm.Options{MaxTokens: upstream.ChoiceTokens(choices)},
	})
	format, err := choiceFormat(choices)
	if err != nil {
		return llm.Completion{}, &llm.Error{Code: llm.Internal, Message: "the choices cannot be sent", Cause: err}
	}
	wire.ResponseFormat = format
	ctx, call := upstream.Begin(ctx)
	defer call.End()
	greedy := 0.0
	resp, sdk := m.client.CreateChatCompletion(withTemperature(ctx, &greedy), wire)
	if failed := failure(call, sdk); failed != nil {
		return llm.Completion{}, failed
	}
	out, err := completion(call, resp, false)
	if err != nil {
		return llm.Completion{}, err
	}
	value, from, to, ok := readChoice(out.Text)
	chosen, known := upstream.ChoiceOf(choices, value)
	if !ok || !known {
		return llm.Completion{}, &llm.Error{Code: llm.BadReply, Message: who + " answered with none of the choices"}
	}
	out.Confidence, out.NoConfidence = choiceConfidence(resp.Choices[0].LogProbs, out.Text, from, to)
	out.Text, out.Chosen, out.LogProbs = chosen, true, nil
	return out, nil
}

// withChoices tells the model what it may choose from, in the system message.
func withChoices(messages []llm.Message, choices []string) []llm.Message {
	listed, err := json.Marshal(choices)
	if err != nil {
		panic(err) // strings always marshal
	}
	instruction := `Answer with the one of these choices that fits best, as a JSON object {"` + choiceField + `": ...} and nothing else. The choices: ` + string(listed)
	out := make([]llm.Message, 0, len(messages)+1)
	if messages[0].Role == llm.System {
		instruction = messages[0].Text + "\n\n" + instruction
		messages = messages[1:]
	}
	out = append(out, llm.Message{Role: llm.System, Text: instruction})
	return append(out, messages...)
}

func choiceFormat(choices []string) (*openai.ChatCompletionResponseFormat, error) {
	schema, err := json.Marshal(map[string]any{
		"type":                 "object",
		"properties":           map[string]any{choiceField: map[string]any{"type": "string", "enum": choices}},
		"required":             []string{choiceField},
		"additionalProperties": false,
	})
	return schemaFormat(choiceField, schema), err
}

// schemaFormat has the server keep its reply to a schema. The name is for OpenAI, which wants one.
func schemaFormat(name string, schema json.RawMessage) *openai.ChatCompletionResponseFormat {
	return &openai.ChatCompletionResponseFormat{
		Type:       openai.ChatCompletionResponseFormatTypeJSONSchema,
		JSONSchema: &openai.ChatCompletionResponseFormatJSONSchema{Name: name, Schema: schema, Strict: true},
	}
}

// readChoice reads {"choice": "..."} and gives where in text the string stands, without its quotes.
func readChoice(text string) (value string, from, to int, ok bool) {
	d := json.NewDecoder(strings.NewReader(text))
	for _, want := range []json.Token{json.Delim('{'), choiceField} {
		if token, err := d.Token(); err != nil || token != want {
			return "", 0, 0, false
		}
	}
	from = int(d.InputOffset())
	token, err := d.Token()
	value, ok = token.(string)
	if err != nil || !ok {
		return "", 0, 0, false
	}
	to = int(d.InputOffset()) - 1
	from += strings.IndexByte(text[from:], '"') + 1
	if token, err = d.Token(); err != nil || token != json.Delim('}') {
		return "", 0, 0, false
	}
	_, err = d.Token()
	return value, from, to, errors.Is(err, io.EOF)
}

// choiceConfidence is the joint probability of the tokens that spell the choice, text[from:to]. vLLM gives
// log-probabilities from before the schema's mask, so it is a lower bound of the choice's share among the choices.
func choiceConfidence(probs *openai.LogProbs, text string, from, to int) (value *float64, reason string) {
	if probs == nil || len(probs.Content) == 0 {
		return nil, "the server sent no log-probabilities"
	}
	sum, at := 0.0, 0
	for _, token := range probs.Content {
		if at >= to {
			break // what follows closes the object and the reply
		}
		spelled := token.Token
		if len(token.Bytes) > 0 { // of a token that is part of a character
			spelled = string(token.Bytes)
		}
		if !strings.HasPrefix(text[at:], spelled) {
			return nil, "the server's tokens do not spell its reply"
		}
		at += len(spelled)
		if at > from {
			sum += token.LogProb
		}
	}
	if at < to {
		return nil, "the server's tokens do not spell its reply"
	}
	return upstream.Confidence(sum)
}
