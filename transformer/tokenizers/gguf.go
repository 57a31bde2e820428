package tokenizers

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"teller/transformer/gguf"
)

// The keys of a tokenizer in a GGUF file.
const (
	keyModel       = "tokenizer.ggml.model"
	keyPre         = "tokenizer.ggml.pre"
	keyTokens      = "tokenizer.ggml.tokens"
	keyScores      = "tokenizer.ggml.scores"
	keyTypes       = "tokenizer.ggml.token_type"
	keyMerges      = "tokenizer.ggml.merges"
	keyBOS         = "tokenizer.ggml.bos_token_id"
	keyEOS         = "tokenizer.ggml.eos_token_id"
	keyUnknown     = "tokenizer.ggml.unknown_token_id"
	keyAddBOS      = "tokenizer.ggml.add_bos_token"
	keyAddEOS      = "tokenizer.ggml.add_eos_token"
	keySpacePrefix = "tokenizer.ggml.add_space_prefix"
	keyExtraSpaces = "tokenizer.ggml.remove_extra_whitespaces"
)

// FromGGUF reads the tokenizer of a GGUF file: "gpt2", which is byte-level BPE with the split that tokenizer.ggml.pre names, or
// "llama", which is SentencePiece's BPE, whose ranks are the tokens' scores.
func FromGGUF(metadata *gguf.Metadata) (*Tokenizer, error) {
	t, err := fromGGUF(metadata)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return t, nil
}

// settings is the metadata of a tokenizer.
type settings struct {
	model, pre     string
	tokens         []string
	scores         []float32
	types          []int
	merges         []string
	bos, eos, unk  int // -1 for none
	addBOS, addEOS bool
	spacePrefix    bool
}

func fromGGUF(md *gguf.Metadata) (*Tokenizer, error) {
	s, err := readSettings(md)
	if err != nil {
		return nil, err
	}
	t := &Tokenizer{bos: s.bos, eos: s.eos, text: textRules{byteLevel: s.model == "gpt2"}}
	ids, added, err := s.readTokens(t)
	if err != nil {
		return nil, err
	}
	t.bpe = newBPE(t, ids)
	if t.text.byteLevel {
		err = s.byteLevel(t, ids)
	} else {
		err = s.sentencePiece(t, ids)
	}
	if err != nil {
		return nil, err
	}
	if err := t.finish(added); err != nil {
		return nil, err
	}
	if s.addBOS {
		if t.bos < 0 {
			return nil, fmt.Errorf("%s without a %s", keyAddBOS, keyBOS)
		}
		t.prefix = []int{t.bos}
	}
	if s.addEOS {
		if t.eos < 0 {
			return nil, fmt.Errorf("%s without a %s", keyAddEOS, keyEOS)
		}
		t.suffix = []int{t.eos}
	}
	return t, nil
}

func readSettings(md *gguf.Metadata) (s settings, err error) {
	var errs []error
	note := func(err error) { errs = append(errs, err) }
	read(md.String, keyModel, &s.model, "", note)
	read(md.String, keyPre, &s.pre, "", note)
	read(md.Strings, keyTokens, &s.tokens, nil, note)
	read(md.Float32s, keyScores, &s.scores, nil, note)
	read(md.Ints, keyTypes, &s.types, nil, note)
	read(md.Strings, keyMerges, &s.merges, nil, note)
	read(md.Int, keyUnknown, &s.unk, -1, note)
	llama := s.model == "llama"
	bos, eos := -1, -1
	if llama { // SentencePiece's own ids
		bos, eos = 1, 2
	}
	read(md.Int, keyBOS, &s.bos, bos, note)
	read(md.Int, keyEOS, &s.eos, eos, note)
	if known, ok := aliases[s.pre]; ok {
		s.pre = known
	}
	read(md.Bool, keyAddBOS, &s.addBOS, llama || s.pre == "llama-bpe" || s.pre == "tekken", note)
	read(md.Bool, keyAddEOS, &s.addEOS, false, note)
	read(md.Bool, keySpacePrefix, &s.spacePrefix, llama, note)
	var extra bool
	read(md.Bool, keyExtraSpaces, &extra, false, note)
	if err := errors.Join(errs...); err != nil {
		return s, err
	}
	switch {
	case s.model != "llama" && s.model != "gpt2":
		return s, fmt.Errorf("%s %q is not supported, only llama and gpt2", keyModel, s.model)
	case len(s.tokens) == 0 || len(s.tokens) > maxTokens:
		return s, fmt.Errorf("%s has %d tokens, must be 1 to %d", keyTokens, len(s.tokens), maxTokens)
	case s.types != nil && len(s.types) != len(s.tokens):
		return s, fmt.Errorf("%s has %d entries for %d tokens", keyTypes, len(s.types), len(s.tokens))
	case llama && len(s.scores) != len(s.tokens):
		return s, fmt.Errorf("%s has %d entries for %d tokens", keyScores, len(s.scores), len(s.tokens))
	case extra:
		return s, fmt.Errorf("%s is not supported", keyExtraSpaces)
	case s.spacePrefix && !llama:
		return s, fmt.Errorf("%s is supported for llama only", keySpacePrefix)
	}
	for i, score := range s.scores {
		if math.IsNaN(float64(score)) {
			return s, fmt.Errorf("%s %d is not a number", keyScores, i)
		}
	}
	for _, id := range []int{s.bos, s.eos, s.unk} {
		if id < -1 || id >= len(s.tokens) {
			return s, fmt.Errorf("a special token's id is %d, outside the vocabulary (%d tokens)", id, len(s.tokens))
		}
	}
	return s, nil
}

