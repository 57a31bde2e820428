package transformer

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// Tokenizer turns text into token ids and back by byte-level BPE: all 256 bytes are tokens, so any bytes
// at all encode, and decode back to themselves. It is immutable and safe for concurrent use.
type Tokenizer struct {
	tokens  []string       // id to raw bytes; a special token's name
	special map[string]int // special token's name to id
	byteIDs [256]uint32
	merges  []pair // in order of rank
	rules   map[pair]rule
	longest int // bytes of the longest ordinary token
	cache   wordCache

	labels     []LabelSet
	textTokens int // ids below it are not labels
}

// pair is two neighbouring tokens.
type pair struct{ left, right uint32 }

// rule is what BPE makes of a pair: the lower rank is merged first.
type rule struct{ rank, result uint32 }

// newTokenizer checks that the parts make a tokenizer.
func newTokenizer(tokens []string, special map[string]int, merges []pair) (*Tokenizer, error) {
	t := &Tokenizer{tokens: tokens, special: special, merges: merges, rules: make(map[pair]rule, len(merges))}
	ids := make(map[string]uint32, len(tokens))
	for id, token := range tokens {
		if sid, ok := special[token]; ok && sid == id {
			continue
		}
		if _, twice := ids[token]; twice {
			return nil, fmt.Errorf("token %q occurs twice", token)
		}
		ids[token] = uint32(id)
		t.longest = max(t.longest, len(token))
	}
	for b := range t.byteIDs {
		id, ok := ids[string([]byte{byte(b)})]
		if !ok {
			return nil, fmt.Errorf("byte %#02x is not in the vocabulary", b)
		}
		t.byteIDs[b] = id
	}
	for rank, m := range merges {
		text := tokens[m.left] + tokens[m.right]
		id, ok := ids[text] // a special token is not among them, so no text merges into one
		if !ok {
			return nil, fmt.Errorf("merge %d gives %q, which is not in the vocabulary", rank, text)
		}
		if _, twice := t.rules[m]; twice {
			return nil, fmt.Errorf("merge %d (%q) occurs twice", rank, text)
		}
		t.rules[m] = rule{rank: uint32(rank), result: id}
	}
	if err := t.findLabels(); err != nil {
		return nil, err
	}
	return t, nil
}

// Encode gives the token ids of text. It never gives a special token: one that is spelled out in the text
// is encoded as the bytes it is spelled with.
func (t *Tokenizer) Encode(text string) []int { return t.appendText(nil, text) }

func (t *Tokenizer) appendText(ids []int, text string) []int {
	for len(text) > 0 {
		n := nextPiece(text)
		ids = t.appendPiece(ids, text[:n])
		text = text[n:]
	}
	return ids
}

// Decode gives the bytes of ids as a string, which is not valid UTF-8 when ids cut a rune. Special tokens
// and ids outside the vocabulary have no text.
func (t *Tokenizer) Decode(ids []int) string {
	var out strings.Builder
	for _, id := range ids {
		out.WriteString(t.text(id))
	}
	return out.String()
}

// text is the raw bytes of one token, empty for a special one.
func (t *Tokenizer) text(id int) string {
	if id < 0 || id >= len(t.tokens) {
		return ""
	}
	token := t.tokens[id]
	if sid, ok := t.special[token]; ok && sid == id {
		return ""
	}
	return token
}

// TokenID gives the id of a special token.
func (t *Tokenizer) TokenID(special string) (int, bool) {
	id, ok := t.special[special]
	return id, ok
}

// VocabSize is the number of tokens, special ones included.
func (t *Tokenizer) VocabSize() int { return len(t.tokens) }

// Decoder decodes a growing reply: each Push gives the text that is complete so far, so that a rune that
// spans tokens comes in one piece. All its pieces together are what Decode gives for all its ids.
type Decoder struct {
	tokenizer *Tokenizer
	pending   []byte // the start of a rune, at most 3 bytes
}

// NewDecoder starts a reply.
func (t *Tokenizer) NewDecoder() *Decoder { return &Decoder{tokenizer: t} }

// Push adds a token and gives the text that it completes, often empty in the middle of a rune.
func (d *Decoder) Push(id int) string {
	d.pending = append(d.pending, d.tokenizer.text(id)...)
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
