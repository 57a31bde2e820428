// Package tokenizers turns text into the token ids of models that others trained, and back: byte-level BPE (GPT-2, Llama 3) and
// SentencePiece's BPE with byte fallback (Llama 2, TinyLlama, Mistral), read from a Hugging Face tokenizer.json or from the metadata
// of a GGUF file.
//
// A tokenizer.json that asks for something this package does not do exactly as Hugging Face's tokenizers is refused with the name of
// the setting. Control tokens (<s>, <|eot_id|>) are never made of a user's text: see Encode and EncodePrompt.
package tokenizers

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Bounds on what a file may hold.
const (
	maxTokens     = 1 << 20
	maxTokenBytes = 1 << 10 // of one token
)

// Kind says what a token is for.
type Kind uint8

// The kinds of tokens, numbered as GGUF files number them.
const (
	Normal      Kind = 1
	Unknown     Kind = 2 // stands for what the vocabulary cannot spell
	Control     Kind = 3 // has no text: begins a document, ends a message, ...
	UserDefined Kind = 4 // never split, wherever it stands in a text
	Unused      Kind = 5
	Byte        Kind = 6 // one byte of what the vocabulary cannot spell
)

// token is one entry of the vocabulary.
type token struct {
	spelled string // as the file has it
	text    string // what it decodes to: empty for Control, Unknown and Unused
	kind    Kind
}

// Tokenizer is immutable and safe for concurrent use.
type Tokenizer struct {
	tokens []token
	bpe    *bpe
	text   textRules

	userDefined *trie // the added tokens that are found in any text
	added       *trie // these and the control tokens
	control     map[string]int

	bos, eos       int // -1 for none
	prefix, suffix []int
}

// textRules is what happens to a stretch of text between added tokens before it is merged.
type textRules struct {
	byteLevel   bool     // bytes are merged, and Metaspace's rune is a rune like others
	pre         string   // GGUF's name of the split; empty when it has none
	split       splitter // nil: the text is one piece
	normal      func(string) string
	prefixSpace prefixRule // of SentencePiece: a space before the text
	words       bool       // SentencePiece's merges do not cross a space
}

type prefixRule uint8

const (
	prefixNever       prefixRule = iota
	prefixAlways                 // a text that starts with a space gets another
	prefixUnlessSpace            // Metaspace: unless the text starts with a space
	prefixFirstOnly              // Metaspace "first": only where the whole input starts
)

// metaspace is what SentencePiece writes for a space.
const metaspace = "\u2581"

// VocabSize is the number of ids; some may be unused.
func (t *Tokenizer) VocabSize() int { return len(t.tokens) }

// BOS is the token that begins a document; ok is false when there is none.
func (t *Tokenizer) BOS() (id int, ok bool) { return t.bos, t.bos >= 0 }

// EOS is the token that ends a document; ok is false when there is none.
func (t *Tokenizer) EOS() (id int, ok bool) { return t.eos, t.eos >= 0 }

// ControlID finds a control token by its spelling.
func (t *Tokenizer) ControlID(spelled string) (id int, ok bool) {
	id, ok = t.control[spelled]
	return id, ok
}

// ControlTokens gives the spellings of all control tokens. In a user's text they must stay text.
func (t *Tokenizer) ControlTokens() []string {
	var out []string
	for id, k := range t.tokens {
		if known, ok := t.control[k.spelled]; ok && known == id {
			out = append(out, k.spelled)
		}
	}
	return out
}

// Kind tells what a token is for.
func (t *Tokenizer) Kind(id int) Kind {
	if id < 0 || id >= len(t.tokens) {
		return Unused
	}
	return t.tokens[id].kind
}

// Spelled gives a token as its file spells it, empty for an id outside the vocabulary.
func (t *Tokenizer) Spelled(id int) string {
	if id < 0 || id >= len(t.tokens) {
		return ""
	}
	return t.tokens[id].spelled
}

// Text gives what a token adds to a text in its midst, which may be a part of a character; empty for control tokens and ids outside
// the vocabulary.
func (t *Tokenizer) Text(id int) string {
	if id < 0 || id >= len(t.tokens) {
		return ""
	}
	return t.tokens[id].text
}

// Encode gives the ids of a text. A control token that is spelled out in it is encoded as the characters it is spelled with.
func (t *Tokenizer) Encode(text string) []int {
	return t.encode(nil, t.userDefined, text, 0)
}

// EncodeDocument is Encode with the tokens around it that the file asks for: most begin with BOS.
func (t *Tokenizer) EncodeDocument(text string) []int {
	ids := append([]int{}, t.prefix...)
	ids = t.encode(ids, t.userDefined, text, 0)
	return append(ids, t.suffix...)
}

// EncodePrompt encodes what a chat template made: control tokens spelled in it are control tokens. The rune guard is left out before
// anything is encoded; where it stands inside a control token's spelling, this stays text. 0 stands for no guard.
func (t *Tokenizer) EncodePrompt(prompt string, guard rune) []int {
	return t.encode(nil, t.added, prompt, guard)
}

