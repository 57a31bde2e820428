package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/stretchr/testify/require"

	"teller/adapters/adaptertest/fakeserver"
	"teller/adapters/adaptertest/openaiserver"
	"teller/llm"
	"teller/transformer"
	"teller/transformer/transformertest"
)

// labelled makes a folder with weights that know the labels balance, card and other.
func labelled(t *testing.T) string {
	t.Helper()
	bundle := transformertest.LabelledBundle(1)
	dir := t.TempDir()
	require.NoError(t, transformer.SaveDir(dir, bundle.Config, transformertest.Tensors(bundle.Config, 1), bundle.Tokenizer))
	return dir
}

// evaluate runs 'teller eval ...' as the command line does and gives what it prints.
func evaluate(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var c struct {
		Eval evalCmd `cmd:""`
	}
	parser, err := kong.New(&c, kong.Exit(func(int) { t.Fatal("the command line was refused") }))
	require.NoError(t, err)
	k, err := parser.Parse(append([]string{"eval"}, args...))
	if err != nil {
		return "", err
	}
	var out, terminal bytes.Buffer
	switch k.Command() {
	case "eval intents <file>":
		err = c.Eval.Intents.run(t.Context(), &out, &terminal)
	case "eval scope <file>":
		err = c.Eval.Scope.run(t.Context(), &out, &terminal)
	default:
		t.Fatal(k.Command())
	}
	require.Empty(t, terminal.String(), "a progress bar is for terminals only")
	return out.String(), err
}

func file(t *testing.T, name string, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600))
	return path
}

func row(input, expected string) string {
	return fmt.Sprintf(`{"input":%q,"expected":%q}`, input, expected)
}

var (
	questions = []string{
		row("What is my balance?", "balance"), row("How much money do I have?", "balance"), row("Where is my card?", "card"),
		row("My card has not come", "card"), row("What is a bank?", "other"), row("Tell me a joke", "other"),
	}
	training = []string{
		row("what is my balance", "Balance"), row("show the balance", "balance"), row("the card I ordered", "card"),
		row("card lost", "card"), row("who are you", "other"), row("tell me about banks", "other"),
	}
)

func TestEvalIntents(t *testing.T) {
	t.Setenv("CUSTOM_MODEL_PATH", labelled(t))
	t.Setenv("TELLER_DATA_DIR", t.TempDir())
	rows := file(t, "rows.jsonl", questions...)
	lines := filepath.Join(t.TempDir(), "out.jsonl")
	diagram := filepath.Join(t.TempDir(), "out.svg")
	text, err := evaluate(t, "intents", rows, "--train", file(t, "train.jsonl", training...), "--out", lines, "--diagram", diagram)
	require.NoError(t, err)
	var report map[string]any
	require.NoError(t, json.Unmarshal([]byte(text), &report))
	require.Equal(t, "custom", report["model"])
	require.Regexp(t, "^custom-[0-9a-f]{8}$", report["model_version"])
	require.NotEmpty(t, report["device"])
	require.EqualValues(t, 6, report["n"])
	require.EqualValues(t, 3, report["labels"])
	require.InDelta(t, report["correct"].(float64)/6, report["accuracy"], 1e-12)
	require.Len(t, report["accuracy_interval"], 2)
	for _, name := range []string{"macro_f1", "expected_calibration_error", "brier_score", "accuracy_without_near_duplicates", "ms_per_row"} {
		require.IsType(t, 0.0, report[name], name)
	}
	require.EqualValues(t, 5, report["n_without_near_duplicates"], "one question is asked in the training data")
	baseline := report["baseline"].(map[string]any)
	require.NotEmpty(t, baseline["name"])
	require.Len(t, baseline["interval"], 2)
	require.EqualValues(t, 6, baseline["training_rows"])

	data, err := os.ReadFile(lines)
	require.NoError(t, err)
	correct := 0
	for i, line := range strings.Split(strings.TrimSpace(string(data)), "\n") {
		var l intentLine
		require.NoError(t, json.Unmarshal([]byte(line), &l))
		require.Equal(t, i, l.Index)
		require.Contains(t, questions[i], l.Expected)
		require.Contains(t, []string{"balance", "card", "other"}, l.Choice)
		require.GreaterOrEqual(t, *l.Probability, 1.0/3-1e-9)
		require.LessOrEqual(t, *l.Probability, 1.0)
		if l.Choice == l.Expected {
			correct++
		}
	}
	require.EqualValues(t, correct, report["correct"])
	svg, err := os.ReadFile(diagram)
	require.NoError(t, err)
	require.Contains(t, string(svg), "</svg>")
}

