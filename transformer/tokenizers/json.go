package tokenizers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"
)

// file is the part of a Hugging Face tokenizer.json that this package reads.
type file struct {
	AddedTokens   []addedEntry `json:"added_tokens"`
	Normalizer    *component   `json:"normalizer"`
	PreTokenizer  *component   `json:"pre_tokenizer"`
	PostProcessor *component   `json:"post_processor"`
	Decoder       *component   `json:"decoder"`
	Model         model        `json:"model"`
}

type addedEntry struct {
	ID         int    `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"`
	LStrip     bool   `json:"lstrip"`
	RStrip     bool   `json:"rstrip"`
	Special    bool   `json:"special"`
}

type model struct {
	Type                    string     `json:"type"`
	Dropout                 *float64   `json:"dropout"`
	UnkToken                *string    `json:"unk_token"`
	ContinuingSubwordPrefix *string    `json:"continuing_subword_prefix"`
	EndOfWordSuffix         *string    `json:"end_of_word_suffix"`
	FuseUnk                 bool       `json:"fuse_unk"`
	ByteFallback            bool       `json:"byte_fallback"`
	IgnoreMerges            bool       `json:"ignore_merges"`
	Vocab                   vocabulary `json:"vocab"`
	Merges                  merges     `json:"merges"`
}

// component is a normalizer, a pre-tokenizer, a post-processor or a decoder; which keys count depends on its type.
type component struct {
	Type string `json:"type"`

	Normalizers   []component `json:"normalizers"` // of a Sequence
	PreTokenizers []component `json:"pretokenizers"`
	Processors    []component `json:"processors"`
	Decoders      []component `json:"decoders"`

	Prepend          string          `json:"prepend"`           // Prepend
	Pattern          pieceOf         `json:"pattern"`           // Replace, Split
	Content          string          `json:"content"`           // Replace
	Behavior         string          `json:"behavior"`          // Split
	Invert           bool            `json:"invert"`            // Split
	IndividualDigits bool            `json:"individual_digits"` // Digits
	AddPrefixSpace   *bool           `json:"add_prefix_space"`  // ByteLevel, Metaspace
	UseRegex         *bool           `json:"use_regex"`         // ByteLevel; absent means true
	Replacement      string          `json:"replacement"`       // Metaspace
	PrependScheme    string          `json:"prepend_scheme"`    // Metaspace
	Split            *bool           `json:"split"`             // Metaspace; absent means true
	Single           []templatePiece `json:"single"`            // TemplateProcessing
}

// pieceOf is {"Regex": ...} or {"String": ...}.
type pieceOf struct {
	Regex  *string
	String *string
}

type templatePiece struct {
	SpecialToken *struct {
		ID string `json:"id"`
	}
	Sequence *struct {
		ID string `json:"id"`
	}
}

// vocabulary is read by tokens, because a map would silently keep the last of two ids of one token.
type vocabulary map[string]int

func (v *vocabulary) UnmarshalJSON(data []byte) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	if start, err := dec.Token(); err != nil || start != json.Delim('{') {
		return errors.New("vocab is not an object")
	}
	*v = vocabulary{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return err
		}
		spelled, _ := key.(string)
		if _, twice := (*v)[spelled]; twice {
			return fmt.Errorf("token %q occurs twice", spelled)
		}
		value, err := dec.Token()
		number, ok := value.(float64)
		id := int(number)
		if err != nil || !ok || float64(id) != number {
			return fmt.Errorf("token %q: its id is not an integer", spelled)
		}
		(*v)[spelled] = id
	}
	return nil
}

// merge is two tokens.
type merge = [2]string

// merges is a list of merges, which files spell "left right" or ["left","right"].
type merges []merge

