package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"

	"teller/benchmark"
	"teller/benchmark/report"
	"teller/store"
)

type reportBenchmarkCmd struct {
	ID     string `arg:"" help:"The run; it must have ended."`
	Format string `default:"md" enum:"md,csv,junit,html" help:"md: figures as Markdown; csv: one line a case and model; junit: for a CI's list of tests; html: one page with plots, which needs no network."`
	Out    string `help:"The file to write; without it, standard output."`
	Suite  string `help:"The run's suite, by name or path: an HTML page then shows the questions too. A suite that comes with the program is found by itself."`
}

const historyRuns = 100

func (c reportBenchmarkCmd) Run(ctx context.Context) error {
	r, err := newRemote()
	if err != nil {
		return err
	}
	var shown shownRun
	if err := r.get(ctx, "/benchmark/runs/"+url.PathEscape(c.ID), &shown); err != nil {
		return err
	}
	if shown.Run.EndedAt.IsZero() {
		return fmt.Errorf("run %s is going on: %s", c.ID, recordedText(shown.Recorded))
	}
	in := report.Input{Rows: benchmark.RowsOf(shown.Results)}
	if in.Run, err = parseRun(shown.Run.Summary); err != nil {
		return err
	}
	if c.Format == "html" {
		if in.History, err = pastRuns(ctx, r); err != nil {
			return err
		}
		if in.Cases, err = c.cases(in.Run); err != nil {
			return err
		}
	}
	var text bytes.Buffer
	if err := writeReport(&text, c.Format, in); err != nil {
		return err
	}
	if c.Out == "" {
		_, err = os.Stdout.Write(text.Bytes())
		return err
	}
	return os.WriteFile(c.Out, text.Bytes(), 0o600)
}

func writeReport(w io.Writer, format string, in report.Input) error {
	switch format {
	case "csv":
		return report.CSV(w, in.Rows)
	case "junit":
		return report.JUnit(w, in.Run, in.Rows)
	case "html":
		return report.HTML(w, in)
	default:
		return report.Markdown(w, in)
	}
}

// pastRuns are the latest runs that have ended and that this program can read.
func pastRuns(ctx context.Context, r *remote) (runs []benchmark.Run, err error) {
	var list struct {
		Runs []store.BenchmarkRun `json:"runs"`
	}
	if err := r.get(ctx, fmt.Sprintf("/benchmark/runs?limit=%d", historyRuns), &list); err != nil {
		return nil, err
	}
	for _, row := range list.Runs {
		var run benchmark.Run
		if !row.EndedAt.IsZero() && json.Unmarshal(row.Summary, &run) == nil {
			runs = append(runs, run)
		}
	}
	return runs, nil
}

// cases are the run's questions by their ids; nil where nobody here has its suite.
func (c reportBenchmarkCmd) cases(run benchmark.Run) (map[string]benchmark.Case, error) {
	name := c.Suite
	if name == "" {
		name = run.Suite
	}
	suite, err := loadSuite(name)
	if err != nil && c.Suite == "" {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	suite, _ = suite.WithoutJudge()
	if suite.Hash != run.SuiteHash {
		if c.Suite != "" {
			return nil, fmt.Errorf("the run was on other cases than %s holds now", c.Suite)
		}
		return nil, nil
	}
	byID := make(map[string]benchmark.Case, len(suite.Cases))
	for _, one := range suite.Cases {
		byID[one.ID] = one
	}
	return byID, nil
}
