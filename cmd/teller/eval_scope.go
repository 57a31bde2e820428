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
	"teller/transformer"
)

type evalScopeCmd struct{ evalFlags }

// Help is shown by 'teller eval scope --help'.
func (evalScopeCmd) Help() string {
	return `Reads rows {"input","in_scope"} and prints how well the model's confidence tells the two kinds apart (AUROC; 0.5 is a coin).
With --labels it is the confidence of the model's choice among them, without it that of its free reply. The label "oos" is left
out of the choices: a model that is sure of it is sure that the question is out of scope.

  teller eval scope questions.jsonl --labels @validation.jsonl`
}

// scopeReport is what 'teller eval scope' prints.
type scopeReport struct {
	File         string `json:"file"`
	Model        string `json:"model"`
	ModelVersion string `json:"model_version"`
	Device       string `json:"device"`
	Labels       int    `json:"labels"` // 0: free replies

	N          int              `json:"n"` // rows with a confidence
	InScope    int              `json:"in_scope"`
	OutOfScope int              `json:"out_of_scope"`
	Failed     map[llm.Code]int `json:"failed,omitempty"`

	AUROC          float64 `json:"auroc"`
	MeanInScope    float64 `json:"mean_confidence_in_scope"`
	MeanOutOfScope float64 `json:"mean_confidence_out_of_scope"`

	MsPerRow    float64 `json:"ms_per_row"`
	Concurrency int     `json:"concurrency"`
}

// scopeLine is a line of --out.
type scopeLine struct {
	Index      int      `json:"index"`
	InScope    bool     `json:"in_scope"`
	Choice     string   `json:"choice,omitempty"`
	Confidence *float64 `json:"confidence,omitempty"`
	Error      llm.Code `json:"error,omitempty"`
}

// Run evaluates and prints the report.
func (c evalScopeCmd) Run(ctx context.Context) error { return c.run(ctx, os.Stdout, os.Stderr) }

func (c evalScopeCmd) run(ctx context.Context, out, terminal io.Writer) (err error) {
	rows, err := readScopeRows(c.File)
	if err != nil {
		return err
	}
	if c.Limit > 0 {
		rows = rows[:min(c.Limit, len(rows))]
	}
	labels, err := c.labels()
	if err != nil {
		return err
	}
	labels = slices.DeleteFunc(labels, func(label string) bool { return label == transformer.OutOfScopeLabel })
	if labels != nil && (len(labels) < 2 || len(labels) > llm.MaxChoices) {
		return fmt.Errorf("there are %d labels to choose among, must be from 2 to %d", len(labels), llm.MaxChoices)
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
	report := scopeReport{
		File: c.File, Model: s.name, ModelVersion: s.status.Version, Device: s.status.Device, Labels: len(labels),
		Failed: failures(answers), Concurrency: s.concurrency, MsPerRow: took.Seconds() * 1000 / float64(len(rows)),
	}
	if err := report.count(rows, answers); err != nil {
		return err
	}
	if c.Out != "" {
		err := writeLines(c.Out, len(rows), func(i int) any {
			line := scopeLine{Index: i, InScope: rows[i].InScope}
			if a := answers[i]; a.fail != nil {
				line.Error = a.fail.Code
			} else {
				line.Confidence = a.out.Confidence
				if labels != nil {
					line.Choice = a.out.Text
				}
			}
			return line
		})
		if err != nil {
			return err
		}
	}
	return printJSON(out, report)
}

func (r *scopeReport) count(rows []evaluation.ScopeRow, answers []asked) error {
	var scores []float64
	var in []bool
	for i, a := range answers {
		if a.fail != nil || a.out.Confidence == nil {
			continue
		}
		scores, in = append(scores, *a.out.Confidence), append(in, rows[i].InScope)
		if rows[i].InScope {
			r.InScope++
			r.MeanInScope += *a.out.Confidence
		} else {
			r.OutOfScope++
			r.MeanOutOfScope += *a.out.Confidence
		}
	}
	r.N = len(scores)
	if r.InScope == 0 || r.OutOfScope == 0 {
		return fmt.Errorf("%d questions in scope and %d out of scope got a reply with a confidence: both kinds are needed", r.InScope, r.OutOfScope)
	}
	r.MeanInScope /= float64(r.InScope)
	r.MeanOutOfScope /= float64(r.OutOfScope)
	r.AUROC = evaluation.AUROC(scores, in)
	return nil
}
