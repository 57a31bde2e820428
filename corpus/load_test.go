package corpus

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func shipped(t testing.TB) *Corpus {
	t.Helper()
	c, err := Load()
	require.NoError(t, err)
	return c
}

func TestShippedCorpusHoldsWhatTrainingNeeds(t *testing.T) {
	c := shipped(t)
	s := c.Stats()
	require.GreaterOrEqual(t, s.Intents, 100)
	require.GreaterOrEqual(t, s.Families, 4*s.Intents)
	require.GreaterOrEqual(t, s.Phrasings, 2400)
	require.GreaterOrEqual(t, s.ByKind[OutOfScope], 40)
	require.GreaterOrEqual(t, s.ByKind[Refusal], 40)
	require.GreaterOrEqual(t, s.ByKind[LookAlike], 30)
	require.GreaterOrEqual(t, s.ByKind[Account], 100)
	require.Len(t, c.Names(), s.Intents)
	for _, name := range c.Names() {
		in, ok := c.Intent(name)
		require.True(t, ok)
		require.GreaterOrEqual(t, len(in.Families), 4, name)
	}
	_, ok := c.Intent("no_such_intent")
	require.False(t, ok)

	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	counts := fmt.Sprintf("%d topics, %d intents, %d families, %d phrasings, %d answers", s.Topics, s.Intents, s.Families, s.Phrasings, s.Answers)
	require.Contains(t, string(readme), counts, "README.md states the counts")
}

func TestLoadDirReadsTheSameCorpus(t *testing.T) {
	c, err := LoadDir("banking")
	require.NoError(t, err)
	require.Equal(t, shipped(t), c)
}

// intent is one valid intent, on lines 3 to 9 of a file that starts with head.
const (
	head   = "topic: test\nintents:\n"
	intent = `  - name: greeting
    facts: [hello|hi]
    answers:
      - Hello, what can I do for you?
    families:
      - - Hello there
        - hi
`
)