func (m *merges) UnmarshalJSON(data []byte) error {
	var lines []string
	if err := json.Unmarshal(data, &lines); err == nil {
		return m.parse(lines)
	}
	var pairs [][]string
	if err := json.Unmarshal(data, &pairs); err != nil {
		return fmt.Errorf("merges: %w", err)
	}
	*m = make(merges, len(pairs))
	for i, parts := range pairs {
		if len(parts) != 2 || parts[0] == "" || parts[1] == "" {
			return fmt.Errorf("merge %q is not two tokens", parts)
		}
		(*m)[i] = merge(parts)
	}
	return nil
}

// parse takes each "left right" apart.
func (m *merges) parse(lines []string) error {
	*m = make(merges, len(lines))
	for i, line := range lines {
		left, right, ok := strings.Cut(line, " ")
		if !ok || left == "" || right == "" || strings.Contains(right, " ") {
			return fmt.Errorf("merge %q is not two tokens", line)
		}
		(*m)[i] = merge{left, right}
	}
	return nil
}

// Special says which tokens are BOS and EOS, which a tokenizer.json does not: by their spelling, which tokenizer_config.json has, or else by
// their id, which config.json has. What is empty or nil is left to be found by what the post-processor puts around a text.
type Special struct {
	BOS, EOS     string
	BOSID, EOSID *int
}

// FromJSON reads a tokenizer.json that holds a BPE.
func FromJSON(data []byte, special Special) (*Tokenizer, error) {
	var f file
	if err := json.Unmarshal(data, &f); err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	t, err := f.build(special)
	if err != nil {
		return nil, fmt.Errorf("tokenizer.json: %w", err)
	}
	return t, nil
}

func (f *file) build(special Special) (*Tokenizer, error) {
	m := f.Model
	switch {
	case m.Type != "BPE":
		return nil, fmt.Errorf("model type %q is not supported, only BPE", m.Type)
	case m.Dropout != nil && *m.Dropout != 0:
		return nil, errors.New("dropout is not supported")
	case m.ContinuingSubwordPrefix != nil && *m.ContinuingSubwordPrefix != "",
		m.EndOfWordSuffix != nil && *m.EndOfWordSuffix != "":
		return nil, errors.New("continuing_subword_prefix and end_of_word_suffix are not supported")
	}
	t := &Tokenizer{bos: -1, eos: -1}
	if err := f.textRules(&t.text); err != nil {
		return nil, err
	}
	added, err := f.readTokens(t)
	if err != nil {
		return nil, err
	}
	if t.bpe, err = f.readBPE(t); err != nil {
		return nil, err
	}
	if err := t.setSpecial(special); err != nil {
		return nil, err
	}
	if err := t.finish(added); err != nil {
		return nil, err
	}
	if err := t.postProcess(f.PostProcessor); err != nil {
		return nil, err
	}
	if t.bos < 0 && len(t.prefix) == 1 {
		t.bos = t.prefix[0]
	}
	if t.eos < 0 && len(t.suffix) == 1 {
		t.eos = t.suffix[0]
	}
	return t, nil
}

