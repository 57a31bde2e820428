package corpus

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

// What the model is trained for rests on these numbers: fewer wordings and it learns phrases rather than intents.
const (
	minPhrasings       = 100 // of an intent of kind answer or account that is no follow-up
	minPhrasedIntents  = 60  // banking intents with that many
	minAnswers         = 3
	maxAnswers         = 5
	minOutOfScope      = 300
	minRefusals        = 200
	minLookAlikes      = 150
	minFollowUpWording = 40
)

// fillers are words that change how a question is put, not what it says. Words that ask when, where, why,
// who or which, and negations, stay: they change what is asked.
var fillers = strings.Fields(`a an the and or but so if as than then there to of on in at for with from by
	i i'm i'd i'll i've im ive me my mine we our us you your you're youre it its it's this that
	is are am was were be been being do does did done doing can could would will shall should may might must
	has have had get got how what what's whats just also some any please pls dear
	hello hi hey thanks thank cheers`)

// saying gives the words of a phrasing that carry its meaning, sorted and without repetition. In small talk
// a greeting is the meaning, so nothing is left out there; nor from a phrasing that is fillers only.
func saying(phrasing string, kind Kind) string {
	words := strings.FieldsFunc(strings.ToLower(phrasing), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("'{}_", r)
	})
	if kind != SmallTalk {
		said := slices.DeleteFunc(slices.Clone(words), func(word string) bool { return slices.Contains(fillers, word) })
		if len(said) > 0 {
			words = said
		}
	}
	slices.Sort(words)
	return strings.ReplaceAll(strings.Join(slices.Compact(words), " "), "'", "")
}

func TestSaying(t *testing.T) {
	tests := []struct {
		name, a, b string
		kind       Kind
		same       bool
	}{
		{"another polite copy", "Freeze my card please.", "hello, could you freeze the card", Answer, true},
		{"another order", "card lost", "I lost my card", Answer, true},
		{"another question", "Why is my card frozen?", "When was my card frozen?", Answer, false},
		{"not", "I got my card", "I did not get my card", Answer, false},
		{"fillers only", "How are you?", "What is it?", Answer, false},
		{"a document is no contraction", "show my ID", "I'd show", Answer, false},
		{"greetings are small talk's meaning", "hello there", "hi there", SmallTalk, false},
		{"small talk in capitals", "Hello!", "hello", SmallTalk, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			require.Equal(t, test.same, saying(test.a, test.kind) == saying(test.b, test.kind))
		})
	}
}

// TestCorpusKeepsItsPromises names the file and the line of every intent that falls short and of every
// phrasing that only repeats another one of its intent.
func TestCorpusKeepsItsPromises(t *testing.T) {
	var problems []string
	fail := func(f file, line int, format string, args ...any) {
		problems = append(problems, fmt.Sprintf("%s:%d: ", f.name, line)+fmt.Sprintf(format, args...))
	}
	total := map[Kind]int{}
	phrased := 0
	for _, f := range parsed(t) {
		for _, raw := range f.intents {
			kind, followUp := Kind(raw.kind.value), len(raw.after) > 0
			if kind == "" {
				kind = Answer
			}
			phrasings := distinct(f, raw, kind, fail)
			total[kind] += phrasings

			atLeast := 0
			switch {
			case followUp:
				atLeast = minFollowUpWording
			case kind == Answer || kind == Account:
				atLeast = minPhrasings
			}
			if phrasings < atLeast {
				fail(f, raw.line, "the intent %q has %d phrasings, fewer than %d", raw.name.value, phrasings, atLeast)
			}
			if n := len(raw.answers); n < minAnswers || n > maxAnswers {
				fail(f, raw.line, "the intent %q has %d answers, not %d to %d", raw.name.value, n, minAnswers, maxAnswers)
			}
			if phrasings >= minPhrasings && !followUp && slices.Contains([]Kind{Answer, Account, LookAlike}, kind) {
				phrased++
			}
		}
	}
	require.Empty(t, problems, strings.Join(problems, "\n"))
	require.GreaterOrEqual(t, phrased, minPhrasedIntents, "banking intents with %d phrasings", minPhrasings)
	require.GreaterOrEqual(t, total[OutOfScope], minOutOfScope)
	require.GreaterOrEqual(t, total[Refusal], minRefusals)
	require.GreaterOrEqual(t, total[LookAlike], minLookAlikes)
}

// parsed reads the shipped files with the lines of their texts, which a Corpus no longer knows.
func parsed(t *testing.T) []file {
	t.Helper()
	paths, err := filepath.Glob("banking/*.yaml")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	var files []file
	for _, path := range paths {
		data, err := os.ReadFile(path)
		require.NoError(t, err)
		f, err := parse(path, data)
		require.NoError(t, err)
		files = append(files, f)
	}
	return files
}

// distinct counts an intent's phrasings and reports those that repeat another one.
func distinct(f file, raw rawIntent, kind Kind, fail func(f file, line int, format string, args ...any)) int {
	said := map[string]text{}
	for _, family := range raw.families {
		for _, phrasing := range family {
			key := saying(phrasing.value, kind)
			if other, ok := said[key]; ok {
				fail(f, phrasing.line, "%q says no more than %q in line %d", phrasing.value, other.value, other.line)
				continue
			}
			said[key] = phrasing
		}
	}
	return len(said)
}
