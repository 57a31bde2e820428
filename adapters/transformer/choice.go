package transformer

import (
	"context"
	"math"
	"slices"
	"strings"

	"teller/adapters/internal/upstream"
	"teller/llm"
	engine "teller/transformer"
)

// choose gives the most probable of req.Choices, with the probabilities of all of them.
func (m *Model) choose(ctx context.Context, req llm.Request) (llm.Completion, error) {
	weights, err := m.weigh(ctx, m.engine, req.Messages, req.Choices)
	if err != nil {
		return llm.Completion{}, classify(err)
	}
	prompt, omitted, err := m.fit(req.Messages, m.window-1)
	if err != nil {
		return llm.Completion{}, classify(err)
	}
	best := 0
	for i, p := range weights.probabilities {
		if p > weights.probabilities[best] {
			best = i
		}
	}
	out := llm.Completion{
		Text:                req.Choices[best],
		FinishReason:        llm.FinishStop,
		Usage:               llm.Usage{PromptTokens: len(prompt), CompletionTokens: weights.tokens[best]},
		Served:              m.version(),
		Chosen:              true,
		OmittedMessages:     omitted,
		ChoiceProbabilities: weights.probabilities,
	}
	out.Confidence, out.NoConfidence = upstream.Confidence(math.Log(weights.confidence[best]))
	return out, nil
}

// weighed is what the model makes of some choices, by their order.
type weighed struct {
	probabilities []float64 // of each among them; they add up to 1
	confidence    []float64 // how sure the model would be of each
	tokens        []int     // how many tokens each is
}

// amongLabels gives what is left of a namespace's probabilities, all by namespace, for the labels in some places. The confidence is lower
// where the question may be about none of them, because a question about something else must not look sure for want of the label
// that it deserves: it is that among all labels of the namespace where one of these means just that, and elsewhere is
// bounded by how likely our own intents hold the question to be about banking. A choice at the place elsewhere gets what the others leave.
func (o own) amongLabels(namespace string, all map[string][]float64, places []int) weighed {
	w := weighed{probabilities: make([]float64, len(places)), confidence: make([]float64, len(places)), tokens: make([]int, len(places))}
	inScope := 1.0 // where the namespace tells by itself
	tells := len(o.OutOfScope(namespace)) > 0
	if !tells {
		inScope = o.InScope(all[engine.TellerNamespace])
	}
	sum := 0.0
	for i, place := range places {
		w.tokens[i] = 1
		if place != elsewhere {
			w.confidence[i] = all[namespace][place]
			sum += w.confidence[i]
		}
	}
	if i := slices.Index(places, elsewhere); i >= 0 {
		for j := range w.confidence {
			w.confidence[j] *= inScope
		}
		w.confidence[i] = max(0, 1-sum*inScope)
		w.probabilities = w.confidence
		return w
	}
	for i, p := range w.confidence {
		w.probabilities[i] = p / sum
		if sum == 0 { // the model is as good as sure that it is none of them: what is left is below float64
			w.probabilities[i] = 1 / float64(len(places))
		}
	}
	if !tells {
		for i, p := range w.probabilities {
			w.confidence[i] = p * inScope
		}
	}
	return w
}

// elsewhere is the place of a choice that means none of the others.
const elsewhere = -1

// otherwise are the usual names of such a choice, as plainLabel has them.
var otherwise = []string{"other", "others", "none", "none_of_these", "none_of_the_above", "something_else", "anything_else", "unknown", "unrelated",
	"oos", "ood", "out_of_scope", "out_of_domain"}

// labels finds the namespace that holds all choices as labels, and where in it they stand: the smallest one when there
// are several, because that is the set that the choices are likeliest to be from. One choice beside labels may mean none of them.
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
			place, known := at[plainLabel(choice)]
			if !known && len(choices) > 1 && slices.Contains(otherwise, plainLabel(choice)) {
				place, known = elsewhere, true
			}
			if known && !slices.Contains(found, place) {
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
