package train

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"teller/corpus"
	"teller/evaluation"
	"teller/transformer"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("teller/transformer/kernels.(*Pool).serve")) // they sleep between products
}

func TestOnlyTheLastReplyCountsInFull(t *testing.T) {
	c, o := tiny(t)
	o.PromptWeight, o.TokenDrop = 0.25, 0
	tokenizer, err := trainTokenizer(newSource(c, nil), o)
	require.NoError(t, err)
	enc, err := newEncoder(tokenizer, o)
	require.NoError(t, err)
	label := transformer.LabelToken(transformer.TellerNamespace, c.Names()[0])
	s, err := enc.sample(lesson{prompt: []corpus.Message{
		{Role: "system", Text: "Balance: £12."}, {Role: "user", Text: "Hello"}, {Role: "assistant", Text: "Hello."},
		{Role: "user", Text: "What is a bank?"},
	}, label: label, reply: "A bank lends.", replies: true}, rand.New(rand.NewPCG(1, 1)))
	require.NoError(t, err)
	text := map[float32]string{}
	for i, w := range s.Weights[:len(s.IDs)-1] {
		next := int(s.IDs[i+1])
		if special := transformer.SpecialTokens(); next < len(special) {
			text[w] += special[next]
		} else if id, _ := tokenizer.TokenID(label); id == next {
			text[w] += label
		} else {
			text[w] += tokenizer.Decode([]int{next})
		}
	}
	end := transformer.EndToken
	require.Equal(t, map[float32]string{
		8:    label,
		1:    "A bank lends." + end,
		0.25: "Hello" + end + "What is a bank?" + end,
		0:    transformer.SystemToken + "Balance: £12." + end + transformer.UserToken + transformer.AssistantToken + "Hello." + end + transformer.UserToken + transformer.AssistantToken,
	}, text)
}

func TestFiguresAreReadDigitByDigit(t *testing.T) {
	c, o := tiny(t)
	tokenizer, err := trainTokenizer(newSource(c, nil), o)
	require.NoError(t, err)
	digits := regexp.MustCompile(`\d`)
	for id := range tokenizer.VocabSize() {
		text := tokenizer.Decode([]int{id})
		require.False(t, len(text) > 1 && digits.MatchString(text), "token %q", text)
	}
}

func TestNoise(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	figures := regexp.MustCompile(`\d[\d.,]*`)
	const question = "Where is the payment of £1,204.50 that I made on 3 May?"
	changed := 0
	for range 2000 {
		got := noisy(rng, question)
		require.Equal(t, figures.FindAllString(question, -1), figures.FindAllString(got, -1), got)
		require.Equal(t, strings.TrimSpace(got), got)
		if got != question {
			changed++
		}
	}
	require.Greater(t, changed, 1000)
	for _, short := range []string{"", "?", "hi", "£5", "ééé éééé"} {
		for range 200 {
			require.NotPanics(t, func() { noisy(rng, short) })
		}
	}
}

func TestCurveIsAnSVG(t *testing.T) {
	c := Curve{}
	for name, fill := range map[string]func(){
		"empty":        func() {},
		"one step":     func() { c.add(trainLoss, 1, 5) },
		"many":         func() { c.add(validationLoss, 300, 0.4); c.add(trainLoss, 300, 0) },
		"a lucky loss": func() { c.add(validationLoss, 301, 0) },
	} {
		t.Run(name, func(t *testing.T) {
			fill()
			svg := string(c.SVG())
			require.NotContains(t, svg, "NaN")
			require.NotContains(t, svg, "Inf")
			d := xml.NewDecoder(strings.NewReader(svg))
			for {
				_, err := d.Token()
				if errors.Is(err, io.EOF) {
					break
				}
				require.NoError(t, err)
			}
		})
	}
}

func TestBatchRefusesWhatDoesNotFit(t *testing.T) {
	b := NewBatch(8, 5)
	sample := func(n int) Sample { return Sample{IDs: make([]int32, n), Weights: make([]float32, n)} }
	for _, n := range []int{0, 1, 7} {
		_, err := b.Add(sample(n))
		require.Error(t, err, n)
	}
	ok, err := b.Add(sample(6))
	require.NoError(t, err)
	require.True(t, ok)
	ok, err = b.Add(sample(5))
	require.NoError(t, err)
	require.False(t, ok, "4 tokens do not fit beside 5 in 8")
	require.Equal(t, []Doc{{0, 5}}, b.Docs)
}

