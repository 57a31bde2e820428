package api_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/llm"
	"teller/workflows"
)

func TestChoices(t *testing.T) {
	f := start(t)
	choices := func(list ...string) string {
		body, err := json.Marshal(map[string]any{"message": "Where is my card?", "choices": list})
		require.NoError(t, err)
		return string(body)
	}
	t.Run("reach the model", func(t *testing.T) {
		require.Equal(t, []string{"card arrival", "Überweisung", "\n"}, f.submit(t, choices("card arrival", "Überweisung", "\n")).in.Choices)
		require.Nil(t, f.submit(t, `{"message":"hello","choices":null}`).in.Choices)
		many := make([]string, llm.MaxChoices)
		for i := range many {
			many[i] = fmt.Sprint(i)
		}
		many[0] = strings.Repeat("a", llm.MaxChoiceBytes)
		require.Equal(t, many, f.submit(t, choices(many...)).in.Choices)
	})
	t.Run("are another request", func(t *testing.T) {
		digests := map[string]bool{}
		for _, body := range []string{choices("a", "b"), choices("b", "a"), choices("ab", "c"), choices("a", "bc"), `{"message":"Where is my card?"}`} {
			digests[f.submit(t, body).in.Digest] = true
		}
		require.Len(t, digests, 5)
	})
	t.Run("come back", func(t *testing.T) {
		confidence := 0.75
		f.turns.answer = func(workflows.TurnInput) (workflows.Answer, error) {
			return workflows.Answer{TurnID: "t1", Model: "custom", Completion: llm.Completion{
				Text: "b", FinishReason: llm.FinishStop, Confidence: &confidence, Chosen: true, ChoiceProbabilities: []float64{0.25, 0.75},
			}}, nil
		}
		f.chat(t, choices("a", "b")).requireJSON(t, `{"response":"b","latency_ms":0,"model_version":"custom","confidence":0.75,"conversation_id":null,
			"turn_id":"t1","usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0},"finish_reason":"stop",
			"choice":"b","choice_probabilities":[0.25,0.75]}`)
	})
	t.Run("of a model without probabilities", func(t *testing.T) {
		f.turns.answer = func(workflows.TurnInput) (workflows.Answer, error) {
			return workflows.Answer{TurnID: "t1", Model: "gemini", Completion: llm.Completion{
				Text: "b", FinishReason: llm.FinishStop, Chosen: true, NoConfidence: "none sent",
			}}, nil
		}
		f.chat(t, choices("a", "b")).requireJSON(t, `{"response":"b","latency_ms":0,"model_version":"gemini","confidence":null,"confidence_reason":"none sent",
			"conversation_id":null,"turn_id":"t1","usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0},"finish_reason":"stop","choice":"b"}`)
	})
	many := make([]string, llm.MaxChoices+1)
	for i := range many {
		many[i] = fmt.Sprint(i)
	}
	for name, c := range map[string]struct {
		body, param, says string
	}{
		"empty list":    {`{"message":"hello","choices":[]}`, "choices", "choices are 0 texts and must be from 2 to 256"},
		"one":           {choices("a"), "choices", "choices are 1 texts"},
		"too many":      {choices(many...), "choices", "choices are 257 texts"},
		"empty":         {choices("a", ""), "choices[1]", "is empty"},
		"null":          {`{"message":"hello","choices":["a",null]}`, "choices[1]", "is empty"},
		"too long":      {choices("a", strings.Repeat("a", 2001)), "choices[1]", "2001 bytes long and must be at most 2000"},
		"twice":         {choices("a", "b", "a"), "choices[2]", "is the same as choices[0]"},
		"a NUL":         {choices("a", "b\x00"), "choices[1]", "must not hold a NUL"},
		"a text":        {`{"message":"hello","choices":"a"}`, "choices", "choices must be a list, not string"},
		"an object":     {`{"message":"hello","choices":{"a":"b"}}`, "choices", "choices must be a list, not object"},
		"numbers":       {`{"message":"hello","choices":[1,2]}`, "choices", "choices must be a string, not number"},
		"half a letter": {`{"message":"hello","choices":["a","\ud83d"]}`, "", "half of a surrogate pair"},
	} {
		t.Run("refused/"+name, func(t *testing.T) {
			before := len(f.turns.submitted())
			e := f.chat(t, c.body).requireError(t, 400, "invalid_request")
			require.Contains(t, e.Message, c.says)
			if c.param == "" {
				require.Nil(t, e.Param)
			} else {
				require.Equal(t, c.param, e.Param)
			}
			require.Len(t, f.turns.submitted(), before, "no model is asked")
		})
	}
}
