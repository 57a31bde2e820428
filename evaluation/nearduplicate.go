package evaluation

import (
	"strings"
	"unicode"
)

// NearDuplicate is how alike two texts must be to count as the same question asked twice: the share of their
// character trigrams that they have in common. It is far above two phrasings of one intent and just below a
// typing error, a changed ending or a changed amount.
const NearDuplicate = 0.7

// Texts is a set of texts that others are held against.
type Texts struct {
	grams map[string]int32
	lists [][]int32 // by gram: the texts that have it
	sizes []int32   // by text: how many grams it has
	exact map[string]bool
}

// NewTexts makes the set.
func NewTexts(texts []string) *Texts {
	t := &Texts{grams: map[string]int32{}, exact: map[string]bool{}}
	for _, text := range texts {
		normal := normalise(text)
		if t.exact[normal] {
			continue
		}
		t.exact[normal] = true
		grams := trigrams(normal)
		id := int32(len(t.sizes))
		t.sizes = append(t.sizes, int32(len(grams)))
		for gram := range grams {
			list, ok := t.grams[gram]
			if !ok {
				list = int32(len(t.lists))
				t.grams[gram] = list
				t.lists = append(t.lists, nil)
			}
			t.lists[list] = append(t.lists[list], id)
		}
	}
	return t
}

// Similarity gives how alike text is to the one most like it: the Jaccard index of their sets of character
// trigrams, |A∩B| / |A∪B|, 0 to 1 (A. Broder, "On the resemblance and containment of documents", 1997). Case,
// punctuation and white space do not count.
func (t *Texts) Similarity(text string) float64 {
	normal := normalise(text)
	if t.exact[normal] {
		return 1
	}
	grams := trigrams(normal)
	shared := make([]int32, len(t.sizes))
	for gram := range grams {
		list, ok := t.grams[gram]
		if !ok {
			continue
		}
		for _, id := range t.lists[list] {
			shared[id]++
		}
	}
	best := 0.0
	for id, n := range shared {
		if n > 0 {
			best = max(best, float64(n)/float64(len(grams)+int(t.sizes[id])-int(n)))
		}
	}
	return best
}

// HasNearDuplicate tells whether a text of the set is at least NearDuplicate like text.
func (t *Texts) HasNearDuplicate(text string) bool { return t.Similarity(text) >= NearDuplicate }

// normalise leaves letters and digits in lower case, with one space between words.
func normalise(text string) string {
	return strings.Join(words(text), " ")
}

// words are the runs of letters and digits of text, in lower case. An apostrophe inside a word goes with it:
// "don't" is one word.
func words(text string) []string {
	text = strings.NewReplacer("'", "", "’", "").Replace(strings.ToLower(text))
	return strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.Is(unicode.M, r) })
}

// trigrams are the runs of three characters of a normalised text with a space at either end. One without
// letters and digits has one, so that it resembles its like.
func trigrams(normal string) map[string]bool {
	runes := []rune(" " + normal + " ")
	out := make(map[string]bool, len(runes))
	if len(runes) < 3 {
		out[string(runes)] = true
	}
	for i := 0; i+3 <= len(runes); i++ {
		out[string(runes[i:i+3])] = true
	}
	return out
}