func TestExamineReportsWhatWasHeldOut(t *testing.T) {
	c, o := tiny(t)
	sets := tinySets()
	_, err := Run(t.Context(), c, sets, o, nil)
	require.NoError(t, err)
	r, err := Examine(t.Context(), o.Out, c, sets)
	require.NoError(t, err)
	require.Positive(t, r.Answers.Total)
	sum := 0
	for _, s := range r.ByKind {
		sum += s.Total
	}
	require.Equal(t, r.Answers.Total, sum)
	require.Equal(t, copyTrials, r.CopiedTrained.Total)
	_, heldOut := sets[0].Split(holdoutSeed)
	require.Equal(t, len(heldOut), r.Choices["public"].Accuracy.Total)
	require.Equal(t, len(heldOut), r.Choices["public"].Baseline.Total)
	require.Contains(t, r.Text(), "label choice, public")

	b, err := transformer.LoadDir(o.Out)
	require.NoError(t, err)
	require.InDelta(t, r.Choices["public"].Temperature, b.Calibration.Temperatures["public"], 1e-9)
	require.Contains(t, b.Labels()["public"], "card")
}

// tinySets is a data set of two labels with near-duplicates.
func tinySets() []Dataset {
	d := Dataset{Name: "public", Extra: []Row{{Input: "my plastic was stolen", Expected: "card"}}}
	for i, what := range []string{"lost", "stolen", "broken", "late", "blocked", "new", "old", "blue", "expired", "bent", "second", "spare"} {
		d.Rows = append(d.Rows,
			Row{Input: "my card is " + what + " today", Expected: "card"}, Row{Input: "My card is " + what + ", today!", Expected: "card"},
			Row{Input: fmt.Sprintf("send %d to my %s account", i, what), Expected: "transfer"},
		)
	}
	return []Dataset{d}
}

func TestTemperature(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var of []prediction
	for range 4000 { // the logits say twice as much as is true
		logits := []float64{rng.NormFloat64(), rng.NormFloat64(), rng.NormFloat64()}
		p, at, right := transformer.Softmax(logits), rng.Float64(), 0
		for at > p[right] && right < 2 {
			at -= p[right]
			right++
		}
		for i := range logits {
			logits[i] *= 2
		}
		of = append(of, prediction{logits, right})
	}
	require.InDelta(t, 2, fitTemperature(of), 0.15)
	require.InDelta(t, 1, fitTemperature(nil), 0)
	confidence, right := crossFitted(of)
	require.Less(t, evaluation.ExpectedCalibrationError(evaluation.Reliability(confidence, right, evaluation.ReliabilityBins)), 0.03)
}

func TestNearDuplicatesStayTogether(t *testing.T) {
	d := tinySets()[0]
	training, heldOut := d.Split(1)
	require.Len(t, append(training, heldOut...), len(d.Rows)+len(d.Extra))
	require.NotEmpty(t, heldOut)
	require.Contains(t, training, d.Extra[0])
	in := map[string]bool{}
	for _, row := range training {
		in[strings.ToLower(strings.NewReplacer(",", "", "!", "").Replace(row.Input))] = true
	}
	for _, row := range heldOut {
		require.NotContains(t, in, strings.ToLower(strings.NewReplacer(",", "", "!", "").Replace(row.Input)))
	}
	again, _ := d.Split(1)
	require.Equal(t, training, again)
}

func TestAddLabelled(t *testing.T) {
	sets := tinySets()
	before := len(sets[0].Extra)
	require.NoError(t, AddLabelled(sets, []corpus.Labelled{
		{Dataset: "public", Rows: []corpus.LabelledRow{{Input: "plastic", Label: "card"}, {Input: "move it", Label: "transfer"}}},
		{Dataset: "absent", Rows: []corpus.LabelledRow{{Input: "x", Label: "y"}}},
	}))
	require.Equal(t, []Row{{Input: "plastic", Expected: "card"}, {Input: "move it", Expected: "transfer"}}, sets[0].Extra[before:])
	require.ErrorContains(t, AddLabelled(sets, []corpus.Labelled{{Dataset: "public", Rows: []corpus.LabelledRow{{Input: "y", Label: "loan"}}}}), `"loan"`)
}

func TestLoadDatasets(t *testing.T) {
	dir := t.TempDir()
	_, err := LoadDatasets(dir)
	require.ErrorContains(t, err, "data import")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "mine"), 0o755))
	path := filepath.Join(dir, "mine", RowsFile)
	require.NoError(t, os.WriteFile(path, []byte(`{"input":"a","expected":"b"}`+"\n"), 0o644))
	sets, err := LoadDatasets(dir)
	require.NoError(t, err)
	require.Equal(t, []Dataset{{Name: "mine", Rows: []Row{{Input: "a", Expected: "b"}}}}, sets)
	require.NoError(t, os.WriteFile(path, []byte(`{"input":"a","expected":"b"}`+"\n{\n"), 0o644))
	_, err = LoadDatasets(dir)
	require.ErrorContains(t, err, path+":2")
}
