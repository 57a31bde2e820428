package gemini

import (
	"bytes"
	"encoding/json"

	"teller/adapters/internal/upstream"
	"teller/llm"
)

// reply is a response as either SDK gives it.
type reply struct {
	text    string
	finish  string // Google's name of the finish reason
	blocked bool   // the prompt was blocked

	promptTokens  int
	replyTokens   int
	thoughtTokens int
	served        string
	avgLogProb    float64 // 0: not sent
}

// message is one message of a response, in so far as the SDKs' types may lack it. Its fields are raw,
// because a field of a wrong type must not hide the others.
type message struct {
	Error         json.RawMessage `json:"error"`
	ModelVersion  string          `json:"modelVersion"`
	UsageMetadata struct {
		ThoughtsTokenCount int `json:"thoughtsTokenCount"`
	} `json:"usageMetadata"`
	Candidates []struct {
		FinishReason json.RawMessage `json:"finishReason"`
		AvgLogprobs  float64         `json:"avgLogprobs"`
	} `json:"candidates"`
}

// messages reads a body: one message, or those of a streaming call, in an array or as server-sent events. What cannot be
// read is left out.
func messages(body []byte) []message {
	var many []message
	for _, data := range events(body) {
		var one message
		if json.Unmarshal(data, &one) == nil {
			many = append(many, one)
		}
	}
	if many != nil {
		return many
	}
	if json.Unmarshal(body, &many) == nil {
		return many
	}
	var one message
	if json.Unmarshal(body, &one) == nil {
		return []message{one}
	}
	return nil
}

// events gives the data of each server-sent event of a body; nil when it is no stream of them.
func events(body []byte) (data [][]byte) {
	for line := range bytes.Lines(body) {
		if text, ok := bytes.CutPrefix(line, []byte("data:")); ok {
			data = append(data, text)
		}
	}
	return data
}

// extras adds what the SDK's types lack.
func (r reply) extras(all []message) reply {
	for _, m := range all {
		if m.ModelVersion != "" {
			r.served = m.ModelVersion
		}
		if m.UsageMetadata.ThoughtsTokenCount > 0 {
			r.thoughtTokens = m.UsageMetadata.ThoughtsTokenCount
		}
		if len(m.Candidates) == 0 {
			continue
		}
		if name := finishName(m.Candidates[0].FinishReason); name != "" {
			r.finish = name
		}
		if m.Candidates[0].AvgLogprobs != 0 {
			r.avgLogProb = m.Candidates[0].AvgLogprobs
		}
	}
	return r
}

// finishNumbers are the values of Candidate.FinishReason in Google's generative_service.proto:
// generative-ai-go asks for enumerations as numbers.
var finishNumbers = map[int]string{
	1: "STOP", 2: "MAX_TOKENS", 3: "SAFETY", 4: "RECITATION", 5: "OTHER", 6: "LANGUAGE",
	7: "BLOCKLIST", 8: "PROHIBITED_CONTENT", 9: "SPII", 10: "MALFORMED_FUNCTION_CALL", 11: "IMAGE_SAFETY",
}

func finishName(raw json.RawMessage) string {
	var name string
	if json.Unmarshal(raw, &name) == nil {
		return name
	}
	var number int
	if json.Unmarshal(raw, &number) == nil && number != 0 {
		if known, ok := finishNumbers[number]; ok {
			return known
		}
		return "OTHER"
	}
	return ""
}

// completion reads a response that arrived whole.
func completion(call *upstream.Call, got reply) (llm.Completion, error) {
	all := messages(call.Body())
	got = got.extras(all)
	out := llm.Completion{
		Text:   got.text,
		Served: got.served,
		Usage:  llm.Usage{PromptTokens: max(got.promptTokens, 0), CompletionTokens: max(got.replyTokens+got.thoughtTokens, 0)},
	}
	out.FinishReason = finishReason(got.finish)
	switch {
	case got.text == "" && (got.blocked || out.FinishReason == llm.FinishContentFilter):
		return llm.Completion{}, call.Classify(who, llm.Refused, "")
	case got.text == "":
		empty := call.Classify(who, llm.EmptyReply, upstream.Label(got.finish))
		if out.FinishReason == llm.FinishLength {
			empty.Message = "the model reached max_tokens before it wrote any text"
		}
		return llm.Completion{}, empty
	case got.finish == "" || got.finish == "FINISH_REASON_UNSPECIFIED":
		// "If empty, the model has not stopped generating": the reply breaks off.
		return llm.Completion{}, call.Classify(who, llm.BadReply, "")
	}
	if got.avgLogProb == 0 {
		out.NoConfidence = "the Gemini API sent no log-probabilities"
	} else {
		out.Confidence, out.NoConfidence = upstream.Confidence(got.avgLogProb)
	}
	return out, nil
}

// finishReason translates Google's name. What is not known counts as an end: with text present, the
// model ended its reply.
func finishReason(name string) llm.FinishReason {
	switch name {
	case "MAX_TOKENS":
		return llm.FinishLength
	case "SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT", "IMAGE_RECITATION":
		return llm.FinishContentFilter
	default:
		return llm.FinishStop
	}
}