func TestEvalFindsItsTrainingData(t *testing.T) {
	t.Setenv("CUSTOM_MODEL_PATH", labelled(t))
	dir := t.TempDir()
	t.Setenv("TELLER_DATA_DIR", dir)
	rows := file(t, "rows.jsonl", questions...)
	report := func() (r intentsReport) {
		text, err := evaluate(t, "intents", rows)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal([]byte(text), &r))
		return r
	}
	none := report()
	require.Nil(t, none.Baseline)
	require.Contains(t, none.BaselineReason, "--train")
	require.Nil(t, none.AccuracyWithoutNear)

	write := func(set string, lines ...string) string {
		path := filepath.Join(dir, "datasets", set, "rows.jsonl")
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
		require.NoError(t, os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o600))
		return path
	}
	write("another", row("hello", "greeting"), row("bye", "farewell"))
	write("larger", append(slices.Clone(training), row("transfer", "transfer"))...)
	// The set that the questions are from: its rows are known, but no baseline learns the answers.
	want := write("same", append(slices.Clone(training), questions...)...)
	got := report()
	require.Equal(t, want, got.TrainingData)
	require.Zero(t, got.NWithoutNear)
	require.Nil(t, got.AccuracyWithoutNear)
	require.Equal(t, len(training), got.Baseline.Rows)
}

func TestEvalOfAModelAcrossTheNetwork(t *testing.T) {
	server, err := openaiserver.Start("127.0.0.1:0", "banking")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	t.Setenv("VLLM_BASE_URL", server.URL())
	t.Setenv("VLLM_MODEL", "banking")
	t.Setenv("TELLER_DATA_DIR", t.TempDir())
	rows := file(t, "rows.jsonl", questions...)
	server.Script(fakeserver.Behaviour{Reply: func(r fakeserver.Request) string {
		switch question := r.Messages[len(r.Messages)-1].Text; {
		case strings.Contains(question, "card"):
			return `{"choice":"card"}`
		default:
			return `{"choice":"balance"}`
		}
	}})
	text, err := evaluate(t, "intents", rows, "--model", "qlora", "--limit", "5", "--concurrency", "2")
	require.NoError(t, err)
	var report intentsReport
	require.NoError(t, json.Unmarshal([]byte(text), &report))
	require.Equal(t, 5, report.N)
	require.Equal(t, 4, report.Correct)
	require.Equal(t, 2, report.Concurrency)
	require.Nil(t, report.CalibrationError, "no log-probabilities, no calibration")
	require.Equal(t, "other", report.Confusions[0].Expected)
	requests := server.Requests()
	require.Contains(t, requests[len(requests)-1].Messages[0].Text, "bank's customers", "a general model is told what to do")

	server.SetWindow(100)
	long := file(t, "long.jsonl", append(slices.Clone(questions), row(strings.Repeat("card ", 200), "card"))...)
	text, err = evaluate(t, "intents", long, "--model", "qlora")
	require.NoError(t, err)
	report = intentsReport{}
	require.NoError(t, json.Unmarshal([]byte(text), &report))
	require.Equal(t, 6, report.N, "a question without an answer is no wrong answer")
	require.Equal(t, 1, report.Failed["context_too_long"])

	server.SetModels("another")
	_, err = evaluate(t, "intents", rows, "--model", "qlora")
	require.ErrorContains(t, err, "does not serve the configured model")
}

// scripted fails as it is told, then answers.
type scripted struct {
	llm.Model
	fails []error
	calls int
}

func (s *scripted) Complete(context.Context, llm.Request, func(llm.Delta)) (llm.Completion, error) {
	s.calls++
	if s.calls <= len(s.fails) {
		return llm.Completion{}, s.fails[s.calls-1]
	}
	return llm.Completion{Text: "card"}, nil
}