// readTokens fills the vocabulary and gives the added tokens.
func (f *file) readTokens(t *Tokenizer) ([]addedToken, error) {
	size := 0
	for _, id := range f.Model.Vocab {
		size = max(size, id+1)
	}
	for _, a := range f.AddedTokens {
		size = max(size, a.ID+1)
	}
	// Ids may have holes, but not so many that a small file asks for much memory.
	if known := len(f.Model.Vocab) + len(f.AddedTokens); size > maxTokens || size > 2*known+1024 {
		return nil, fmt.Errorf("an id of %d is over the bound for %d tokens", size-1, known)
	}
	t.tokens = make([]token, size)
	for id := range t.tokens {
		t.tokens[id].kind = Unused
	}
	for spelled, id := range f.Model.Vocab {
		if id < 0 || t.tokens[id].kind != Unused {
			return nil, fmt.Errorf("token %q: id %d is negative or taken", spelled, id)
		}
		if len(spelled) > 2*maxTokenBytes {
			return nil, fmt.Errorf("token %d has %d bytes, over the bound of %d", id, len(spelled), 2*maxTokenBytes)
		}
		t.tokens[id] = t.ordinary(spelled, f.Model.ByteFallback)
	}
	added := make([]addedToken, 0, len(f.AddedTokens))
	seen := make(map[string]bool, len(f.AddedTokens))
	for _, a := range f.AddedTokens {
		if a.SingleWord {
			return nil, fmt.Errorf("added token %q: single_word is not supported", a.Content)
		}
		if seen[a.Content] || len(a.Content) > maxTokenBytes || a.ID < 0 {
			return nil, fmt.Errorf("added token %q occurs twice, is over %d bytes or has a negative id", a.Content, maxTokenBytes)
		}
		seen[a.Content] = true
		if id, ok := f.Model.Vocab[a.Content]; ok && id != a.ID {
			return nil, fmt.Errorf("added token %q has two ids", a.Content)
		}
		if old := t.tokens[a.ID]; old.kind != Unused && old.spelled != a.Content {
			return nil, fmt.Errorf("added token %q: id %d is taken by %q", a.Content, a.ID, old.spelled)
		}
		k := token{spelled: a.Content, text: a.Content, kind: UserDefined}
		if a.Special {
			k.kind, k.text = Control, ""
		}
		if f.Model.UnkToken != nil && a.Content == *f.Model.UnkToken {
			k.kind, k.text = Unknown, ""
		}
		t.tokens[a.ID] = k
		added = append(added, addedToken{a.Content, match{id: a.ID, lstrip: a.LStrip, rstrip: a.RStrip}})
	}
	return added, nil
}

// ordinary is a token of the vocabulary.
func (t *Tokenizer) ordinary(spelled string, byteTokens bool) token {
	k := token{spelled: spelled, kind: Normal}
	if t.text.byteLevel {
		text, ok := unspell(spelled)
		if !ok {
			text = spelled // nothing merges into it
		}
		k.text = text
		return k
	}
	if b, ok := parseByteToken(spelled); ok && byteTokens {
		k.kind, k.text = Byte, string([]byte{b})
		return k
	}
	k.text = strings.ReplaceAll(spelled, metaspace, " ")
	return k
}

// parseByteToken reads <0xAB>.
func parseByteToken(spelled string) (byte, bool) {
	if len(spelled) != 6 || !strings.HasPrefix(spelled, "<0x") || spelled[5] != '>' {
		return 0, false
	}
	high, low := strings.IndexByte(hexDigits, spelled[3]), strings.IndexByte(hexDigits, spelled[4])
	return byte(high<<4 | low), high >= 0 && low >= 0
}

const hexDigits = "0123456789ABCDEF"

func (f *file) readBPE(t *Tokenizer) (*bpe, error) {
	ids := make(map[string]int32, len(f.Model.Vocab))
	for spelled, id := range f.Model.Vocab {
		ids[spelled] = int32(id)
	}
	b := newBPE(t, ids)
	b.fuse = f.Model.FuseUnk
	if f.Model.UnkToken != nil {
		id, ok := ids[*f.Model.UnkToken]
		if !ok {
			return nil, fmt.Errorf("unk_token %q is not in the vocabulary", *f.Model.UnkToken)
		}
		b.unknown = id
	}
	if f.Model.IgnoreMerges {
		b.setWhole(t.tokens)
	}
	return b, b.addMerges(f.Model.Merges, ids, t.tokens)
}

