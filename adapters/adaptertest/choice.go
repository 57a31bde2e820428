package adaptertest

import (
	"encoding/json"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/adapters/adaptertest/fakeserver"
	"teller/llm"
)

// choices are the cases in which the reply is one of given texts.
func (s suite) choices(t *testing.T) {
	choose := func(choices ...string) llm.Request {
		req := ask("Where is my card?")
		req.Choices = choices
		return req
	}
	requireChosen := func(t *testing.T, sub Subject, req llm.Request) llm.Completion {
		t.Helper()
		out, err := sub.Model.Complete(testContext(t), req, nil)
		require.NoError(t, err)
		require.Contains(t, req.Choices, out.Text)
		require.True(t, out.Chosen)
		require.Equal(t, llm.FinishStop, out.FinishReason)
		require.NotEmpty(t, out.Served)
		require.Positive(t, out.Usage.PromptTokens)
		require.Positive(t, out.Usage.CompletionTokens)
		if out.ChoiceProbabilities != nil {
			require.Len(t, out.ChoiceProbabilities, len(req.Choices))
			sum := 0.0
			for _, p := range out.ChoiceProbabilities {
				require.GreaterOrEqual(t, p, 0.0)
				sum += p
			}
			require.InDelta(t, 1, sum, 1e-9)
			chosen := out.ChoiceProbabilities[slices.Index(req.Choices, out.Text)]
			require.GreaterOrEqual(t, chosen, slices.Max(out.ChoiceProbabilities), "another choice is more probable")
			require.NotNil(t, out.Confidence)
			require.LessOrEqual(t, *out.Confidence, chosen+1e-9, "a model may be less sure, when it could be none of them, but not more")
		}
		if out.Confidence == nil {
			require.NotEmpty(t, out.NoConfidence)
		}
		return out
	}
	t.Run("one of them", func(t *testing.T) {
		for _, choices := range [][]string{
			{"card_arrival", "balance"},
			{"balance", "card_arrival"},
			{"The card is on its way.", "Your balance is 12.50 EUR.", "I do not know."},
			{"a", "ab", "abc"},
			{"card arrival", "Card Arrival", " card arrival"},
			{"Überweisung", "残高", "👩🏽‍💻", "a\u2028b"},
			{`"`, `\`, `{"choice":"a"}`, "<|end|>", "line\nbreak"},
		} {
			sub := s.New(t)
			req := choose(choices...)
			out := requireChosen(t, sub, req)
			if sub.Provider != nil {
				require.Equal(t, choices[0], out.Text)
				want := choices[len(choices)-1]
				sub.Provider.Script(fakeserver.Behaviour{Choice: want})
				require.Equal(t, want, requireChosen(t, sub, req).Text)
				require.Equal(t, 2, sub.Provider.Calls())
				last := sub.lastRequest(t)
				require.Equal(t, req.Messages[0], last.Messages[len(last.Messages)-1], "the question arrives as it is")
				require.NotNil(t, last.Temperature)
				require.Zero(t, *last.Temperature, "the most probable one is chosen")
			}
		}
	})
	t.Run("the most and the longest", func(t *testing.T) {
		var many []string
		for i := range llm.MaxChoices {
			many = append(many, "choice "+strings.Repeat("x", i%7)+string(rune('a'+i%26))+string(rune('a'+i/26)))
		}
		requireChosen(t, s.New(t), choose(many...))
		sub := s.New(t)
		long := choose(strings.Repeat("a", llm.MaxChoiceBytes), "b")
		if sub.Provider == nil && sub.Window < 2*llm.MaxChoiceBytes {
			_, err := sub.Model.Complete(testContext(t), long, nil)
			sub.requireError(t, err, llm.ContextTooLong)
			return
		}
		requireChosen(t, sub, long)
	})
	t.Run("bounds of a free text have no part in it", func(t *testing.T) {
		req := choose("a text of several words", "another one")
		hot := 2.0
		req.MaxTokens, req.Temperature = 1, &hot
		sub := s.New(t)
		first := requireChosen(t, sub, req)
		require.Equal(t, first.Text, requireChosen(t, sub, req).Text)
	})
	t.Run("in a dialogue", func(t *testing.T) {
		req := llm.Request{Messages: []llm.Message{
			{Role: llm.System, Text: "The balance is 12.50 EUR."}, {Role: llm.User, Text: "Hello."},
			{Role: llm.Assistant, Text: "Hello."}, {Role: llm.User, Text: "What is my balance?"},
		}, Options: llm.Options{Choices: []string{"balance", "card"}}}
		sub := s.New(t)
		requireChosen(t, sub, req)
		if sub.Provider != nil {
			got := sub.lastRequest(t).Messages
			require.Equal(t, req.Messages[1:], got[1:])
			require.True(t, strings.HasPrefix(got[0].Text, req.Messages[0].Text))
		}
	})
	t.Run("as one piece", func(t *testing.T) {
		sub := s.New(t)
		req := choose("card_arrival", "balance")
		var pieces []string
		out, err := sub.Model.Complete(testContext(t), req, func(d llm.Delta) { pieces = append(pieces, d.Text) })
		require.NoError(t, err)
		require.Equal(t, []string{out.Text}, pieces)
	})
	t.Run("confidence", func(t *testing.T) {
		s.need(t, Confidence)
		sub := s.New(t)
		if sub.Provider != nil {
			logProb := -0.25
			sub.Provider.Script(fakeserver.Behaviour{LogProb: &logProb})
		}
		out := requireChosen(t, sub, choose("the card arrives", "balance"))
		require.NotNil(t, out.Confidence, out.NoConfidence)
		if sub.Provider == nil {
			require.NotNil(t, out.ChoiceProbabilities)
			return
		}
		require.InDelta(t, math.Exp(-3*0.25), *out.Confidence, 1e-9, "the joint probability of three tokens")
	})
	for name, script := range map[string]fakeserver.Behaviour{
		"free text": {Text: "It is about the arrival of a card."},
		"another value": {Reply: func(r fakeserver.Request) string {
			return strings.ReplaceAll(fakeserver.Behaviour{}.Compose(r).Text, "card_arrival", "other")
		}},
		"other JSON":     {Text: `{"answer":"card_arrival"}`},
		"an empty value": {Text: `{"choice":""}`},
		"two objects":    {Text: `{"choice":"card_arrival"}{}`},
		"a list":         {Text: `["card_arrival"]`},
		"part of one":    {Text: "card_"},
		"all of them":    {Text: "card_arrival balance"},
	} {
		t.Run("none of them/"+name, func(t *testing.T) {
			s.need(t, HTTP)
			sub := s.New(t)
			sub.Provider.Script(script)
			_, err := sub.Model.Complete(testContext(t), choose("card_arrival", "balance"), nil)
			sub.requireError(t, err, llm.BadReply)
			require.Equal(t, 1, sub.Provider.Calls(), "retries are not the adapter's")
		})
	}
	t.Run("a provider that fails", func(t *testing.T) {
		s.need(t, HTTP)
		for failure, code := range map[fakeserver.Failure]llm.Code{
			fakeserver.RateLimited: llm.RateLimited, fakeserver.ContextTooLong: llm.ContextTooLong, fakeserver.InvalidRequest: llm.InvalidRequest,
		} {
			sub := s.New(t)
			sub.Provider.Script(fakeserver.Behaviour{Failure: failure, Detail: leaked})
			_, err := sub.Model.Complete(testContext(t), choose("card_arrival", "balance"), nil)
			sub.requireError(t, err, code)
		}
		sub := s.New(t)
		sub.Provider.Script(fakeserver.Behaviour{Blocked: true})
		_, err := sub.Model.Complete(testContext(t), choose("card_arrival", "balance"), nil)
		sub.requireError(t, err, llm.Refused)
	})
	many := make([]string, llm.MaxChoices+1)
	for i := range many {
		many[i] = strings.Repeat("x", i+1)
	}
	for name, choices := range map[string][]string{
		"one":           {"CANARYCHOICE"},
		"too many":      many,
		"empty":         {"a", ""},
		"twice":         {"CANARYCHOICE", "b", "CANARYCHOICE"},
		"too long":      {"a", strings.Repeat("a", llm.MaxChoiceBytes+1)},
		"invalid UTF-8": {"a", "CANARY\xff"},
	} {
		t.Run("invalid/"+name, func(t *testing.T) {
			s.requireInvalid(t, choose(choices...))
		})
	}
	t.Run("invalid/with a schema", func(t *testing.T) {
		req := choose("a", "b")
		req.Schema = json.RawMessage(`{"type":"string"}`)
		s.requireInvalid(t, req)
	})
}

// schemas are the cases in which the reply conforms to a JSON schema.
func (s suite) schemas(t *testing.T) {
	const schema = `{"type":"object","properties":{"intent":{"type":"string","enum":["card","balance"]},"sure":{"type":"boolean"}},"required":["intent","sure"],"additionalProperties":false}`
	req := ask("Where is my card?")
	req.Schema = json.RawMessage(schema)
	t.Run("conforms", func(t *testing.T) {
		sub := s.New(t)
		out, err := sub.Model.Complete(testContext(t), req, nil)
		if s.lacks(Schema) {
			sub.requireError(t, err, llm.NotSupported)
			require.ErrorContains(t, err, "schema")
			if sub.Provider != nil {
				require.Zero(t, sub.Provider.Calls())
			}
			return
		}
		require.NoError(t, err)
		require.JSONEq(t, `{"intent":"card","sure":true}`, out.Text)
		require.JSONEq(t, schema, string(sub.lastRequest(t).Schema))
	})
	t.Run("any object", func(t *testing.T) {
		s.need(t, Schema)
		sub := s.New(t)
		free := req
		free.Schema = llm.AnyObject()
		sub.Provider.Script(fakeserver.Behaviour{Text: `{"any":["thing"]}`})
		out, err := sub.Model.Complete(testContext(t), free, nil)
		require.NoError(t, err)
		require.Equal(t, `{"any":["thing"]}`, out.Text)
		require.True(t, llm.IsAnyObject(sub.lastRequest(t).Schema))
		require.NotContains(t, string(sub.lastRequest(t).Body), `"type":"object"`, "as the provider's own setting: a schema can be taken for that of the empty object")
		sub.Provider.Script(fakeserver.Behaviour{Text: `["thing"]`})
		_, err = sub.Model.Complete(testContext(t), free, nil)
		sub.requireError(t, err, llm.BadReply)
	})
	for name, text := range map[string]string{
		"free text":     "It is about a card.",
		"another shape": `{"intent":"card"}`,
		"another value": `{"intent":"loan","sure":true}`,
		"two objects":   `{"intent":"card","sure":true} {}`,
		"cut off":       `{"intent":"card","sure":tr`,
	} {
		t.Run("does not conform/"+name, func(t *testing.T) {
			s.need(t, Schema)
			sub := s.New(t)
			sub.Provider.Script(fakeserver.Behaviour{Text: text})
			_, err := sub.Model.Complete(testContext(t), req, nil)
			sub.requireError(t, err, llm.BadReply)
		})
	}
	t.Run("cut short by max tokens", func(t *testing.T) {
		s.need(t, Schema)
		sub := s.New(t)
		sub.Provider.Script(fakeserver.Behaviour{Text: `{"intent": "card", "sure": true}`})
		short := req
		short.MaxTokens = 2
		out, err := sub.Model.Complete(testContext(t), short, nil)
		require.NoError(t, err)
		require.Equal(t, llm.FinishLength, out.FinishReason)
		require.Equal(t, `{"intent": "card",`, out.Text)
	})
	for name, schema := range map[string]string{
		"not JSON":       `{"type":`,
		"no object":      `["CANARY"]`,
		"a text":         `"CANARY"`,
		"unknown type":   `{"type":"CANARY"}`,
		"a bad pattern":  `{"type":"string","pattern":"CANARY("}`,
		"a local file":   `{"$ref":"file:///etc/CANARY"}`,
		"another host":   `{"$ref":"http://127.0.0.1:1/CANARY"}`,
		"a missing part": `{"$ref":"#/$defs/CANARY"}`,
		"too long":       `{"description":"` + strings.Repeat("a", 64<<10) + `"}`,
	} {
		t.Run("invalid/"+name, func(t *testing.T) {
			bad := ask(prompt)
			bad.Schema = json.RawMessage(schema)
			s.requireInvalid(t, bad)
		})
	}
}

func (s suite) requireInvalid(t *testing.T, req llm.Request) {
	t.Helper()
	sub := s.New(t)
	_, err := sub.Model.Complete(testContext(t), req, nil)
	sub.requireError(t, err, llm.InvalidRequest)
	if sub.Provider != nil {
		require.Zero(t, sub.Provider.Calls(), "an invalid request costs no call")
	}
}
