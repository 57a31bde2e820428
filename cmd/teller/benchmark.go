package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/mattn/go-isatty"

	"teller/benchmark"
	"teller/store"
)

type benchmarkCmd struct {
	Run     runBenchmarkCmd     `cmd:"" help:"Measure models on the same cases, as a workflow that outlives what breaks under it, and wait for it."`
	List    listBenchmarksCmd   `cmd:"" help:"List the latest runs."`
	Show    showBenchmarkCmd    `cmd:"" help:"Show a run: figures with their intervals, who leads, who got worse."`
	Compare compareBenchmarkCmd `cmd:"" help:"Compare two runs; exit 1 when a model became significantly worse."`
	Suites  suitesBenchmarkCmd  `cmd:"" help:"List the suites that come with the program."`
	Load    loadBenchmarkCmd    `cmd:"" help:"Ask at a given rate, however slow the answers are, and tell how many come soon enough."`
	Report  reportBenchmarkCmd  `cmd:"" help:"Write a run as Markdown, CSV, JUnit XML or one HTML page."`
}

type suitesBenchmarkCmd struct{}

func (suitesBenchmarkCmd) Run() error {
	for _, name := range benchmark.ShippedNames() {
		suite, err := benchmark.Shipped(name)
		if err != nil {
			return err
		}
		fmt.Printf("%-12s %5d cases  %.12s\n", name, len(suite.Cases), suite.Hash)
	}
	return nil
}

type runBenchmarkCmd struct {
	Suite       string   `default:"banking" help:"A suite that comes with the program, a file in promptfoo's test-case shape (YAML, JSON, JSONL), or a folder of them."`
	Models      []string `help:"The models to measure, separated by commas; without it, all."`
	Seed        *uint64  `help:"Of the cases' order, and of models that sample."`
	Concurrency *int     `help:"How many calls to one model are open at once."`
	Judge       string   `help:"The model that grades llm-rubric; without it, the configured one, and where there is none such cases are left out." predictor:"model"`
	NoWait      bool     `help:"Don't wait for the run to end."`
	JSON        bool     `name:"json" help:"Print the run as JSON."`
}

func (c runBenchmarkCmd) Run(ctx context.Context) error {
	r, err := newRemote()
	if err != nil {
		return err
	}
	body := map[string]any{"suite": c.Suite}
	if !slices.Contains(benchmark.ShippedNames(), c.Suite) {
		name, files, err := suiteFiles(c.Suite)
		if err != nil {
			return err
		}
		body["suite"], body["files"] = name, files
	}
	if len(c.Models) > 0 {
		body["models"] = c.Models
	}
	if c.Judge != "" {
		body["judge"] = c.Judge
	}
	if c.Seed != nil {
		body["seed"] = *c.Seed
	}
	if c.Concurrency != nil {
		body["concurrency"] = *c.Concurrency
	}
	var started struct {
		RunID  string `json:"run_id"`
		Status string `json:"status"`
	}
	if err := r.json(ctx, http.MethodPost, "/benchmark/run", body, &started); err != nil {
		return err
	}
	if started.Status == "running" {
		fmt.Fprintln(os.Stderr, "a run is going on already; this one waits for it instead")
	}
	fmt.Fprintln(os.Stderr, "run", started.RunID)
	if c.NoWait {
		return nil
	}
	run, err := awaitRun(ctx, r, started.RunID)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(os.Stdout, run)
	}
	return printRun(os.Stdout, run)
}

