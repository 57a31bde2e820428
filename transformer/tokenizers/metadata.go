package tokenizers

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"teller/transformer/gguf"
)

// Metadata gives the tokenizer as the keys of a GGUF file for a model with so many tokens, at least VocabSize. It refuses a tokenizer
// that these keys cannot describe.
func (t *Tokenizer) Metadata(tokens int) ([]gguf.KV, error) {
	out, err := t.metadata(tokens)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return out, nil
}

func (t *Tokenizer) metadata(tokens int) ([]gguf.KV, error) {
	if tokens < len(t.tokens) || tokens > maxTokens {
		return nil, fmt.Errorf("%d tokens do not fit a model of %d", len(t.tokens), tokens)
	}
	if t.text.normal != nil {
		return nil, errors.New("GGUF files know no normalizer")
	}
	spelled, types := make([]string, tokens), make([]int32, tokens)
	for id := range tokens {
		spelled[id], types[id] = fmt.Sprintf("[unused%d]", id), int32(Unused)
		if id < len(t.tokens) && t.tokens[id].kind != Unused {
			spelled[id], types[id] = t.tokens[id].spelled, int32(t.tokens[id].kind)
		}
	}
	model := "gpt2"
	if !t.text.byteLevel {
		model = "llama"
	}
	out := []gguf.KV{{Key: keyModel, Value: model}, {Key: keyTokens, Value: spelled}, {Key: keyTypes, Value: types}}
	var more []gguf.KV
	var err error
	if t.text.byteLevel {
		more, err = t.byteLevelMetadata()
	} else {
		more, err = t.sentencePieceMetadata(tokens)
	}
	if err != nil {
		return nil, err
	}
	out = append(out, more...)
	for key, id := range map[string]int{keyBOS: t.bos, keyEOS: t.eos, keyUnknown: int(t.bpe.unknown)} {
		if id >= 0 {
			out = append(out, gguf.KV{Key: key, Value: uint32(id)})
		}
	}
	for key, around := range map[string]struct {
		ids []int
		id  int
	}{keyAddBOS: {t.prefix, t.bos}, keyAddEOS: {t.suffix, t.eos}} {
		if len(around.ids) > 1 || len(around.ids) == 1 && around.ids[0] != around.id {
			return nil, errors.New("GGUF files know no other tokens around a text than BOS and EOS")
		}
		out = append(out, gguf.KV{Key: key, Value: len(around.ids) == 1})
	}
	slices.SortFunc(out, func(a, b gguf.KV) int { return cmp.Compare(a.Key, b.Key) })
	return out, nil
}

func (t *Tokenizer) byteLevelMetadata() ([]gguf.KV, error) {
	switch {
	case t.text.pre == "":
		return nil, errors.New("GGUF files have no name for this split")
	case t.text.prefixSpace != prefixNever:
		return nil, errors.New("GGUF files of byte-level tokenizers know no add_prefix_space")
	case skipsMerges[t.text.pre] != (t.bpe.whole != nil):
		return nil, fmt.Errorf("llama.cpp knows ignore_merges for llama-bpe and tekken only and always; this one is %q", t.text.pre)
	}
	type ranked struct {
		pair
		rank int32
	}
	list := make([]ranked, 0, len(t.bpe.rules))
	for p, r := range t.bpe.rules {
		list = append(list, ranked{p, r.rank})
	}
	slices.SortFunc(list, func(a, b ranked) int { return cmp.Compare(a.rank, b.rank) })
	merges := make([]string, len(list))
	for i, m := range list {
		merges[i] = t.tokens[m.left].spelled + " " + t.tokens[m.right].spelled
	}
	return []gguf.KV{{Key: keyPre, Value: t.text.pre}, {Key: keyMerges, Value: merges}}, nil
}

// sentencePieceMetadata gives scores that order the merges as their ranks do. It refuses ranks that are not of the result alone: where
// merges into one token come both before and after one into another.
func (t *Tokenizer) sentencePieceMetadata(tokens int) ([]gguf.KV, error) {
	if t.text.words {
		return nil, errors.New("GGUF files know no split into words for SentencePiece")
	}
	type span struct {
		first, last int32
		id          int32
	}
	spans := map[int32]*span{}
	for _, r := range t.bpe.rules {
		s := spans[r.result]
		if s == nil {
			s = &span{r.rank, r.rank, r.result}
			spans[r.result] = s
		}
		s.first, s.last = min(s.first, r.rank), max(s.last, r.rank)
	}
	order := make([]*span, 0, len(spans))
	for _, s := range spans {
		order = append(order, s)
	}
	slices.SortFunc(order, func(a, b *span) int { return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.id, b.id)) })
	scores := make([]float32, tokens)
	for id := range scores {
		scores[id] = -float32(maxTokens) // what nothing merges into
	}
	for i, s := range order {
		if i > 0 && s.first < order[i-1].last {
			return nil, fmt.Errorf("the merges into %q and %q alternate, which scores cannot say", t.tokens[order[i-1].id].spelled, t.tokens[s.id].spelled)
		}
		scores[s.id] = -float32(s.first)
	}
	return []gguf.KV{
		{Key: keyPre, Value: "default"},
		{Key: keyScores, Value: scores},
		{Key: keySpacePrefix, Value: t.text.prefixSpace != prefixNever},
	}, nil
}
