package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"teller/evaluation"
	"teller/llm"
)

type evalIntentsCmd struct {
	evalFlags
	Train   string `type:"existingfile" placeholder:"FILE" help:"JSON lines {\"input\",\"expected\"} that a model of these labels is trained on: the linear baseline learns from them, and near-duplicates of them are left out of a second accuracy. Default: an imported data set or the corpus, whichever has the labels."`
	Diagram string `type:"path" placeholder:"FILE.svg" help:"Write the reliability diagram here."`
}

// Help is shown by 'teller eval intents --help'.
func (evalIntentsCmd) Help() string {
	return `Reads rows {"input","expected"}, lets the model choose among the labels that occur in them (or --labels), and prints one
JSON object. docs/evaluation.md says what each figure means.

  teller eval intents validation.jsonl
  teller eval intents validation.jsonl --train train.jsonl --out choices.jsonl --diagram reliability.svg
  teller eval intents validation.jsonl --model gemini --limit 200 --concurrency 4

--out has {"index","expected","choice","probability"} for each row, or {"index","expected","error"} with the code of the failure.`
}

// intentsReport is what 'teller eval intents' prints.
type intentsReport struct {
	File         string `json:"file"`
	Model        string `json:"model"`
	ModelVersion string `json:"model_version"`
	Device       string `json:"device"`
	Labels       int    `json:"labels"`

	N      int              `json:"n"` // rows that the model chose a label for
	Failed map[llm.Code]int `json:"failed,omitempty"`

	Correct          int                 `json:"correct"`
	Accuracy         float64             `json:"accuracy"`
	AccuracyInterval evaluation.Interval `json:"accuracy_interval"`
	MacroF1          float64             `json:"macro_f1"`

	// Of the rows whose choice came with a probability; nil without any.
	CalibrationError *float64 `json:"expected_calibration_error"`
	Brier            *float64 `json:"brier_score"`

	// Of the rows that resemble no training row; nil without training data or without such rows.
	AccuracyWithoutNear *float64             `json:"accuracy_without_near_duplicates"`
	IntervalWithoutNear *evaluation.Interval `json:"accuracy_without_near_duplicates_interval,omitempty"`
	NWithoutNear        int                  `json:"n_without_near_duplicates"`

	TrainingData   string          `json:"training_data,omitempty"`
	Baseline       *baselineReport `json:"baseline"`
	BaselineReason string          `json:"baseline_reason,omitempty"` // why there is none

	MsPerRow    float64               `json:"ms_per_row"` // of the whole run, which asks several rows at once
	Concurrency int                   `json:"concurrency"`
	Confusions  []evaluation.Confused `json:"confusions"`
}

type baselineReport struct {
	Name     string              `json:"name"`
	Accuracy float64             `json:"accuracy"`
	Interval evaluation.Interval `json:"interval"`
	N        int                 `json:"n"`
	Rows     int                 `json:"training_rows"`
}

// intentLine is a line of --out.
type intentLine struct {
	Index       int      `json:"index"` // of the row, 0 upward
	Expected    string   `json:"expected"`
	Choice      string   `json:"choice,omitempty"`
	Probability *float64 `json:"probability,omitempty"`
	Error       llm.Code `json:"error,omitempty"`
}

const topConfusions = 10

// Run evaluates and prints the report.
func (c evalIntentsCmd) Run(ctx context.Context) error { return c.run(ctx, os.Stdout, os.Stderr) }

func (c evalIntentsCmd) run(ctx context.Context, out, terminal io.Writer) (err error) {
	rows, labels, err := c.questions()
	if err != nil {
		return err
	}
	training, reason, err := trainingFor(c.Train, labels)
	if err != nil {
		return err
	}
	s, err := c.open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	questions := make([]string, len(rows))
	for i, r := range rows {
		questions[i] = r.Input
	}
	show := newEvalProgress(terminal, len(rows))
	answers, took, err := s.ask(ctx, questions, labels, show)
	show.end()
	if err != nil {
		return err
	}
	report := intentsReport{
		File: c.File, Model: s.name, ModelVersion: s.status.Version, Device: s.status.Device, Labels: len(labels),
		Failed: failures(answers), Concurrency: s.concurrency, MsPerRow: took.Seconds() * 1000 / float64(len(rows)),
		BaselineReason: reason,
	}
	bins := report.count(rows, answers)
	if training != nil {
		if err := report.compare(ctx, rows, questions, answers, training); err != nil {
			return err
		}
	}
	if c.Out != "" {
		err := writeLines(c.Out, len(rows), func(i int) any { return intentLineOf(i, rows[i], answers[i]) })
		if err != nil {
			return err
		}
	}
	if c.Diagram != "" {
		title := fmt.Sprintf("%s on %d questions of %d labels", s.status.Version, report.N, len(labels))
		if err := os.WriteFile(c.Diagram, evaluation.ReliabilitySVG(title, bins), 0o644); err != nil {
			return err
		}
	}
	return printJSON(out, report)
}

