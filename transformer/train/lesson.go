package train

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"unicode"

	"teller/corpus"
	"teller/transformer"
)

// lesson is one dialogue to learn from.
type lesson struct {
	prompt  []corpus.Message // ends with the question
	label   string           // the token of the label that comes first; empty: none
	reply   string
	replies bool // whether there is a reply; a data set's rows have labels alone
}

func lessonOf(e corpus.Example) lesson {
	return lesson{prompt: e.Prompt(), label: transformer.LabelToken(transformer.TellerNamespace, e.Intent), reply: e.Answer(), replies: true}
}

func lessonOfRow(namespace string, row Row) lesson {
	return lesson{
		prompt: []corpus.Message{{Role: corpus.RoleUser, Text: row.Input}},
		label:  transformer.LabelToken(namespace, row.Expected),
	}
}

// encoder turns lessons into samples.
type encoder struct {
	tokenizer       *transformer.Tokenizer
	end             int32
	user, assistant int32
	window          int
	promptWeight    float32
	labelWeight     float32

	ngrams             *transformer.Ngrams
	ngramDrop, bagDrop float64
	pad                int32
	tokenDrop          float64
}

func newEncoder(t *transformer.Tokenizer, o Options) (*encoder, error) {
	e := &encoder{
		tokenizer: t, window: o.Window, promptWeight: float32(o.PromptWeight), labelWeight: float32(o.LabelWeight),
		ngrams: o.config(1, 0, 0).Ngrams, ngramDrop: o.NgramDrop, bagDrop: o.BagDrop, tokenDrop: o.TokenDrop,
	}
	for _, s := range []struct {
		token string
		id    *int32
	}{{transformer.PadToken, &e.pad}, {transformer.EndToken, &e.end}, {transformer.UserToken, &e.user}, {transformer.AssistantToken, &e.assistant}} {
		id, ok := t.TokenID(s.token)
		if !ok {
			return nil, fmt.Errorf("train: the tokenizer lacks %s", s.token)
		}
		*s.id = int32(id)
	}
	return e, nil
}

// sample lays a lesson out: its prompt, its label, its reply. Predicting the reply counts 1 a token, its end included; the label counts the label
// weight; what users say counts the prompt weight; contexts, whose figures nobody can predict, and earlier replies count nothing. rng
// settles which n-grams are left out; it may be nil when none are.
func (e *encoder) sample(l lesson, rng *rand.Rand) (Sample, error) {
	msgs := make([]transformer.Message, len(l.prompt))
	for i, m := range l.prompt {
		msgs[i] = transformer.Message{Role: m.Role, Text: m.Text}
	}
	ids, err := e.tokenizer.EncodeDialogue(msgs)
	if err != nil {
		return Sample{}, err
	}
	marker := len(ids) - 1
	if l.label != "" {
		id, ok := e.tokenizer.TokenID(l.label)
		if !ok {
			return Sample{}, fmt.Errorf("train: the tokenizer lacks the label %s", l.label)
		}
		ids = append(ids, id)
	}
	body := len(ids)
	if l.replies {
		ids = append(append(ids, e.tokenizer.Encode(l.reply)...), int(e.end))
	}
	if len(ids) > e.window {
		return Sample{}, fmt.Errorf("train: a dialogue of %d tokens does not fit the window of %d: %.80q", len(ids), e.window, l.prompt[len(l.prompt)-1].Text)
	}
	s := Sample{IDs: make([]int32, len(ids)), Weights: make([]float32, len(ids)), Marker: marker}
	weight := float32(0)
	for i, id := range ids {
		s.IDs[i] = int32(id)
		switch {
		case int32(id) == e.end:
			weight = 0
		case int32(id) == e.user:
			weight = e.promptWeight
		case int32(id) == e.assistant:
			weight = 0
			if bag := e.bag(e.tokenizer.Question(ids[:i]), rng); len(bag) > 0 {
				s.Bags = append(s.Bags, Bag{i, bag})
			}
		}
		s.Weights[i] = weight
	}
	for i := marker; i < len(ids)-1; i++ {
		switch {
		case i >= body-1 && i > marker:
			s.Weights[i] = 1
		case i == marker && l.label != "":
			s.Weights[i] = e.labelWeight
		}
	}
	if e.tokenDrop > 0 {
		e.blank(s, rng)
	}
	return s, nil
}

// blank puts <|pad|> in the place of some of the last question's tokens, up to the share tokenDrop, and nobody need predict those. Figures
// stay: a reply may copy them.
func (e *encoder) blank(s Sample, rng *rand.Rand) {
	share := rng.Float64() * e.tokenDrop
	for i := s.Marker - 2; i > 0 && s.IDs[i] != e.user; i-- {
		if rng.Float64() < share && !strings.ContainsFunc(e.tokenizer.Decode([]int{int(s.IDs[i])}), unicode.IsDigit) {
			s.IDs[i], s.Weights[i-1] = e.pad, 0
		}
	}
}

// bag gives the n-grams of a question that enter at the marker after it, in training only some of them.
func (e *encoder) bag(question string, rng *rand.Rand) []int32 {
	if e.ngrams == nil {
		return nil
	}
	features := e.ngrams.Features(question)
	if e.bagDrop > 0 && rng.Float64() < e.bagDrop {
		return nil
	}
	if e.ngramDrop == 0 {
		return features
	}
	kept := features[:0]
	for _, f := range features {
		if rng.Float64() >= e.ngramDrop {
			kept = append(kept, f)
		}
	}
	return kept
}