func read[T any](get func(string) (T, bool, error), key string, to *T, absent T, note func(error)) {
	value, ok, err := get(key)
	if err != nil {
		note(err)
	}
	if !ok {
		value = absent
	}
	*to = value
}

func (s settings) readTokens(t *Tokenizer) (map[string]int32, []addedToken, error) {
	t.tokens = make([]token, len(s.tokens))
	ids := make(map[string]int32, len(s.tokens))
	var added []addedToken
	for id, spelled := range s.tokens {
		kind := Normal
		if s.types != nil {
			kind = Kind(min(max(s.types[id], 0), 255))
		}
		if spelled == "" {
			kind = Unused
		} else if _, twice := ids[spelled]; twice {
			return nil, nil, fmt.Errorf("token %q occurs twice", spelled)
		}
		if len(spelled) > 2*maxTokenBytes {
			return nil, nil, fmt.Errorf("token %d has %d bytes, over the bound of %d", id, len(spelled), 2*maxTokenBytes)
		}
		k := token{spelled: spelled, kind: kind}
		switch kind {
		case Normal:
			k = t.ordinary(spelled, s.types == nil)
		case UserDefined:
			k.text = spelled
			if !t.text.byteLevel {
				k.text = t.ordinary(spelled, false).text
			}
			added = append(added, addedToken{k.text, match{id: id}})
		case Control, Unknown:
			added = append(added, addedToken{spelled, match{id: id}})
		case Byte:
			b, ok := parseByteToken(spelled)
			if !ok {
				return nil, nil, fmt.Errorf("token %q is no byte", spelled)
			}
			k.text = string([]byte{b})
		case Unused, 0: // 0 is what llama.cpp calls undefined
			k.kind = Unused
		default:
			return nil, nil, fmt.Errorf("token %q has the unknown type %d", spelled, kind)
		}
		t.tokens[id] = k
		if k.kind != Unused {
			ids[spelled] = int32(id)
		}
	}
	return ids, added, nil
}

func (s settings) byteLevel(t *Tokenizer, ids map[string]int32) error {
	patterns, ok := preTokenizers[s.pre]
	if !ok {
		return fmt.Errorf("%s %q is not supported", keyPre, s.pre)
	}
	t.text.pre = s.pre
	var err error
	if t.text.split, err = newSplitter(patterns); err != nil {
		return err
	}
	if skipsMerges[s.pre] {
		t.bpe.setWhole(t.tokens)
	}
	var list merges
	if err := list.parse(s.merges); err != nil {
		return err
	}
	return t.bpe.addMerges(list, ids, t.tokens)
}

func (s settings) sentencePiece(t *Tokenizer, ids map[string]int32) error {
	if s.spacePrefix {
		t.text.prefixSpace = prefixAlways
	}
	t.bpe.unknown = int32(s.unk)
	t.bpe.rules = map[pair]rule{}
	part := func(spelled string) (int32, bool) { // bytes and control tokens merge with nothing
		id, ok := ids[spelled]
		return id, ok && (t.tokens[id].kind == Normal || t.tokens[id].kind == UserDefined)
	}
	ranks := s.ranks()
	for id, k := range t.tokens {
		if k.kind != Normal && k.kind != UserDefined {
			continue
		}
		if len(k.spelled) > maxTokenBytes {
			return fmt.Errorf("token %d has %d bytes, over the bound of %d", id, len(k.spelled), maxTokenBytes)
		}
		for cut := range k.spelled {
			if cut == 0 {
				continue
			}
			left, okLeft := part(k.spelled[:cut])
			right, okRight := part(k.spelled[cut:])
			if okLeft && okRight {
				t.bpe.rules[pair{left, right}] = rule{rank: ranks[id], result: int32(id)}
			}
		}
	}
	return nil
}

// ranks orders the tokens by score, the highest first; equal scores have the same rank.
func (s settings) ranks() []int32 {
	order := make([]int32, len(s.scores))
	for i := range order {
		order[i] = int32(i)
	}
	slices.SortFunc(order, func(a, b int32) int { return cmp.Compare(s.scores[b], s.scores[a]) })
	ranks := make([]int32, len(order))
	for i := 1; i < len(order); i++ {
		ranks[order[i]] = ranks[order[i-1]]
		if s.scores[order[i]] != s.scores[order[i-1]] {
			ranks[order[i]]++
		}
	}
	return ranks
}