func TestEvalIsPatient(t *testing.T) {
	failed := func(code llm.Code) error { return &llm.Error{Code: code, Message: string(code)} }
	busy := failed(llm.RateLimited)
	for name, c := range map[string]struct {
		fails []error
		calls int
		says  string           // why the run ends; empty: it goes on
		left  map[llm.Code]int // questions without an answer
	}{
		"busy for a while":     {[]error{busy, failed(llm.Unavailable), busy}, 4, "", nil},
		"busy for long":        {[]error{busy, busy, busy, busy, busy}, 4, "", map[llm.Code]int{llm.RateLimited: 1}},
		"a refused question":   {[]error{failed(llm.Refused)}, 1, "", map[llm.Code]int{llm.Refused: 1}},
		"a wrong key":          {[]error{failed(llm.Unauthenticated)}, 1, "question 1: unauthenticated", nil},
		"something unexpected": {[]error{errors.New("a defect")}, 1, "question 1: a defect", nil},
	} {
		t.Run(name, func(t *testing.T) {
			model := &scripted{fails: c.fails}
			s := subject{Model: model, concurrency: 1, pause: time.Microsecond}
			answers, _, err := s.ask(t.Context(), []string{"Where is my card?"}, []string{"card", "balance"}, newEvalProgress(nil, 1))
			require.Equal(t, c.calls, model.calls)
			if c.says != "" {
				require.ErrorContains(t, err, c.says)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.left, failures(answers))
		})
	}
}

func TestEvalScope(t *testing.T) {
	t.Setenv("CUSTOM_MODEL_PATH", labelled(t))
	t.Setenv("TELLER_DATA_DIR", t.TempDir())
	rows := file(t, "scope.jsonl", `{"input":"What is my balance?","in_scope":true}`, `{"input":"Where is my card?","in_scope":true}`,
		`{"input":"Who won the match?","in_scope":false}`)
	for _, labels := range []string{"balance,card", "balance,card,oos", "@" + file(t, "labels.txt", "balance", "", " card "), "@" + file(t, "rows.jsonl", questions...)} {
		text, err := evaluate(t, "scope", rows, "--labels", labels)
		require.NoError(t, err)
		var report scopeReport
		require.NoError(t, json.Unmarshal([]byte(text), &report))
		require.Equal(t, 3, report.N)
		require.Equal(t, 2, report.InScope)
		require.GreaterOrEqual(t, report.AUROC, 0.0)
		require.LessOrEqual(t, report.AUROC, 1.0)
		require.Positive(t, report.MeanInScope)
	}
	_, err := evaluate(t, "scope", file(t, "one.jsonl", `{"input":"What is my balance?","in_scope":true}`), "--labels", "balance,card")
	require.ErrorContains(t, err, "both kinds are needed")
}

func TestEvalRefusesBadInput(t *testing.T) {
	t.Setenv("CUSTOM_MODEL_PATH", labelled(t))
	t.Setenv("TELLER_DATA_DIR", t.TempDir())
	good := file(t, "rows.jsonl", questions...)
	bad := file(t, "bad.jsonl", questions[0], `{"input":"a"`)
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"a broken line":            {[]string{"intents", bad}, "bad.jsonl:2: not JSON"},
		"a broken training line":   {[]string{"intents", good, "--train", bad}, "bad.jsonl:2: not JSON"},
		"a broken line of scopes":  {[]string{"scope", good}, `rows.jsonl:1: the field "in_scope" is missing`},
		"no file":                  {[]string{"intents", filepath.Join(t.TempDir(), "none")}, "no such file"},
		"one label":                {[]string{"intents", file(t, "one.jsonl", questions[0])}, "there are 1 labels"},
		"a label outside the list": {[]string{"intents", good, "--labels", "balance,card"}, `the label "other", which is none of --labels`},
		"no such model":            {[]string{"intents", good, "--model", "oracle"}, `no model "oracle" is configured: there are custom, qlora, gemini`},
		"a model without its key":  {[]string{"intents", good, "--model", "gemini"}, "GOOGLE_API_KEY is not set"},
		"a label nobody trains":    {[]string{"intents", good, "--train", file(t, "few.jsonl", training[:4]...)}, `has no row of the label "other"`},
		"a negative limit":         {[]string{"intents", good, "--limit=-1"}, "positive"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("GOOGLE_API_KEY", "")
			t.Setenv("GEMINI_API_KEY", "")
			_, err := evaluate(t, c.args...)
			require.ErrorContains(t, err, c.says)
		})
	}
	t.Run("canceled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		cmd := evalIntentsCmd{evalFlags: evalFlags{File: good, Model: "custom"}}
		require.ErrorIs(t, cmd.run(ctx, &bytes.Buffer{}, &bytes.Buffer{}), context.Canceled)
	})
}
