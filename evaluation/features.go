package evaluation

import (
	"cmp"
	"math"
	"slices"
	"strings"
)

// feature is one n-gram of a text with its weight.
type feature struct {
	id     int32
	weight float32
}

// tfidf turns texts into TF-IDF vectors over word 1-2-grams and character 2-5-grams inside words, each of the two
// kinds scaled to length 1. Weights are (1 + ln tf) · (ln((1+n)/(1+df)) + 1): sublinear term frequency times
// smoothed inverse document frequency (C. Manning et al., "Introduction to Information Retrieval",
// 2008, section 6.4, with the smoothing of scikit-learn's TfidfVectorizer).
type tfidf struct {
	ids [2]map[string]int32 // by kind
	idf []float32           // by id
}

// kinds are the n-grams of a text by kind.
var kinds = [2]func(text string, each func(gram string)){wordGrams, charGrams}

// newTFIDF learns the vocabulary of texts.
func newTFIDF(texts []string) *tfidf {
	t := &tfidf{}
	var df []int
	for kind, grams := range kinds {
		t.ids[kind] = map[string]int32{}
		for _, text := range texts {
			seen := map[int32]bool{}
			grams(text, func(gram string) {
				id, ok := t.ids[kind][gram]
				if !ok {
					id = int32(len(df))
					t.ids[kind][strings.Clone(gram)] = id
					df = append(df, 0)
				}
				if !seen[id] {
					seen[id] = true
					df[id]++
				}
			})
		}
	}
	t.idf = make([]float32, len(df))
	for id, n := range df {
		t.idf[id] = float32(math.Log(float64(1+len(texts))/float64(1+n)) + 1)
	}
	return t
}

// vector gives text's features by id. N-grams that the vocabulary lacks are left out.
func (t *tfidf) vector(text string) []feature {
	var out []feature
	for kind, grams := range kinds {
		counts := map[int32]int{}
		grams(text, func(gram string) {
			if id, ok := t.ids[kind][gram]; ok {
				counts[id]++
			}
		})
		from, sum := len(out), 0.0
		for id, n := range counts {
			w := float64(t.idf[id]) * (1 + math.Log(float64(n)))
			sum += w * w
			out = append(out, feature{id, float32(w)})
		}
		for i := range out[from:] {
			out[from+i].weight /= float32(math.Sqrt(sum))
		}
	}
	// The order of a map is by chance, and sums of floats go by it.
	slices.SortFunc(out, func(a, b feature) int { return cmp.Compare(a.id, b.id) })
	return out
}

// wordGrams are the words and the pairs of neighbours.
func wordGrams(text string, each func(string)) {
	all := words(text)
	for i, word := range all {
		each(word)
		if i > 0 {
			each(all[i-1] + " " + word)
		}
	}
}

// charGrams are the runs of two to five characters of each word with a space at either end.
func charGrams(text string, each func(string)) {
	for _, word := range strings.Fields(strings.ToLower(text)) {
		padded := " " + word + " "
		starts := make([]int, 0, len(padded)+1) // of the characters, in bytes
		for i := range padded {
			starts = append(starts, i)
		}
		starts = append(starts, len(padded))
		for n := 2; n <= 5; n++ {
			for i := 0; i+n < len(starts); i++ {
				each(padded[starts[i]:starts[i+n]])
			}
		}
	}
}
