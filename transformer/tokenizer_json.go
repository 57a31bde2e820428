package transformer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// tokenizerJSON is the part of Hugging Face's tokenizer.json that this package reads.
type tokenizerJSON struct {
	AddedTokens   []addedToken    `json:"added_tokens"`
	Normalizer    json.RawMessage `json:"normalizer"`
	PreTokenizer  *byteLevel      `json:"pre_tokenizer"`
	PostProcessor *byteLevel      `json:"post_processor"`
	Decoder       *byteLevel      `json:"decoder"`
	Model         bpeModel        `json:"model"`
}

type addedToken struct {
	ID         int    `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Normalized bool   `json:"normalized"`
	Special    bool   `json:"special"`
}

type byteLevel struct {
	Type           string `json:"type"`
	AddPrefixSpace bool   `json:"add_prefix_space"`
	TrimOffsets    bool   `json:"trim_offsets"`
	UseRegex       *bool  `json:"use_regex"` // absent means true
}

type bpeModel struct {
	Type                    string         `json:"type"`
	Dropout                 *float64       `json:"dropout"`
	UnkToken                *string        `json:"unk_token"`
	ContinuingSubwordPrefix *string        `json:"continuing_subword_prefix"`
	EndOfWordSuffix         *string        `json:"end_of_word_suffix"`
	FuseUnk                 bool           `json:"fuse_unk"`
	ByteFallback            bool           `json:"byte_fallback"`
	IgnoreMerges            bool           `json:"ignore_merges"`
	Vocab                   map[string]int `json:"vocab"`
	Merges                  []mergeEntry   `json:"merges"`
}

// mergeEntry is a merge's two tokens; files spell it "left right" or ["left","right"].
type mergeEntry [2]string

func (m *mergeEntry) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '[' {
		var parts []string
		if err := json.Unmarshal(data, &parts); err != nil {
			return err
		}
		if len(parts) != 2 {
			return fmt.Errorf("merge %q is not two tokens", parts)
		}
		*m = mergeEntry(parts)
		return nil
	}
	var line string
	if err := json.Unmarshal(data, &line); err != nil {
		return err
	}
	left, right, ok := strings.Cut(line, " ")
	if !ok || strings.Contains(right, " ") {
		return fmt.Errorf("merge %q is not two tokens", line)
	}
	*m = mergeEntry{left, right}
	return nil
}

// unsupported names the first setting under which Hugging Face's tokenizers would give other ids than
// this package does.
func (f *tokenizerJSON) unsupported() string {
	m := f.Model
	switch {
	case m.Type != "BPE":
		return fmt.Sprintf("model type %q", m.Type)
	case m.Dropout != nil && *m.Dropout != 0:
		return "dropout"
	case m.UnkToken != nil:
		return "unk_token"
	case m.ContinuingSubwordPrefix != nil && *m.ContinuingSubwordPrefix != "",
		m.EndOfWordSuffix != nil && *m.EndOfWordSuffix != "":
		return "continuing_subword_prefix or end_of_word_suffix"
	case m.ByteFallback:
		return "byte_fallback"
	case m.IgnoreMerges:
		return "ignore_merges"
	case present(f.Normalizer):
		return "normalizer"
	case f.PreTokenizer == nil || f.PreTokenizer.Type != "ByteLevel":
		return "a pre_tokenizer other than ByteLevel"
	case f.PreTokenizer.AddPrefixSpace:
		return "pre_tokenizer add_prefix_space"
	case f.PreTokenizer.UseRegex != nil && !*f.PreTokenizer.UseRegex:
		return "pre_tokenizer without use_regex"
	case f.PostProcessor != nil && f.PostProcessor.Type != "ByteLevel":
		return fmt.Sprintf("post_processor %q", f.PostProcessor.Type)
	case f.Decoder == nil || f.Decoder.Type != "ByteLevel":
		return "a decoder other than ByteLevel"
	}
	return ""
}

// LoadTokenizer reads a Hugging Face tokenizer.json that holds a byte-level BPE with GPT-2's split. It
// refuses settings that it would not follow exactly, a vocabulary with holes or without all 256 bytes, and
// merges whose parts or result are not ordinary tokens.
func LoadTokenizer(data []byte) (*Tokenizer, error) {
	t, err := loadTokenizer(data)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return t, nil
}

func loadTokenizer(data []byte) (*Tokenizer, error) {
	var f tokenizerJSON
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, err
	}
	if what := f.unsupported(); what != "" {
		return nil, fmt.Errorf("%s is not supported", what)
	}
	special := make(map[string]int, len(f.AddedTokens))
	size := len(f.Model.Vocab)
	for _, a := range f.AddedTokens {
		if !a.Special || a.Content == "" {
			return nil, fmt.Errorf("added token %q is not a special one", a.Content)
		}
		if _, twice := special[a.Content]; twice {
			return nil, fmt.Errorf("added token %q occurs twice", a.Content)
		}
		if id, ok := f.Model.Vocab[a.Content]; !ok {
			size++
		} else if id != a.ID {
			return nil, fmt.Errorf("added token %q has two ids", a.Content)
		}
		special[a.Content] = a.ID
	}
	if size > maxVocab {
		return nil, fmt.Errorf("%d tokens are over the bound of %d", size, maxVocab)
	}
	tokens := make([]string, size)
	taken := make([]bool, size)
	place := func(id int, spelled, text string) error {
		if id < 0 || id >= size || taken[id] {
			return fmt.Errorf("token %q: id %d is taken or outside the vocabulary (%d tokens)", spelled, id, size)
		}
		tokens[id], taken[id] = text, true
		return nil
	}
	for name, id := range special {
		if err := place(id, name, name); err != nil {
			return nil, err
		}
	}
	for spelled, id := range f.Model.Vocab {
		if _, ok := special[spelled]; ok {
			continue
		}
		raw, ok := unspell(spelled)
		if !ok || raw == "" {
			return nil, fmt.Errorf("token %q is not spelled in the byte-level alphabet", spelled)
		}
		if err := place(id, spelled, raw); err != nil {
			return nil, err
		}
	}
	merges := make([]pair, 0, len(f.Model.Merges))
	for _, m := range f.Model.Merges {
		var p [2]uint32
		for i, part := range m {
			id, ok := f.Model.Vocab[part]
			if _, isSpecial := special[part]; !ok || isSpecial {
				return nil, fmt.Errorf("merge %q: %q is not an ordinary token", m, part)
			}
			p[i] = uint32(id)
		}
		merges = append(merges, pair{p[0], p[1]})
	}
	return newTokenizer(tokens, special, merges)
}

// MarshalJSON gives the tokenizer.json: tokens in the order of their ids, so that the same tokenizer always
// gives the same bytes. Hugging Face's tokenizers reads it and encodes ordinary text to the same ids.
func (t *Tokenizer) MarshalJSON() ([]byte, error) {
	var added []addedToken
	for id, token := range t.tokens {
		if sid, ok := t.special[token]; ok && sid == id {
			added = append(added, addedToken{ID: id, Content: token, Special: true})
		}
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	var failed error
	field := func(before string, value any) {
		out.WriteString(before)
		failed = errors.Join(failed, enc.Encode(value)) // Encode ends the line
	}
	codec := func(addPrefixSpace bool) byteLevel {
		useRegex := true
		return byteLevel{Type: "ByteLevel", AddPrefixSpace: addPrefixSpace, TrimOffsets: true, UseRegex: &useRegex}
	}
	out.WriteString(`{"version":"1.0","truncation":null,"padding":null,` + "\n")
	field(`"added_tokens":`, added)
	field(`,"normalizer":null,"pre_tokenizer":`, codec(false))
	field(`,"post_processor":null,"decoder":`, codec(true))
	out.WriteString(`,"model":{"type":"BPE","dropout":null,"unk_token":null,"continuing_subword_prefix":null,` +
		`"end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"ignore_merges":false,"vocab":{` + "\n")
	for id := range t.tokens {
		if id > 0 {
			out.WriteByte(',')
		}
		field("", t.spelled(id))
		out.Truncate(out.Len() - 1)
		field(":", id)
	}
	out.WriteString(`},"merges":[` + "\n")
	for i, m := range t.merges {
		if i > 0 {
			out.WriteByte(',')
		}
		field("", t.spelled(int(m.left))+" "+t.spelled(int(m.right)))
	}
	out.WriteString("]}}\n")
	return out.Bytes(), failed
}

// spelled is a token as the file spells it.
func (t *Tokenizer) spelled(id int) string {
	token := t.tokens[id]
	if sid, ok := t.special[token]; ok && sid == id {
		return token
	}
	return spell(token)
}