// newBPE makes what merging starts from.
func newBPE(t *Tokenizer, ids map[string]int32) *bpe {
	b := &bpe{unknown: -1}
	for i := range b.bytes {
		b.bytes[i] = -1
	}
	if t.text.byteLevel {
		for i := range b.bytes {
			if id, ok := ids[spellByte(byte(i))]; ok && t.tokens[id].kind == Normal {
				b.bytes[i] = id
			}
		}
		return b
	}
	b.runes = map[string]int32{}
	for id, k := range t.tokens {
		switch {
		case k.kind == Byte:
			b.bytes[k.text[0]] = int32(id)
		case (k.kind == Normal || k.kind == UserDefined) && oneRune(k.spelled):
			b.runes[k.spelled] = int32(id)
		}
	}
	return b
}

func oneRune(s string) bool {
	for i := range s {
		if i > 0 {
			return false
		}
	}
	return s != ""
}

// setWhole lists the pieces that need no merging.
func (b *bpe) setWhole(tokens []token) {
	b.whole = make(map[string]int32, len(tokens))
	for id, k := range tokens {
		if k.kind == Normal {
			b.whole[k.text] = int32(id)
		}
	}
}

// textRules reads the normalizer, the pre-tokenizer and the decoder, which must belong together.
func (f *file) textRules(r *textRules) error {
	if err := r.preTokenizer(f.PreTokenizer); err != nil {
		return err
	}
	if err := r.normalizer(f.Normalizer); err != nil {
		return err
	}
	if f.Decoder == nil {
		return errors.New("there is no decoder")
	}
	if byteLevel := f.Decoder.Type == "ByteLevel"; byteLevel != r.byteLevel {
		return fmt.Errorf("a decoder %q does not belong to this pre_tokenizer", f.Decoder.Type)
	}
	return nil
}

// flatten gives the parts of nested Sequences. Its depth is bounded by that of JSON.
func flatten(c *component, inner func(component) []component) []component {
	if c == nil {
		return nil
	}
	if c.Type != "Sequence" {
		return []component{*c}
	}
	var out []component
	for _, part := range inner(*c) {
		out = append(out, flatten(&part, inner)...)
	}
	return out
}

func (r *textRules) preTokenizer(c *component) error {
	parts := flatten(c, func(c component) []component { return c.PreTokenizers })
	var patterns []string
	for i, p := range parts {
		switch p.Type {
		case "ByteLevel":
			if i != len(parts)-1 {
				return errors.New("pre_tokenizer ByteLevel is supported as the last one only")
			}
			r.byteLevel = true
			if p.UseRegex == nil || *p.UseRegex {
				patterns = append(patterns, gpt2Pattern)
			}
			if p.AddPrefixSpace != nil && *p.AddPrefixSpace {
				if len(parts) > 1 {
					return errors.New("pre_tokenizer add_prefix_space is supported for a ByteLevel alone")
				}
				r.prefixSpace = prefixUnlessSpace
			}
		case "Split":
			if p.Behavior != "Isolated" || p.Invert || p.Pattern.Regex == nil {
				return fmt.Errorf("pre_tokenizer Split with behavior %q is supported for a Regex that is Isolated and not inverted only", p.Behavior)
			}
			patterns = append(patterns, *p.Pattern.Regex)
		case "Digits":
			if !p.IndividualDigits {
				patterns = append(patterns, `\p{N}+`)
			} else {
				patterns = append(patterns, digitPattern)
			}
		case "Metaspace":
			if len(parts) > 1 {
				return errors.New("pre_tokenizer Metaspace is supported alone only")
			}
			return r.metaspace(p)
		default:
			return fmt.Errorf("pre_tokenizer %q is not supported", p.Type)
		}
	}
	if !r.byteLevel && len(patterns) > 0 {
		return errors.New("a pre_tokenizer that splits without ByteLevel is not supported")
	}
	if len(patterns) == 0 {
		return nil
	}
	r.pre = preName(patterns)
	var err error
	r.split, err = newSplitter(patterns)
	return err
}