func TestErrorsNameFileAndLine(t *testing.T) {
	account := func(lines, answers string) string {
		return head + "  - name: balance\n    kind: account\n    answers: [Please sign in.]\n    context:\n      fact: balance\n      lines: [" +
			lines + "]\n      answers: [" + answers + "]\n    families: [[What is my balance?]]\n"
	}
	answer := func(s string) string {
		return head + "  - name: x1\n    answers:\n      - " + s + "\n    families: [[a question]]\n"
	}
	tests := []struct {
		name, text string
		line       int
		message    string
	}{
		{"empty", "", 1, "one YAML document"},
		{"a list", "- a\n- b\n", 1, "expected keys"},
		{"broken quotes", head + "  - name: \"greeting\n", 3, "could not find end character"},
		{"two documents", head + intent + "---\ntopic: y\n", 1, "one YAML document"},
		{"no topic", "intents:\n" + intent, 1, `"topic" is missing`},
		{"no intents", "topic: x\n", 1, `"intents" is missing`},
		{"unknown key", head + intent + "notes: x\n", 10, `unknown key "notes"`},
		{"unknown key in an intent", head + intent + "    anwsers: [x]\n", 10, `unknown key "anwsers"`},
		{"key twice", head + intent + "    name: again\n", 10, "already defined"},
		{"number as text", head + intent + "      - [12]\n", 10, "quote it"},
		{"yes as text", head + intent + "      - [true]\n", 10, "quote it"},
		{"mapping as text", head + intent + "      - [Note: this]\n", 10, "quote it"},
		{"text as list", head + intent + "      - hello you\n", 10, "expected a list"},
		{"anchor", head + intent + "      - &a [x]\n", 10, "expected a list"},
		{"no name", head + "  - answers: [x y]\n    families: [[b]]\n", 3, "needs a name"},
		{"bad name", head + "  - name: Two Words\n", 3, "needs a name"},
		{"intent twice", head + intent + intent, 10, "stands already"},
		{"unknown kind", head + intent + "    kind: odd\n", 10, `unknown kind "odd"`},
		{"no answers", head + "  - name: x1\n    families: [[b]]\n", 3, "no answers"},
		{"no families", head + "  - name: x1\n    answers: [b]\n", 3, "no families"},
		{"empty family", head + intent + "      - []\n", 3, "family without phrasings"},
		{"fact missing", head + "  - name: x1\n    facts: [sign in]\n    answers:\n      - I don't know.\n    families: [[b]]\n", 6, `lacks the fact "sign in"`},
		{"empty alternative", head + "  - name: x1\n    facts: [a|]\n    answers: [a]\n    families: [[b]]\n", 4, "empty alternative"},
		{"forbidden text", head + "  - name: x1\n    forbidden: [Sure]\n    answers: [sure thing]\n    families: [[b]]\n", 5, `forbidden "sure"`},
		{"figure in an answer", answer("You have 100 pounds."), 5, "figure 100"},
		{"slot without a context", answer("You have {amount}."), 5, "cannot have slots"},
		{"control token", answer("Hello <|end|>"), 5, "control token"},
		{"double space", answer("Hello  there"), 5, "double space"},
		{"too long", answer(strings.Repeat("a", 400)), 5, "more than"},
		{"empty text", answer(`""`), 5, "empty"},
		{"phrasing in two families", head + intent + "      - ['HELLO, there!']\n", 10, "stands already"},
		{"same phrasing twice", head + intent + "        - hi\n", 10, "stands already"},
		{"phrasing without letters", head + intent + "      - ['?!']\n", 10, "no letters"},
		{"unknown slot", head + intent + "      - ['pay {money}']\n", 10, "unknown slot {money}"},
		{"stray brace", head + intent + "      - ['pay {Amount}']\n", 10, "brace"},
		{"NUL", head + intent + "      - [a\x00b]\n", 10, "character"},
		{"curly quote", head + intent + "      - [what’s up]\n", 10, "character"},
		{"invalid UTF-8", head + intent + "      - [\xff]\n", 10, "UTF-8"},
		{"account without context", head + intent + "    kind: account\n", 3, "no context"},
		{"context without lines", account("", "'{amount}'"), 6, "lines and answers"},
		{"slot that the context lacks", account("'Balance: {amount}'", "'{amount} on {date}'"), 9, "{date}"},
		{"slot that one line lacks", account("'Balance: {amount}', No balance", "'It is {amount}.'"), 9, "{amount}"},
		{"answers with other slots", account("'{amount} on {date}'", "'{amount}', '{date}'"), 9, "other slots"},
		{"context answer that copies nothing", account("'{amount}'", "Plenty."), 9, "copies nothing"},
		{"after nothing known", head + intent + "    after: [nothing]\n", 10, `no intent "nothing"`},
		{"after itself", head + intent + "    after: [greeting]\n", 10, "follow-up"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "test.yaml")
			require.NoError(t, os.WriteFile(path, []byte(test.text), 0o600))
			_, err := LoadDir(dir)
			var e *Error
			require.ErrorAs(t, err, &e)
			require.ErrorContains(t, err, fmt.Sprintf("%s:%d: ", path, test.line))
			require.ErrorContains(t, err, test.message)
		})
	}
}

func TestEveryMistakeIsReported(t *testing.T) {
	dir := t.TempDir()
	text := head + "  - name: x1\n    kind: odd\n    answers: [a 1]\n    families: [['{zzz}']]\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "test.yaml"), []byte(text), 0o600))
	_, err := LoadDir(dir)
	for _, want := range []string{"test.yaml:4: ", "test.yaml:5: ", "test.yaml:6: "} {
		require.ErrorContains(t, err, want)
	}
}

func TestLoadDirErrors(t *testing.T) {
	_, err := LoadDir(filepath.Join(t.TempDir(), "missing"))
	require.True(t, errors.Is(err, os.ErrNotExist))
	_, err = LoadDir(t.TempDir())
	require.ErrorContains(t, err, "no .yaml file")

	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "a.yaml"), []byte(head+intent), 0o600))
	other := "topic: test\nintents:\n  - name: bye\n    answers: [Goodbye.]\n    families: [[hi]]\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "b.yaml"), []byte(other), 0o600))
	_, err = LoadDir(dir)
	require.ErrorContains(t, err, "b.yaml:1: the topic")
	require.ErrorContains(t, err, "b.yaml:5: the phrasing \"hi\" stands already at "+filepath.Join(dir, "a.yaml")+":9")
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(head + intent))
	f.Add([]byte("topic: x\nintents: [{name: ab, answers: [x], families: [[y]]}]"))
	f.Add([]byte("a: &a [*a, *a]\nb: |\n  x\n? y\n: z\n<<: *a"))
	f.Add([]byte("topic: !!str 1\nintents:\n- - - {}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		parsed, err := parse("fuzz.yaml", data)
		if err == nil {
			_, err = build([]file{parsed})
		}
		if err != nil {
			require.Regexp(t, `^fuzz\.yaml:\d+: `, err.Error())
		}
	})
}