// questions gives the rows to ask and the labels to choose among.
func (c evalIntentsCmd) questions() (rows []evaluation.Row, labels []string, err error) {
	if rows, err = readRows(c.File); err != nil {
		return nil, nil, err
	}
	if labels, err = c.labels(); err != nil {
		return nil, nil, err
	}
	if labels == nil {
		labels = labelsOf(rows) // of the whole file: --limit makes the question no easier
	}
	if len(labels) < 2 || len(labels) > llm.MaxChoices {
		return nil, nil, fmt.Errorf("there are %d labels to choose among, must be from 2 to %d", len(labels), llm.MaxChoices)
	}
	if c.Limit > 0 {
		rows = rows[:min(c.Limit, len(rows))]
	}
	for _, r := range rows {
		if !slices.Contains(labels, r.Expected) {
			return nil, nil, fmt.Errorf("%s expects the label %q, which is none of --labels", c.File, r.Expected)
		}
	}
	return rows, labels, nil
}

// count fills in what the answers alone say, and gives the bins of the reliability diagram.
func (r *intentsReport) count(rows []evaluation.Row, answers []asked) []evaluation.Bin {
	var expected, choices []string
	var confidence []float64
	var right []bool
	for i, a := range answers {
		if a.fail != nil {
			continue
		}
		expected, choices = append(expected, rows[i].Expected), append(choices, a.out.Text)
		if p := a.probability(); p != nil {
			confidence, right = append(confidence, *p), append(right, a.out.Text == rows[i].Expected)
		}
	}
	r.N, r.Correct = len(expected), evaluation.Right(expected, choices)
	r.Accuracy = share(r.Correct, r.N)
	r.AccuracyInterval = evaluation.Wilson95(r.Correct, r.N)
	r.MacroF1 = evaluation.MacroF1(expected, choices)
	r.Confusions = evaluation.TopConfusions(expected, choices, topConfusions)
	bins := evaluation.Reliability(confidence, right, evaluation.ReliabilityBins)
	if len(confidence) > 0 {
		r.CalibrationError, r.Brier = new(evaluation.ExpectedCalibrationError(bins)), new(evaluation.Brier(confidence, right))
	}
	return bins
}

// compare fills in what the training data say: near-duplicates and the baseline.
func (r *intentsReport) compare(ctx context.Context, rows []evaluation.Row, questions []string, answers []asked, training *trainingData) error {
	r.TrainingData = training.name
	inputs := make([]string, len(training.rows))
	for i, row := range training.rows {
		inputs[i] = row.Input
	}
	known := evaluation.NewTexts(inputs)
	correct := 0
	for i, row := range rows {
		if answers[i].fail == nil && !known.HasNearDuplicate(row.Input) {
			r.NWithoutNear++
			if answers[i].out.Text == row.Expected {
				correct++
			}
		}
	}
	if r.NWithoutNear > 0 {
		r.AccuracyWithoutNear = new(share(correct, r.NWithoutNear))
		r.IntervalWithoutNear = new(evaluation.Wilson95(correct, r.NWithoutNear))
	}
	learned := training.without(questions)
	baseline, err := evaluation.TrainBaseline(ctx, learned, 1)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		r.BaselineReason = "nothing is left to train on once the questions themselves are left out: " + err.Error()
		return nil
	}
	correct = 0
	for _, row := range rows {
		if baseline.Predict(row.Input) == row.Expected {
			correct++
		}
	}
	r.Baseline = &baselineReport{
		Name: evaluation.BaselineName, Accuracy: share(correct, len(rows)), Interval: evaluation.Wilson95(correct, len(rows)), N: len(rows), Rows: len(learned),
	}
	return nil
}

func intentLineOf(i int, row evaluation.Row, a asked) intentLine {
	if a.fail != nil {
		return intentLine{Index: i, Expected: row.Expected, Error: a.fail.Code}
	}
	return intentLine{Index: i, Expected: row.Expected, Choice: a.out.Text, Probability: a.probability()}
}

func share(part, of int) float64 { return float64(part) / float64(max(of, 1)) }
