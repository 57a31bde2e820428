package evaluation_test

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/corpus"
	"teller/evaluation"
)

func requireXML(t *testing.T, text string) {
	t.Helper()
	decoder := xml.NewDecoder(strings.NewReader(text))
	for {
		_, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
	}
}

func TestNearDuplicates(t *testing.T) {
	known := evaluation.NewTexts([]string{
		"I am still waiting on my card?", "How do I locate my card?", "What are your exchange rates for 250 euros?", "How do I locate my card?",
	})
	for text, want := range map[string]bool{
		"I am still waiting on my card?":             true,
		"i am STILL waiting, on my card":             true,
		"I am still waitng on my card":               true, // a typing error
		"What are your exchange rates for 25 euros?": true,
		"My card has not come yet.":                  false,
		"How do I freeze my account?":                false,
		"":                                           false,
		"???":                                        false,
	} {
		require.Equal(t, want, known.HasNearDuplicate(text), "%q: %.2f", text, known.Similarity(text))
	}
	// By hand: " ab " has the trigrams " ab" and "ab ", " abc " has " ab", "abc" and "bc ": one of four.
	require.InDelta(t, 0.25, evaluation.NewTexts([]string{"ab"}).Similarity("abc"), 1e-12)
	require.Zero(t, evaluation.NewTexts(nil).Similarity("anything"))
	require.InDelta(t, 1, evaluation.NewTexts([]string{"残高は？"}).Similarity("残高は"), 0)
}

func TestBaseline(t *testing.T) {
	t.Run("on phrasings it has not seen", func(t *testing.T) {
		c, err := corpus.Load()
		require.NoError(t, err)
		var train, held []evaluation.Row
		for _, intent := range c.Intents[:min(24, len(c.Intents))] { // more would only take longer
			for _, family := range intent.Families {
				for i, phrasing := range family.Phrasings {
					row := evaluation.Row{Input: phrasing, Expected: intent.Name}
					if i%5 == 4 {
						held = append(held, row)
					} else {
						train = append(train, row)
					}
				}
			}
		}
		b, err := evaluation.TrainBaseline(t.Context(), train, 1)
		require.NoError(t, err)
		right := 0
		for _, row := range held {
			if b.Predict(row.Input) == row.Expected {
				right++
			}
		}
		require.Greater(t, float64(right)/float64(len(held)), 0.4, "%d of %d; by chance it would be one in twenty", right, len(held))
	})
	rows := []evaluation.Row{
		{"my card is lost", "lost_card"}, {"I lost my card", "lost_card"}, {"the lost card", "lost_card"},
		{"exchange rate of the euro", "rates"}, {"what is the rate", "rates"}, {"dollar rates", "rates"},
	}
	t.Run("the same seed, the same answers", func(t *testing.T) {
		a, err := evaluation.TrainBaseline(t.Context(), rows, 1)
		require.NoError(t, err)
		b, err := evaluation.TrainBaseline(t.Context(), rows, 1)
		require.NoError(t, err)
		require.Equal(t, a, b)
		for _, r := range rows {
			require.Equal(t, r.Expected, a.Predict(r.Input))
		}
		require.Equal(t, "lost_card", a.Predict("help, LOST my cards!"))
		for _, odd := range []string{"", "残高", "\xff\xfe", strings.Repeat("a", 1<<16)} {
			require.Contains(t, []string{"lost_card", "rates"}, a.Predict(odd))
		}
	})
	t.Run("one label", func(t *testing.T) {
		_, err := evaluation.TrainBaseline(t.Context(), rows[:3], 1)
		require.Error(t, err)
	})
	t.Run("canceled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := evaluation.TrainBaseline(ctx, rows, 1)
		require.ErrorIs(t, err, context.Canceled)
	})
}