// suiteFiles reads a suite, which checks it here, and gives the files that it is made of by their paths within it.
func suiteFiles(path string) (name string, files map[string]string, err error) {
	dir, base := filepath.Dir(filepath.Clean(path)), filepath.Base(filepath.Clean(path))
	root := readFS{os.DirFS(dir), map[string]bool{}}
	suite, err := benchmark.Load(root, base)
	if err != nil {
		return "", nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, note := range suite.Notes {
		fmt.Fprintln(os.Stderr, "note:", note)
	}
	files = map[string]string{}
	for file := range root.read {
		text, err := fs.ReadFile(root.FS, file)
		if err != nil {
			return "", nil, fmt.Errorf("%s: %w", path, err)
		}
		files[strings.TrimPrefix(file, base+"/")] = string(text)
	}
	return suite.Name, files, nil
}

// readFS notes which files were read.
type readFS struct {
	fs.FS
	read map[string]bool
}

func (r readFS) Open(name string) (fs.File, error) {
	file, err := r.FS.Open(name)
	if err == nil {
		if info, err := file.Stat(); err == nil && info.Mode().IsRegular() {
			r.read[name] = true
		}
	}
	return file, err
}

// shownRun is a run as the API shows it.
type shownRun struct {
	Run      store.BenchmarkRun     `json:"run"`
	Recorded map[string]int         `json:"recorded"`
	Results  []benchmark.CaseResult `json:"results"`
}

const beginsWithin = 2 * time.Minute

// awaitRun waits for a run's end and tells how far it is.
func awaitRun(ctx context.Context, r *remote, id string) (benchmark.Run, error) {
	progress := isatty.IsTerminal(os.Stderr.Fd())
	asked := time.Now()
	for {
		var shown shownRun
		err := r.get(ctx, "/benchmark/runs/"+url.PathEscape(id)+"?results=false", &shown)
		var missing *apiError
		switch {
		case err == nil:
		case !asAPIError(err, &missing) || missing.Status != http.StatusNotFound:
			return benchmark.Run{}, err
		case time.Since(asked) > beginsWithin: // until its first activity has run, nobody knows it
			return benchmark.Run{}, fmt.Errorf("run %s has not begun for %s: is a worker running? It goes on when one does", id, beginsWithin)
		}
		if progress {
			fmt.Fprintf(os.Stderr, "\r%s\x1b[K", recordedText(shown.Recorded))
		}
		if err == nil && !shown.Run.EndedAt.IsZero() {
			if progress {
				fmt.Fprint(os.Stderr, "\r\x1b[K")
			}
			return parseRun(shown.Run.Summary)
		}
		select {
		case <-ctx.Done():
			fmt.Fprintf(os.Stderr, "\nThe run goes on; 'teller benchmark show %s' shows it.\n", id)
			return benchmark.Run{}, ctx.Err()
		case <-time.After(500 * time.Millisecond):
		}
	}
}

func recordedText(recorded map[string]int) string {
	parts := make([]string, 0, len(recorded))
	for _, model := range slices.Sorted(maps.Keys(recorded)) {
		parts = append(parts, fmt.Sprintf("%s %d", model, recorded[model]))
	}
	if len(parts) == 0 {
		return "beginning"
	}
	return "cases answered: " + strings.Join(parts, ", ")
}

func parseRun(summary json.RawMessage) (benchmark.Run, error) {
	var run benchmark.Run
	if err := json.Unmarshal(summary, &run); err != nil {
		return run, fmt.Errorf("the run's summary is none that this program knows: %w", err)
	}
	return run, nil
}

type listBenchmarksCmd struct {
	Limit int  `default:"20" help:"The most to list, 1 to 100."`
	JSON  bool `name:"json" help:"Print the API's answer as JSON."`
}

func (c listBenchmarksCmd) Run(ctx context.Context) error {
	r, err := newRemote()
	if err != nil {
		return err
	}
	var list struct {
		Runs []store.BenchmarkRun `json:"runs"`
	}
	if err := r.get(ctx, fmt.Sprintf("/benchmark/runs?limit=%d", c.Limit), &list); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(os.Stdout, list)
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "RUN\tSUITE\tCAUSE\tSTARTED\tTOOK\tACCURACY")
	for _, row := range list.Runs {
		took, accuracy := "running", ""
		if !row.EndedAt.IsZero() {
			took = row.EndedAt.Sub(row.StartedAt).Round(time.Second).String()
			if run, err := parseRun(row.Summary); err == nil {
				accuracy = accuracyText(run)
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", row.ID, row.Suite, row.Cause, row.StartedAt.Local().Format(time.DateTime), took, accuracy)
	}
	return w.Flush()
}

func accuracyText(run benchmark.Run) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(run.Models)) {
		if m := run.Models[name]; m.Accuracy.Value != nil {
			parts = append(parts, fmt.Sprintf("%s %.1f%%", name, 100**m.Accuracy.Value))
		} else {
			parts = append(parts, fmt.Sprintf("%s %s", name, m.Status))
		}
	}
	return strings.Join(parts, ", ")
}
