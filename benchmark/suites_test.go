package benchmark

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"

	"teller/corpus"
)

// loadCorpus reads the corpus once, which takes seconds under the race detector.
var loadCorpus = sync.OnceValues(corpus.Load)

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
	taught, err := loadCorpus()
	require.NoError(t, err)
	type phrasing struct {
		text  string
		words map[string]bool
	}
	holding := map[string][]phrasing{} // by word
	for _, intent := range taught.Intents {
		for _, family := range intent.Families {
			for _, text := range family.Phrasings {
				p := phrasing{text, contentWords(text)}
				for word := range p.words {
					holding[word] = append(holding[word], p)
				}
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
			// A phrasing with so much in common holds one of the rarest words, of which it may lack but a few.
			rarest := slices.SortedFunc(maps.Keys(words), func(a, b string) int { return cmp.Compare(len(holding[a]), len(holding[b])) })
			for _, word := range rarest[:int((1-mostInCommon)*float64(len(words)))+1] {
				for _, p := range holding[word] {
					shared := 0
					for w := range words {
						if p.words[w] {
							shared++
						}
					}
					if float64(shared)/float64(len(words)+len(p.words)-shared) > mostInCommon {
						t.Errorf("%s: %q is in the corpus as %q", c.ID, c.Message, p.text)
					}
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