func TestRows(t *testing.T) {
	rows, err := evaluation.ReadRows(strings.NewReader("\ufeff"+`{"input":"Where is my card?","expected":"card_arrival"}`+"\r\n\n"+
		`  {"id":7,"input":"Rates?","expected":"rates"}  `), "rows.jsonl")
	require.NoError(t, err)
	require.Equal(t, []evaluation.Row{{"Where is my card?", "card_arrival"}, {"Rates?", "rates"}}, rows)

	const good = `{"input":"a","expected":"b"}` + "\n"
	for name, c := range map[string]struct {
		text    string
		message string
	}{
		"no row":           {"", "x.jsonl:1: the file holds no row"},
		"blank lines":      {"\n\n", "x.jsonl:2: the file holds no row"},
		"not JSON":         {good + "hello", "x.jsonl:2: not JSON"},
		"cut off":          {good + good + `{"input":"a`, "x.jsonl:3: not JSON"},
		"two objects":      {good + `{"input":"a","expected":"b"} {}`, "x.jsonl:2: not JSON"},
		"a list":           {good + `["a","b"]`, "x.jsonl:2: a row is a JSON object, not array"},
		"a number as text": {`{"input":1,"expected":"b"}`, `x.jsonl:1: the field "input" is number`},
		"no input":         {`{"expected":"b"}`, `x.jsonl:1: the field "input" is missing`},
		"null input":       {`{"input":null,"expected":"b"}`, `x.jsonl:1: the field "input" is missing`},
		"blank input":      {`{"input":" ","expected":"b"}`, `x.jsonl:1: the field "input" is empty`},
		"no label":         {`{"input":"a"}`, `x.jsonl:1: the field "expected" is missing`},
		"empty label":      {`{"input":"a","expected":""}`, `x.jsonl:1: the field "expected" is empty`},
		"invalid UTF-8":    {good + "{\"input\":\"\xff\",\"expected\":\"b\"}", "x.jsonl:2: the line is not valid UTF-8"},
		"long":             {`{"input":"` + strings.Repeat("a", 65<<10) + `","expected":"b"}`, `x.jsonl:1: the field "input" is 66560 bytes`},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := evaluation.ReadRows(strings.NewReader(c.text), "x.jsonl")
			require.ErrorContains(t, err, c.message)
			var line *evaluation.LineError
			require.ErrorAs(t, err, &line)
		})
	}
	t.Run("scope", func(t *testing.T) {
		rows, err := evaluation.ReadScopeRows(strings.NewReader(`{"input":"a","in_scope":true}`+"\n"+`{"input":"b","in_scope":false}`), "x.jsonl")
		require.NoError(t, err)
		require.Equal(t, []evaluation.ScopeRow{{"a", true}, {"b", false}}, rows)
		for text, message := range map[string]string{
			`{"input":"a"}`:                    `the field "in_scope" is missing`,
			`{"input":"a","in_scope":"yes"}`:   `the field "in_scope" is string`,
			`{"in_scope":true}`:                `the field "input" is missing`,
			`{"input":"a","in_scope":true}}`:   "not JSON",
			`{"input":"a","in_scope":null}`:    `the field "in_scope" is missing`,
			`"a"`:                              "a row is a JSON object, not string",
			`{"input":"  ","in_scope":true}`:   `the field "input" is empty`,
			`{"input":["a"],"in_scope":false}`: `the field "input" is array`,
		} {
			_, err := evaluation.ReadScopeRows(strings.NewReader(text), "x.jsonl")
			require.ErrorContains(t, err, "x.jsonl:1: "+message)
		}
	})
	t.Run("a reader that fails", func(t *testing.T) {
		_, err := evaluation.ReadRows(io.MultiReader(strings.NewReader(good), failing{}), "x.jsonl")
		require.ErrorIs(t, err, io.ErrClosedPipe)
	})
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }

// FuzzReadRows: whatever a file holds, it is rows that can be asked or an error that names the line.
func FuzzReadRows(f *testing.F) {
	for _, seed := range []string{
		`{"input":"a","expected":"b"}`, "\ufeff{\"input\":\"a\",\"expected\":\"b\"}\r\n", "{", "[]", "null", "\xff", "\n\n", `{"input":"\ud800","expected":"b"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		rows, err := evaluation.ReadRows(strings.NewReader(text), "x.jsonl")
		if err == nil {
			require.NotEmpty(t, rows)
			for _, r := range rows {
				require.NotEmpty(t, strings.TrimSpace(r.Input))
				require.NotEmpty(t, strings.TrimSpace(r.Expected))
			}
			return
		}
		var line *evaluation.LineError
		require.ErrorAs(t, err, &line)
		require.GreaterOrEqual(t, line.Line, 1)
		require.LessOrEqual(t, line.Line, strings.Count(text, "\n")+1)
		require.True(t, strings.HasPrefix(err.Error(), fmt.Sprintf("x.jsonl:%d: ", line.Line)))
	})
}

func BenchmarkBaseline(b *testing.B) {
	c, err := corpus.Load()
	require.NoError(b, err)
	var rows []evaluation.Row
	for _, intent := range c.Intents {
		for _, family := range intent.Families {
			for _, phrasing := range family.Phrasings {
				rows = append(rows, evaluation.Row{Input: phrasing, Expected: intent.Name})
			}
		}
	}
	for b.Loop() {
		_, err := evaluation.TrainBaseline(b.Context(), rows, 1)
		require.NoError(b, err)
	}
	b.ReportMetric(float64(len(rows)), "rows")
}
