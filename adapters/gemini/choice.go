package gemini

import (
	"math"

	old "github.com/google/generative-ai-go/genai"
	"google.golang.org/genai"

	"teller/adapters/internal/upstream"
	"teller/llm"
)

// enumMIME has the API reply with one value of an enumeration and nothing around it. The model sees the schema: it
// counts towards the input tokens.
const enumMIME = "text/x.enum"

const jsonMIME = "application/json"

// constrain has genai keep the reply to the request's choices or schema.
func constrain(cfg *genai.GenerateContentConfig, req llm.Request, t thinking) {
	switch {
	case len(req.Choices) > 0:
		cfg.ResponseMIMEType = enumMIME
		cfg.ResponseSchema = &genai.Schema{Type: genai.TypeString, Format: "enum", Enum: req.Choices}
		cfg.Temperature = genai.Ptr[float32](0)
		cfg.MaxOutputTokens = t.bound(upstream.ChoiceTokens(req.Choices))
	case len(req.Schema) > 0:
		cfg.ResponseMIMEType = jsonMIME
		if !llm.IsAnyObject(req.Schema) {
			cfg.ResponseJsonSchema = req.Schema
		}
	}
}

// constrainOld is constrain for generative-ai-go, which knows no JSON schema: see Complete.
func constrainOld(model *old.GenerativeModel, req llm.Request, t thinking) {
	if len(req.Choices) == 0 {
		return
	}
	model.ResponseMIMEType = enumMIME
	model.ResponseSchema = &old.Schema{Type: old.TypeString, Format: "enum", Enum: req.Choices}
	model.SetTemperature(0)
	model.SetMaxOutputTokens(t.bound(upstream.ChoiceTokens(req.Choices)))
}

// unsupported refuses what the model's SDK has no field for.
func (m *Model) unsupported(req llm.Request) error {
	if _, ok := m.sdk.(*generativeAIGo); ok && len(req.Schema) > 0 {
		return &llm.Error{Code: llm.NotSupported, Message: "schema is not supported through the SDK generative-ai-go; GEMINI_SDK=genai supports it"}
	}
	return nil
}

// chosen makes the completion of a request with choices. The probability of the choice is that of all its tokens, where the
// API says their mean.
func chosen(choices []string, got reply, out llm.Completion) (llm.Completion, error) {
	choice, ok := upstream.ChoiceOf(choices, out.Text)
	if !ok {
		return llm.Completion{}, &llm.Error{Code: llm.BadReply, Message: who + " answered with none of the choices"}
	}
	out.Text, out.Chosen, out.LogProbs = choice, true, nil
	if out.Confidence != nil && got.replyTokens > 0 {
		out.Confidence, out.NoConfidence = upstream.Confidence(math.Log(*out.Confidence) * float64(got.replyTokens))
	}
	return out, nil
}
