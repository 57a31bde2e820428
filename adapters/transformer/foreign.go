package transformer

import (
	"context"
	"errors"
	"math"
	"slices"
	"sort"
	"time"

	"teller/llm"
	engine "teller/transformer"
	"teller/transformer/chattemplate"
	"teller/transformer/modelfile"
)

// foreign is the language of weights that others trained: the tokenizer and the chat template of their file.
type foreign struct {
	*modelfile.Model
	named  string // version
	window int
	now    func() time.Time // the date that some templates show
}

func (f foreign) version() string { return f.named }

func (f foreign) fit(messages []llm.Message, limit int) ([]int, int, error) {
	starts := turns(messages)
	var prompt []int
	var err error
	// lay lays the dialogue out without its first turns, and tells whether it fits. After an error nothing more is tried.
	lay := func(left int) bool {
		if err == nil {
			prompt, err = f.Prompt(without(messages, starts[left]), f.now())
		}
		return err != nil || len(prompt) <= limit
	}
	left := 0
	if !lay(0) { // most dialogues fit as they are
		left = 1 + sort.Search(len(starts)-1, func(i int) bool { return lay(i + 1) })
		if left == len(starts) {
			return nil, 0, &engine.WindowError{Tokens: len(prompt), Window: limit}
		}
		lay(left) // the search may have ended elsewhere
	}
	if err != nil {
		return nil, 0, f.refused(err)
	}
	return prompt, len(messages) - len(without(messages, starts[left])), nil
}

// turns gives where the turns of a dialogue begin after its system message: at users' messages.
func turns(messages []llm.Message) []int {
	var starts []int
	for i, m := range messages {
		if m.Role == llm.User || i == 0 && m.Role != llm.System || i == 1 && messages[0].Role == llm.System {
			starts = append(starts, i)
		}
	}
	if len(starts) == 0 {
		starts = []int{0}
	}
	return starts
}

// without gives the messages from one on, after the system message if there is one.
func without(messages []llm.Message, from int) []chattemplate.Message {
	var out []chattemplate.Message
	for i, m := range messages {
		if i >= from || i == 0 && m.Role == llm.System {
			out = append(out, chattemplate.Message{Role: string(m.Role), Text: m.Text})
		}
	}
	return out
}

// refused names what is wrong with a dialogue that the template doesn't take.
func (f foreign) refused(err error) error {
	var refused *chattemplate.RefusedError
	if errors.As(err, &refused) {
		return &llm.Error{Code: llm.NotSupported, Message: "the model's chat template does not take such a dialogue", Cause: err}
	}
	return err
}

func (f foreign) text(id int, first bool) string {
	if first { // without the space that some tokenizers put before a text
		return f.Tokenizer.Decode([]int{id})
	}
	return f.Tokenizer.Text(id)
}

// weigh weighs each choice as the whole reply, ended by any of the tokens that end one.
func (f foreign) weigh(ctx context.Context, e *engine.Engine, messages []llm.Message, choices []string) (weighed, error) {
	w := weighed{tokens: make([]int, len(choices))}
	var texts [][]int
	longest := 0
	ends := len(f.Stop)
	for i, choice := range choices {
		ids := f.Tokenizer.Encode(choice)
		w.tokens[i] = len(ids) + 1
		longest = max(longest, len(ids)+1)
		for _, end := range f.Stop {
			texts = append(texts, append(slices.Clip(ids), end))
		}
	}
	prompt, _, err := f.fit(messages, max(1, f.window-longest))
	if err != nil {
		return weighed{}, err
	}
	scores, err := e.Score(ctx, prompt, texts)
	if err != nil {
		return weighed{}, err
	}
	logProbs := make([]float64, len(choices))
	for i := range choices {
		logProbs[i] = logSumExp(scores[i*ends : (i+1)*ends])
	}
	w.probabilities = engine.Softmax(logProbs)
	w.confidence = w.probabilities
	return w, nil
}

func logSumExp(x []float64) float64 {
	top, sum := slices.Max(x), 0.0
	for _, v := range x {
		sum += math.Exp(v - top)
	}
	return top + math.Log(sum)
}

func (f foreign) confidence(engine.Result) (float64, bool) { return 0, false }
