package transformer

import (
	"context"
	"fmt"
	"math"
	"slices"
)

// Labels gives the labels that the weights were trained on by namespace, in the order of ChooseLabel's probabilities: the intents of our own
// corpus under TellerNamespace, those of a public data set under its name. It is empty for a model without labels.
func (b *Bundle) Labels() map[string][]string {
	out := make(map[string][]string, len(b.Tokenizer.labels))
	for _, set := range b.Tokenizer.labels {
		out[set.Namespace] = slices.Clone(set.Names)
	}
	return out
}

// ChooseLabel gives the probability of each label of a namespace, in the order of Labels, for the last message of a dialogue: the
// softmax over these labels at the place where the model names one, calibrated if the bundle has a calibration. To choose among some of
// them only, divide theirs by their sum. A dialogue that does not fit the window loses its oldest turns. It refuses a namespace that
// the model does not know; other errors are those of FitDialogue and Generate.
func (b *Bundle) ChooseLabel(ctx context.Context, e *Engine, dialogue []Message, namespace string) ([]float64, error) {
	if _, ok := b.Tokenizer.LabelSet(namespace); !ok {
		return nil, fmt.Errorf("the model has no labels of %q", namespace)
	}
	all, err := b.WeighLabels(ctx, e, dialogue)
	return all[namespace], err
}

// WeighLabels gives what ChooseLabel does for each namespace, in one forward pass. Errors are those of ChooseLabel; a model without labels
// is one.
func (b *Bundle) WeighLabels(ctx context.Context, e *Engine, dialogue []Message) (map[string][]float64, error) {
	prompt, _, err := b.Tokenizer.FitDialogue(dialogue, b.Config.MaxPositionEmbeddings)
	if err != nil {
		return nil, err
	}
	var tokens []int
	for _, set := range b.Tokenizer.labels {
		for i := range set.Names {
			tokens = append(tokens, set.From+i)
		}
	}
	logProbs, err := e.ScoreNext(ctx, prompt, tokens)
	if err != nil {
		return nil, err
	}
	out := make(map[string][]float64, len(b.Tokenizer.labels))
	for _, set := range b.Tokenizer.labels {
		// A softmax over a part of the labels is the same whatever stood beside them: the others' share falls out.
		out[set.Namespace] = b.Calibrated(set.Namespace, logProbs[:len(set.Names)])
		logProbs = logProbs[len(set.Names):]
	}
	return out, nil
}

// ScoreTexts gives the log-probability of each text as the whole reply to a dialogue, exactly as the model would write it: after the label
// that it gives the dialogue, if it has labels, and ended. Errors are those of ChooseLabel and Score.
func (b *Bundle) ScoreTexts(ctx context.Context, e *Engine, dialogue []Message, texts []string) ([]float64, error) {
	choices := make([][]int, len(texts))
	longest := 0
	for i, text := range texts {
		choices[i] = append(b.Tokenizer.Encode(text), b.Config.EOSTokenID)
		longest = max(longest, len(choices[i]))
	}
	prompt, _, err := b.Tokenizer.FitDialogue(dialogue, max(1, b.Config.MaxPositionEmbeddings-longest))
	if err != nil {
		return nil, err
	}
	if set, ok := b.Tokenizer.LabelSet(TellerNamespace); ok {
		probabilities, err := b.ChooseLabel(ctx, e, dialogue, TellerNamespace)
		if err != nil {
			return nil, err
		}
		prompt = append(prompt, set.From+argmax(probabilities))
	}
	return e.Score(ctx, prompt, choices)
}

// Softmax gives the probabilities that log-weights stand for: exp(x) over its sum, in float64.
func Softmax(logWeights []float64) []float64 {
	out := make([]float64, len(logWeights))
	if len(out) == 0 {
		return out
	}
	top := slices.Max(logWeights)
	var sum float64
	for i, w := range logWeights {
		out[i] = math.Exp(w - top)
		sum += out[i]
	}
	for i := range out {
		out[i] /= sum
	}
	return out
}

func argmax(x []float64) int {
	best := 0
	for i, v := range x {
		if v > x[best] {
			best = i
		}
	}
	return best
}
