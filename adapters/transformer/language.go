package transformer

import (
	"context"

	"teller/llm"
	engine "teller/transformer"
)

// language is what a model's tokens mean: how dialogues are laid out in them, and what they say.
type language interface {
	// version names the weights.
	version() string
	// fit lays a dialogue out in at most limit tokens, without the oldest turns where there are too many, and says how many messages
	// were left out.
	fit(messages []llm.Message, limit int) (prompt []int, omitted int, err error)
	// text is what a token adds to a reply, first or later in it; it may be a part of a character.
	text(id int, first bool) string
	// weigh finds out what the model makes of choices as the reply.
	weigh(ctx context.Context, e *engine.Engine, messages []llm.Message, choices []string) (weighed, error)
	// confidence is how sure the model is that it knows what the question is about, where it can say that.
	confidence(engine.Result) (confidence float64, ok bool)
}

// own is the language of our own weights.
type own struct{ *engine.Bundle }

func (o own) version() string { return o.Version }

func (o own) fit(messages []llm.Message, limit int) ([]int, int, error) {
	return o.Tokenizer.FitDialogue(dialogue(messages), limit)
}

func (o own) text(id int, _ bool) string { return o.Tokenizer.Decode([]int{id}) }

// weigh weighs choices that are labels which the weights were trained on at the place where the model names one; other texts by how
// probable each is as the whole reply.
func (o own) weigh(ctx context.Context, e *engine.Engine, messages []llm.Message, choices []string) (weighed, error) {
	if namespace, places, ok := labels(o.Tokenizer.Labels(), choices); ok {
		all, err := o.WeighLabels(ctx, e, dialogue(messages))
		if err != nil {
			return weighed{}, err
		}
		return o.amongLabels(namespace, all, places), nil
	}
	logProbs, err := o.ScoreTexts(ctx, e, dialogue(messages), choices)
	if err != nil {
		return weighed{}, err
	}
	w := weighed{probabilities: engine.Softmax(logProbs), tokens: make([]int, len(choices))}
	w.confidence = w.probabilities
	for i, choice := range choices {
		w.tokens[i] = len(o.Tokenizer.Encode(choice)) + 1 // and the end
	}
	return w, nil
}

// confidence is calibrated; weights without a calibration have none.
func (o own) confidence(result engine.Result) (float64, bool) {
	if o.Calibration == nil {
		return 0, false
	}
	return o.Confidence(result.LabelLogProbs)
}

func dialogue(messages []llm.Message) []engine.Message {
	out := make([]engine.Message, len(messages))
	for i, m := range messages {
		out[i] = engine.Message{Role: string(m.Role), Text: m.Text} // the roles have the same names
	}
	return out
}
