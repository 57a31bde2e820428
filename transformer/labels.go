package transformer

import (
	"errors"
	"fmt"
	"strings"
)

// TellerNamespace is the namespace of the labels of our own corpus: the intents that the model names before it answers.
const TellerNamespace = "teller"

// OutOfScopeLabel is the label, in the namespace of a data set, of questions that none of its other labels is about. Our own corpus has several
// such labels: see Calibration.OutOfScope.
const OutOfScopeLabel = "oos"

// A label is a special token <|namespace/label|>. The model gives it right after the open <|assistant|> marker: it says what the last
// question is about, in the terms of one set of intents, and the reply that follows is conditioned on it. Labels are never
// part of a text. Their ids stand together at the end of the vocabulary, so that all before them are what texts are made of.
const (
	labelOpen  = "<|"
	labelClose = "|>"
)

// LabelToken spells the special token of a label. Neither part may be empty; the namespace holds no slash.
func LabelToken(namespace, label string) string {
	return labelOpen + namespace + "/" + label + labelClose
}

// parseLabel takes a label's token apart.
func parseLabel(token string) (namespace, label string, ok bool) {
	inner, opened := strings.CutPrefix(token, labelOpen)
	inner, closed := strings.CutSuffix(inner, labelClose)
	namespace, label, ok = strings.Cut(inner, "/")
	return namespace, label, ok && opened && closed && namespace != "" && label != ""
}

// LabelSet is the labels of one namespace. The token of Names[i] has the id From+i.
type LabelSet struct {
	Namespace string
	Names     []string
	From      int
}

// To is the id after the last one of the set.
func (s LabelSet) To() int { return s.From + len(s.Names) }

// WithLabels gives a tokenizer that has the labels, too, after all other tokens: sets in the given order, whose From is ignored. It
// encodes and decodes texts as t does.
func (t *Tokenizer) WithLabels(sets ...LabelSet) (*Tokenizer, error) {
	tokens := append([]string{}, t.tokens...)
	special := make(map[string]int, len(t.special))
	for token, id := range t.special {
		special[token] = id
	}
	for _, set := range sets {
		for _, name := range set.Names {
			token := LabelToken(set.Namespace, name)
			if namespace, label, ok := parseLabel(token); !ok || namespace != set.Namespace || label != name {
				return nil, fmt.Errorf("tokenizer: %q cannot be a label of %q", name, set.Namespace)
			}
			if _, twice := special[token]; twice {
				return nil, fmt.Errorf("tokenizer: the label %s occurs twice", token)
			}
			special[token] = len(tokens)
			tokens = append(tokens, token)
		}
	}
	return newTokenizer(tokens, special, t.merges)
}

// Labels gives the labels by namespace, in the order of their ids.
func (t *Tokenizer) Labels() []LabelSet { return t.labels }

// LabelSet finds a namespace's labels.
func (t *Tokenizer) LabelSet(namespace string) (LabelSet, bool) {
	for _, set := range t.labels {
		if set.Namespace == namespace {
			return set, true
		}
	}
	return LabelSet{}, false
}

// findLabels collects the labels among the special tokens and sets textTokens, how many tokens texts and dialogues are made of.
func (t *Tokenizer) findLabels() error {
	t.textTokens = len(t.tokens)
	for id, token := range t.tokens {
		namespace, label, ok := parseLabel(token)
		if special, is := t.special[token]; !ok || !is || special != id {
			if len(t.labels) > 0 {
				return errors.New("labels must be the last tokens of the vocabulary")
			}
			continue
		}
		if len(t.labels) == 0 {
			t.textTokens = id
		}
		last := len(t.labels) - 1
		if last < 0 || t.labels[last].Namespace != namespace {
			if _, before := t.LabelSet(namespace); before {
				return fmt.Errorf("the labels of %q do not stand together", namespace)
			}
			t.labels = append(t.labels, LabelSet{Namespace: namespace, From: id})
			last++
		}
		t.labels[last].Names = append(t.labels[last].Names, label)
	}
	return nil
}
