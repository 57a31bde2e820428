package transformer

import (
	"fmt"
	"unicode"
)

// Ngrams describes the bag of hashed n-grams that the model reads beside the tokens: at each <|assistant|> marker that follows a user's
// message, the rows of that message's n-grams are summed, divided by the square root of their number, projected to the hidden
// size and added to the marker's embedding. It is a wide linear model inside the transformer (the "wide" part of Cheng et al. 2016; the
// hashing is fastText's, Joulin et al. 2016). Without its tensors what is left is a plain Llama.
type Ngrams struct {
	Rows    int `json:"rows"`     // of the table; n-grams are hashed onto them
	Dim     int `json:"dim"`      // numbers of a row
	Words   int `json:"words"`    // up to so many words in a row
	CharMin int `json:"char_min"` // least letters of an n-gram inside a word, whose ends count as one each
	CharMax int `json:"char_max"` // most letters
}

func (n Ngrams) validate() error {
	for _, f := range []struct {
		key             string
		value, min, max int
	}{
		{"rows", n.Rows, 1, maxVocab},
		{"dim", n.Dim, 1, maxWidth},
		{"words", n.Words, 0, 8},
		{"char_min", n.CharMin, 1, 16},
		{"char_max", n.CharMax, n.CharMin, 16},
	} {
		if f.value < f.min || f.value > f.max {
			return fmt.Errorf("ngrams.%s is %d, must be %d to %d", f.key, f.value, f.min, f.max)
		}
	}
	return nil
}

// FNV-1a (Fowler, Noll, Vo), 64 bits.
const (
	fnvOffset = 14695981039346656037
	fnvPrime  = 1099511628211
)

// row ends a hash: the multiplication spreads what FNV leaves in the low bits.
func (n Ngrams) row(h uint64) int32 {
	h ^= h >> 32
	h *= 0x9e3779b97f4a7c15
	return int32((h >> 24) % uint64(n.Rows))
}

// Features gives the rows of a text's n-grams, each once, in the order of their first occurrence. Letters count without case, every digit as
// the same digit, and an apostrophe inside a word not at all; anything else parts words. Bytes that are not UTF-8 part words, too.
func (n Ngrams) Features(text string) []int32 {
	words := n.words(text)
	rows := make([]int32, 0, 8*len(words)+16)
	seen := make(map[int32]struct{}, cap(rows))
	add := func(h uint64) {
		row := n.row(h)
		if _, twice := seen[row]; !twice {
			seen[row] = struct{}{}
			rows = append(rows, row)
		}
	}
	for i, word := range words {
		h := uint64(fnvOffset)
		for j := i; j < len(words) && j < i+n.Words; j++ {
			h = hashed(h, ' ')
			for _, r := range words[j][1 : len(words[j])-1] {
				h = hashed(h, r)
			}
			add(h)
		}
		for from := range word {
			h := hashed(fnvOffset, '#')
			for to := from; to < len(word) && to < from+n.CharMax; to++ {
				h = hashed(h, word[to])
				if to-from+1 >= n.CharMin {
					add(h)
				}
			}
		}
	}
	return rows
}

func hashed(h uint64, r rune) uint64 {
	for v := uint32(r); ; v >>= 8 {
		h = (h ^ uint64(v&0xff)) * fnvPrime
		if v < 0x100 {
			return h
		}
	}
}

// words cuts a text into words, each between '<' and '>'.
func (n Ngrams) words(text string) [][]rune {
	var words [][]rune
	var word []rune
	end := func() {
		if len(word) > 0 {
			words = append(words, append(word, '>'))
			word = nil
		}
	}
	for _, r := range text {
		switch {
		case r == '\'' || r == '’':
			continue
		case unicode.IsDigit(r):
			r = '0'
		case !unicode.IsLetter(r): // also what is not UTF-8
			end()
			continue
		}
		if len(word) == 0 {
			word = append(word, '<')
		}
		word = append(word, unicode.ToLower(r))
	}
	end()
	return words
}
