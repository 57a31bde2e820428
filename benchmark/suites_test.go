package benchmark

import (
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"teller/corpus"
)

// stopWords say nothing of what a question is about.
var stopWords = func() map[string]bool {
	out := map[string]bool{}
	for _, w := range strings.Fields(`a about all am an and any are as at be been but by can could did do does for from get got had has have how i if in is it its
		just like me my no not of on or our out please so some that the their them then there they this to up us was we were what when where which who why will with
		would you your`) {
		out[w] = true
	}
	return out
}()

// contentWords are the different words of a text that are no stop words.
func contentWords(text string) map[string]bool {
	out := map[string]bool{}
	text = strings.NewReplacer("'", "", "’", "").Replace(strings.ToLower(text))
	for _, w := range strings.FieldsFunc(text, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		if !stopWords[w] {
			out[w] = true
		}
	}
	return out
}

// TestTheCorpusDoesNotHoldTheSuites keeps a model that learnt its corpus by heart from gaining by it.
func TestTheCorpusDoesNotHoldTheSuites(t *testing.T) {
	const (
		mostInCommon = 0.7 // of the content words of both
		fewWords     = 4
	)
	taught, err := corpus.Load()
	require.NoError(t, err)
	var phrasings []string
	var sizes []int
	holding := map[string][]int{} // phrasings by word
	for _, intent := range taught.Intents {
		for _, family := range intent.Families {
			for _, phrasing := range family.Phrasings {
				words := contentWords(phrasing)
				for word := range words {
					holding[word] = append(holding[word], len(phrasings))
				}
				phrasings, sizes = append(phrasings, phrasing), append(sizes, len(words))
			}
		}
	}
	for _, name := range ShippedNames() {
		suite, err := Shipped(name)
		require.NoError(t, err)
		for _, c := range suite.Cases {
			words := contentWords(c.Message)
			if len(words) < fewWords {
				continue // they name a thing that both know, such as a rainy-day pot
			}
			shared := map[int]int{}
			for word := range words {
				for _, i := range holding[word] {
					shared[i]++
				}
			}
			for i, n := range shared {
				if common := float64(n) / float64(len(words)+sizes[i]-n); common > mostInCommon { // millions of pairs: too many for require
					t.Errorf("%s: %q is in the corpus as %q", c.ID, c.Message, phrasings[i])
				}
			}
		}
	}
}

func TestTheBankingSuiteIsLargeAndTheSmokeSuiteSmall(t *testing.T) {
	banking, err := Shipped("banking")
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(banking.Cases), 1200)
	smoke, err := Shipped("smoke")
	require.NoError(t, err)
	require.Len(t, smoke.Cases, 24)
	ids, categories := map[string]bool{}, map[string]bool{}
	for _, c := range append(banking.Cases, smoke.Cases...) {
		require.False(t, ids[c.ID], c.ID)
		ids[c.ID] = true
		categories[c.Category] = true
	}
	for _, category := range []string{"intent", "knowledge", "arithmetic", "account", "safety", "look_alike", "privacy", "out_of_scope"} {
		require.True(t, categories[category], category)
	}
}
