package transformer

import (
	"context"
	"slices"
	"strings"

	"teller/llm"
	engine "teller/transformer"
)

// choose gives the most probable of req.Choices, with the probabilities of all of them. Where the choices are labels
// that the weights were trained on, they are weighed at the place where the model names one; other texts by how
// probable each is as the whole reply.
func (m *Model) choose(ctx context.Context, req llm.Request) (llm.Completion, error) {
	messages := dialogue(req.Messages)
	probabilities, tokens, err := m.weigh(ctx, messages, req.Choices)
	if err != nil {
		return llm.Completion{}, classify(err)
	}
	prompt, omitted, err := m.bundle.Tokenizer.FitDialogue(messages, m.bundle.Config.MaxPositionEmbeddings-1)
	if err != nil {
		return llm.Completion{}, classify(err)
	}
	best := 0
	for i, p := range probabilities {
		if p > probabilities[best] {
			best = i
		}
	}
	out := llm.Completion{
		Text:                req.Choices[best],
		FinishReason:        llm.FinishStop,
		Usage:               llm.Usage{PromptTokens: len(prompt), CompletionTokens: tokens[best]},
		Served:              m.bundle.Version,
		Chosen:              true,
		OmittedMessages:     omitted,
		ChoiceProbabilities: probabilities,
	}
	out.Confidence = &out.ChoiceProbabilities[best]
	return out, nil
}

// weigh gives each choice's probability among them and how many tokens it is.
func (m *Model) weigh(ctx context.Context, messages []engine.Message, choices []string) (probabilities []float64, tokens []int, err error) {
	tokens = make([]int, len(choices))
	if namespace, places, ok := labels(m.bundle.Tokenizer.Labels(), choices); ok {
		all, err := m.bundle.ChooseLabel(ctx, m.scorer, messages, namespace)
		if err != nil {
			return nil, nil, err
		}
		probabilities = make([]float64, len(choices))
		sum := 0.0
		for i, place := range places {
			probabilities[i], tokens[i] = all[place], 1
			sum += all[place]
		}
		if sum > 0 {
			for i := range probabilities {
				probabilities[i] /= sum
			}
			return probabilities, tokens, nil
		}
		// The model is as good as sure that it is none of them; what is left of them is below float64.
		for i := range probabilities {
			probabilities[i] = 1 / float64(len(choices))
		}
		return probabilities, tokens, nil
	}
	logProbs, err := m.bundle.ScoreTexts(ctx, m.scorer, messages, choices)
	if err != nil {
		return nil, nil, err
	}
	for i, choice := range choices {
		tokens[i] = len(m.bundle.Tokenizer.Encode(choice)) + 1 // and the end
	}
	return engine.Softmax(logProbs), tokens, nil
}

// labels finds the namespace that holds all choices as labels, and where in it they stand: the smallest one when there
// are several, because that is the set that the choices are likeliest to be from.
func labels(sets []engine.LabelSet, choices []string) (namespace string, places []int, ok bool) {
	size := 0
	for _, set := range sets {
		if ok && len(set.Names) >= size {
			continue
		}
		at := make(map[string]int, len(set.Names))
		for i, name := range set.Names {
			at[plainLabel(name)] = i
		}
		var found []int
		for _, choice := range choices {
			if place, known := at[plainLabel(choice)]; known && !slices.Contains(found, place) {
				found = append(found, place)
			}
		}
		if len(found) == len(choices) {
			namespace, places, ok, size = set.Namespace, found, true, len(set.Names)
		}
	}
	return namespace, places, ok
}

// plainLabel is a label whichever way it is written: "Card arrival", "card-arrival", "card_arrival".
func plainLabel(name string) string {
	return strings.NewReplacer(" ", "_", "-", "_").Replace(strings.ToLower(strings.TrimSpace(name)))
}

// emitWhole gives a completion that is known at once as one piece.
func emitWhole(out llm.Completion, err error, emit func(llm.Delta)) (llm.Completion, error) {
	if err == nil && emit != nil {
		emit(llm.Delta{Text: out.Text})
	}
	return out, err
}

// unsupported refuses what the engine cannot do.
func unsupported(req llm.Request) error {
	if len(req.Schema) > 0 {
		return &llm.Error{Code: llm.NotSupported, Message: "schema is not supported by the custom transformer: it writes no JSON"}
	}
	return nil
}