func (r *textRules) metaspace(p component) error {
	if p.Replacement != metaspace {
		return fmt.Errorf("pre_tokenizer Metaspace with replacement %q is not supported", p.Replacement)
	}
	switch {
	case p.PrependScheme == "always", p.PrependScheme == "" && (p.AddPrefixSpace == nil || *p.AddPrefixSpace):
		r.prefixSpace = prefixUnlessSpace
	case p.PrependScheme == "first":
		r.prefixSpace = prefixFirstOnly
	case p.PrependScheme == "never", p.PrependScheme == "":
	default:
		return fmt.Errorf("pre_tokenizer Metaspace with prepend_scheme %q is not supported", p.PrependScheme)
	}
	r.words = p.Split == nil || *p.Split
	return nil
}

func (r *textRules) normalizer(c *component) error {
	var steps []func(string) string
	for _, p := range flatten(c, func(c component) []component { return c.Normalizers }) {
		switch {
		case p.Type == "Prepend" && p.Prepend == metaspace && !r.byteLevel && r.prefixSpace == prefixNever:
			r.prefixSpace = prefixAlways
		case p.Type == "Replace" && p.Pattern.String != nil && *p.Pattern.String == " " && p.Content == metaspace && !r.byteLevel:
			// appendText does so for all of SentencePiece's.
		case p.Type == "Replace" && p.Pattern.String != nil && *p.Pattern.String != "":
			from, to := *p.Pattern.String, p.Content
			if len(to) > 8*len(from) {
				return errors.New("normalizer Replace with so long a replacement is not supported")
			}
			steps = append(steps, func(s string) string { return strings.ReplaceAll(s, from, to) })
		case p.Type == "NFC":
			steps = append(steps, norm.NFC.String)
		case p.Type == "NFKC":
			steps = append(steps, norm.NFKC.String)
		default:
			return fmt.Errorf("normalizer %q is not supported here", p.Type)
		}
	}
	if len(steps) > 8 {
		return fmt.Errorf("%d normalizers are too many", len(steps))
	}
	if len(steps) > 0 {
		r.normal = func(s string) string {
			for _, step := range steps {
				s = step(s)
			}
			return s
		}
	}
	return nil
}

// postProcess reads what is put around a text.
func (t *Tokenizer) postProcess(c *component) error {
	for _, p := range flatten(c, func(c component) []component { return c.Processors }) {
		switch p.Type {
		case "ByteLevel": // changes offsets only
		case "TemplateProcessing":
			around := &t.prefix
			for _, piece := range p.Single {
				switch {
				case piece.Sequence != nil && piece.Sequence.ID == "A" && around == &t.prefix:
					around = &t.suffix
				case piece.SpecialToken != nil:
					id, ok := t.control[piece.SpecialToken.ID]
					if !ok {
						return fmt.Errorf("post_processor: %q is no special token", piece.SpecialToken.ID)
					}
					*around = append(*around, id)
				default:
					return errors.New("post_processor: a template of this form is not supported")
				}
			}
		default:
			return fmt.Errorf("post_processor %q is not supported", p.Type)
		}
	}
	return nil
}

// setSpecial finds BOS and EOS where they are named.
func (t *Tokenizer) setSpecial(special Special) error {
	for _, s := range []struct {
		name    string
		spelled string
		id      *int
		to      *int
	}{
		{"bos_token", special.BOS, special.BOSID, &t.bos},
		{"eos_token", special.EOS, special.EOSID, &t.eos},
	} {
		switch {
		case s.spelled != "":
			id := slices.IndexFunc(t.tokens, func(k token) bool { return k.spelled == s.spelled && k.kind != Unused })
			if id < 0 {
				return fmt.Errorf("%s %q is not in the vocabulary", s.name, s.spelled)
			}
			*s.to = id
		case s.id != nil && (*s.id < 0 || *s.id >= len(t.tokens)):
			return fmt.Errorf("%s_id %d is outside the vocabulary (%d tokens)", s.name, *s.id, len(t.tokens))
		case s.id != nil:
			*s.to = *s.id
		}
	}
	return nil
}