func (t *Tokenizer) encode(ids []int, added *trie, text string, guard rune) []int {
	guardText := ""
	if guard != 0 {
		guardText = string(guard)
	}
	start, first := 0, true
	piece := func(s string) {
		if guardText != "" {
			s = strings.ReplaceAll(s, guardText, "")
		}
		ids = t.appendText(ids, s, first)
		first = false
	}
	for at := 0; at < len(text); {
		found, size := added.longest(text[at:])
		if size == 0 {
			at++
			continue
		}
		before := text[start:at]
		if found.lstrip {
			before = strings.TrimRightFunc(before, isSpace)
		}
		if before != "" {
			piece(before)
		}
		first = false
		ids = append(ids, found.id)
		at += size
		if found.rstrip {
			at = len(text) - len(strings.TrimLeftFunc(text[at:], isSpace))
		}
		start = at
	}
	if start < len(text) {
		piece(text[start:])
	}
	return ids
}

// appendText encodes a stretch of text without added tokens. first tells that the whole input starts with it.
func (t *Tokenizer) appendText(ids []int, text string, first bool) []int {
	if text == "" {
		return ids
	}
	r := t.text
	if r.normal != nil {
		text = r.normal(text)
	}
	if r.byteLevel {
		if r.prefixSpace == prefixUnlessSpace && text != "" && !isSpaceAt(text) {
			text = " " + text
		}
		if r.split == nil {
			return t.bpe.append(ids, text)
		}
		r.split.each(text, func(piece string) { ids = t.bpe.append(ids, piece) })
		return ids
	}
	text = strings.ReplaceAll(text, " ", metaspace)
	switch {
	case r.prefixSpace == prefixAlways,
		r.prefixSpace == prefixUnlessSpace && !strings.HasPrefix(text, metaspace),
		r.prefixSpace == prefixFirstOnly && first && !strings.HasPrefix(text, metaspace):
		text = metaspace + text
	}
	for r.words && text != "" { // a word begins with its space
		end := len(text)
		if i := strings.Index(text[1:], metaspace); i >= 0 {
			end = i + 1
		}
		ids, text = t.bpe.append(ids, text[:end]), text[end:]
	}
	return t.bpe.append(ids, text)
}

// Decode gives the text of ids, which is not valid UTF-8 when they cut a rune. Control tokens and ids outside the vocabulary have none. The
// space that encoding put before a text is left out again.
func (t *Tokenizer) Decode(ids []int) string {
	var out strings.Builder
	d := t.NewDecoder()
	for _, id := range ids {
		out.WriteString(d.Push(id))
	}
	out.WriteString(d.Flush())
	return out.String()
}

// Decoder decodes a growing reply: each Push gives the text that is complete so far, so that a rune that spans tokens comes in one
// piece.
type Decoder struct {
	tokenizer *Tokenizer
	started   bool
	pending   []byte // the start of a rune, at most 3 bytes
}

// NewDecoder starts a reply.
func (t *Tokenizer) NewDecoder() *Decoder { return &Decoder{tokenizer: t} }

// Push adds a token and gives the text that it completes, often empty in the middle of a rune.
func (d *Decoder) Push(id int) string {
	if id < 0 || id >= len(d.tokenizer.tokens) {
		return ""
	}
	text := d.tokenizer.tokens[id].text
	if !d.started && text != "" {
		d.started = true
		if !d.tokenizer.text.byteLevel && d.tokenizer.text.prefixSpace != prefixNever {
			text = strings.TrimPrefix(text, " ")
		}
	}
	d.pending = append(d.pending, text...)
	cut := len(d.pending)
	for i := max(0, cut-utf8.UTFMax+1); i < cut; i++ {
		if utf8.RuneStart(d.pending[i]) && !utf8.FullRune(d.pending[i:]) {
			cut = i
		}
	}
	out := string(d.pending[:cut])
	d.pending = append(d.pending[:0], d.pending[cut:]...)
	return out
}

// Flush ends the reply and gives what is left: the bytes of a rune that never became whole.
func (d *Decoder) Flush() string {
	out := string(d.pending)
	d.pending = d.pending[:0]
	return out
}

// finish makes the tries and checks what all formats share. added has the tokens that are found in texts before anything is split.
func (t *Tokenizer) finish(added []addedToken) error {
	if len(t.tokens) == 0 {
		return fmt.Errorf("the vocabulary is empty")
	}
	for _, id := range []int{t.bos, t.eos} {
		// Some files say that BOS and EOS are ordinary added tokens; then a user's text could end the document.
		if id >= 0 && id < len(t.tokens) && t.tokens[id].kind == UserDefined {
			t.tokens[id].kind, t.tokens[id].text = Control, ""
		}
	}
	t.userDefined, t.added, t.control = &trie{}, &trie{}, map[string]int{}
	for _, a := range added {
		if a.spelled == "" {
			return fmt.Errorf("added token %d is empty", a.id)
		}
		t.added.add(a.spelled, a.match)
		if t.tokens[a.id].kind == UserDefined {
			t.userDefined.add(a.spelled, a.match)
		} else {
			t.control[a.spelled] = a.id
		}
	}
	for _, id := range []int{t.bos, t.eos} {
		if id >= len(t.tokens) {
			return fmt.Errorf("the special token %d is outside the vocabulary (%d tokens)", id, len(t.tokens))
		}
	}
	return nil
}
