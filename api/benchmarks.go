package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing/fstest"
	"time"

	"github.com/gin-gonic/gin"

	"teller/activities"
	"teller/benchmark"
	"teller/internal/strictjson"
	"teller/store"
	"teller/workflows"
)

// benchmarkRequest is the body of POST /benchmark/run.
type benchmarkRequest struct {
	// Suite is a shipped suite's name or the hash of one that was sent before. Files are the files of another, by name, in
	// promptfoo's shape; Suite is then what to call it.
	Suite       string            `json:"suite"`
	Files       map[string]string `json:"files"`
	Models      []string          `json:"models"`
	Seed        *uint64           `json:"seed"`
	Concurrency *int              `json:"concurrency"`
	// Judge is the model that grades rubrics; "" leaves them out.
	Judge *string `json:"judge"`
}

// benchmarkStarted is its answer.
type benchmarkStarted struct {
	RunID     string `json:"run_id"`
	Status    string `json:"status"` // "started", or "running" where a run that was going on was joined
	Suite     string `json:"suite"`
	SuiteHash string `json:"suite_hash,omitempty"`
}

const maxBenchmarkConcurrency = 100

// runBenchmark answers POST /benchmark/run.
func (s *server) runBenchmark(c *gin.Context) {
	req := benchmarkRequest{Suite: s.Benchmark.Suite}
	p := decode(c, &req)
	in := s.Benchmark
	in.Cause = "api"
	if p == nil {
		p = s.benchmarkInput(req, &in)
	}
	name := req.Suite
	if p == nil && len(req.Files) > 0 {
		in.Suite, p = s.keepSuite(c, req, in.Judge != nil)
	} else if p == nil {
		name, p = s.knownSuite(c, req.Suite, in.Judge != nil)
	}
	if p != nil {
		writeError(c, p)
		return
	}
	id, joined, err := s.Turns.StartBenchmark(c.Request.Context(), "api", in)
	if err != nil {
		writeError(c, err)
		return
	}
	out := benchmarkStarted{RunID: id, Status: "started", Suite: name}
	if in.Suite != name {
		out.SuiteHash = in.Suite
	}
	if joined {
		out.Status = "running"
	}
	c.JSON(http.StatusAccepted, out)
}

// benchmarkInput checks a request and takes it over into in.
func (s *server) benchmarkInput(req benchmarkRequest, in *workflows.BenchmarkInput) *problem {
	in.Suite = req.Suite
	in.Promote = in.Promote && req.Suite == s.Benchmark.Suite && len(req.Files) == 0
	if req.Suite == "" || len(req.Suite) > 128 {
		return invalid("suite", "suite must be the name of a suite, such as "+benchmark.ShippedNames()[0])
	}
	if req.Seed != nil {
		in.Seed = *req.Seed
	}
	if req.Concurrency != nil {
		if *req.Concurrency < 1 || *req.Concurrency > maxBenchmarkConcurrency {
			return invalid("concurrency", fmt.Sprintf("concurrency must be from 1 to %d", maxBenchmarkConcurrency))
		}
		in.Concurrency = *req.Concurrency
	}
	if req.Judge != nil {
		in.Judge = nil
		if *req.Judge != "" {
			target, ok := s.target(*req.Judge)
			if !ok {
				return invalid("judge", "judge must be the name of a configured model, or empty: GET /models lists them")
			}
			in.Judge = &target
		}
	}
	if len(req.Models) == 0 {
		return nil
	}
	in.Models = nil
	for i, name := range req.Models {
		target, ok := s.target(name)
		if !ok || slices.Contains(req.Models[:i], name) {
			return invalid("models", fmt.Sprintf("models must be names of configured models, each once; %q is not: GET /models lists them", strictjson.Shortened(name)))
		}
		in.Models = append(in.Models, target)
	}
	return nil
}

// knownSuite gives the name of a suite that there is and that can be graded.
func (s *server) knownSuite(c *gin.Context, suite string, judged bool) (string, *problem) {
	if slices.Contains(benchmark.ShippedNames(), suite) {
		return suite, nil
	}
	name, _, err := s.Store.Suite(c.Request.Context(), suite)
	switch {
	case errors.Is(err, store.ErrNoSuite):
		return "", invalid("suite", fmt.Sprintf("there is no suite %q: suite must be one of %s, the hash of one that was sent before, or the name of one in files",
			strictjson.Shortened(suite), strings.Join(benchmark.ShippedNames(), ", ")))
	case err != nil:
		return "", s.storeDown(c, err)
	}
	if judged {
		return name, nil
	}
	cases, err := s.suiteCases(c, suite)
	if err != nil {
		return "", s.storeDown(c, err)
	}
	for _, one := range cases {
		if one.NeedsJudge() {
			return "", invalid("judge", "the suite holds cases that a model must grade: judge must name it")
		}
	}
	return name, nil
}

// keepSuite stores the suite that a request carries, without its rubrics unless they are judged, and gives its hash.
func (s *server) keepSuite(c *gin.Context, req benchmarkRequest, judged bool) (string, *problem) {
	const folder = "suite" // of names that the caller chose
	files := fstest.MapFS{}
	for name, text := range req.Files {
		if name == "." || !fs.ValidPath(name) {
			return "", invalid("files", fmt.Sprintf("%q is no name of a file: it must be a path such as cards.yaml or cards/block.yaml", strictjson.Shortened(name)))
		}
		files[folder+"/"+name] = &fstest.MapFile{Data: []byte(text)}
	}
	suite, err := benchmark.Load(files, folder)
	if err != nil {
		return "", invalid("files", shortened(strings.ReplaceAll(err.Error(), folder+"/", "")))
	}
	if !judged {
		suite, _ = suite.WithoutJudge()
	}
	if len(suite.Cases) == 0 {
		return "", invalid("files", "the suite holds only cases that a model must grade, which is off: judge names one")
	}
	bodies, err := activities.CaseBodies(suite)
	if err != nil {
		return "", invalid("files", shortened(strings.ReplaceAll(err.Error(), folder+"/", "")))
	}
	if err := s.Store.KeepSuite(c.Request.Context(), suite.Hash, req.Suite, bodies); err != nil {
		return "", s.storeDown(c, err)
	}
	return suite.Hash, nil
}

// shortened keeps a message that quotes a file readable.
func shortened(message string) string {
	const most = 400
	if len(message) <= most {
		return message
	}
	return strings.ToValidUTF8(message[:most], "") + " ..."
}

// benchmarkSummary is the body of GET /benchmark/summary.
type benchmarkSummary struct {
	Latest  json.RawMessage      `json:"latest"`  // the latest run that has ended; null before the first
	Running []store.BenchmarkRun `json:"running"` // runs that are going on
	// Winner leads the latest run, and Significant tells whether its lead is more than chance.
	Winner      string   `json:"winner,omitempty"`
	Significant bool     `json:"significant"`
	Regressions []string `json:"regressions"` // models that became significantly worse with the latest run
	Trend       []trend  `json:"trend"`       // the latest runs of the same suite, newest first
}

// trend is a run in a few figures.
type trend struct {
	RunID   string                 `json:"run_id"`
	EndedAt time.Time              `json:"ended_at"`
	Cause   string                 `json:"cause"`
	Models  map[string]trendFigure `json:"models"`
}

type trendFigure struct {
	Status           benchmark.Status `json:"status"`
	Accuracy         *float64         `json:"accuracy"`
	AverageLatencyMs *float64         `json:"avg_latency_ms"`
}

const trendRuns = 20

func (s *server) benchmarkSummary(c *gin.Context) {
	out := benchmarkSummary{Latest: json.RawMessage("null"), Running: []store.BenchmarkRun{}, Regressions: []string{}, Trend: []trend{}}
	runs, err := s.Store.Runs(c.Request.Context(), "", false, trendRuns)
	var ended []store.BenchmarkRun
	if err == nil {
		ended, err = s.Store.Runs(c.Request.Context(), "", true, trendRuns)
	}
	if err != nil {
		writeError(c, s.storeDown(c, err))
		return
	}
	for _, run := range runs {
		if run.EndedAt.IsZero() {
			out.Running = append(out.Running, run)
		}
	}
	var latest *store.BenchmarkRun
	for i, run := range ended {
		if latest == nil || run.EndedAt.After(latest.EndedAt) {
			latest = &ended[i]
		}
	}
	if latest == nil {
		c.JSON(http.StatusOK, out)
		return
	}
	out.Latest = latest.Summary
	var run benchmark.Run
	if err := json.Unmarshal(latest.Summary, &run); err != nil {
		writeError(c, s.storeDown(c, fmt.Errorf("the summary of run %s: %w", latest.ID, err)))
		return
	}
	if lead, ok := benchmark.Winner(run); ok {
		out.Winner, out.Significant = lead.Model, lead.Significant
	}
	out.Regressions = append(out.Regressions, regressions(run)...)
	same, err := s.Store.Runs(c.Request.Context(), latest.SuiteHash, true, trendRuns)
	if err != nil {
		writeError(c, s.storeDown(c, err))
		return
	}
	for _, row := range same {
		var run benchmark.Run
		if json.Unmarshal(row.Summary, &run) != nil {
			continue // a newer program's, which this one cannot read
		}
		point := trend{RunID: row.ID, EndedAt: row.EndedAt, Cause: row.Cause, Models: map[string]trendFigure{}}
		for name, m := range run.Models {
			point.Models[name] = trendFigure{m.Status, m.Accuracy.Value, m.AverageLatencyMS}
		}
		out.Trend = append(out.Trend, point)
	}
	c.JSON(http.StatusOK, out)
}

// regressions are the models that became significantly worse, each once.
func regressions(run benchmark.Run) (names []string) {
	if run.Changes == nil {
		return nil
	}
	for _, change := range run.Changes.Worse() {
		if !slices.Contains(names, change.Model) {
			names = append(names, change.Model)
		}
	}
	return names
}

// benchmarkRuns lists runs.
func (s *server) benchmarkRuns(c *gin.Context) {
	limit := conversationsPage
	if text := c.Query("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxConversationsPage {
			writeError(c, invalid("limit", fmt.Sprintf("limit must be from 1 to %d", maxConversationsPage)))
			return
		}
	}
	runs, err := s.Store.Runs(c.Request.Context(), "", false, limit)
	if err != nil {
		writeError(c, s.storeDown(c, err))
		return
	}
	c.JSON(http.StatusOK, gin.H{"runs": runs})
}

// benchmarkRun gives one run with each case of each model, or with ?results=false without them. Results are written as they are
// read: there may be many. With ?format= it is a report instead.
func (s *server) benchmarkRun(c *gin.Context) {
	format, reported, p := formatQuery(c)
	if p != nil {
		writeError(c, p)
		return
	}
	run, err := s.Store.Run(c.Request.Context(), c.Param("id"))
	switch {
	case errors.Is(err, store.ErrNoRun):
		writeError(c, notFound("there is no such benchmark run"))
		return
	case err != nil:
		writeError(c, s.storeDown(c, err))
		return
	}
	if reported {
		s.writeReport(c, format, run)
		return
	}
	recorded, err := s.Store.Recorded(c.Request.Context(), run.ID)
	if err != nil {
		writeError(c, s.storeDown(c, err))
		return
	}
	withResults, err := strconv.ParseBool(c.DefaultQuery("results", "true"))
	if err != nil {
		writeError(c, invalid("results", "results must be true or false"))
		return
	}
	if !withResults {
		c.JSON(http.StatusOK, gin.H{"run": run, "recorded": recorded})
		return
	}
	head, err := json.Marshal(gin.H{"run": run, "recorded": recorded})
	if err != nil {
		writeError(c, s.storeDown(c, err))
		return
	}
	c.Header("Content-Type", "application/json; charset=utf-8")
	c.Status(http.StatusOK)
	write := func(text []byte) bool { _, err := c.Writer.Write(text); return err == nil }
	if !write(head[:len(head)-1]) || !write([]byte(`,"results":[`)) {
		return
	}
	first := true
	for row, err := range s.Store.Results(c.Request.Context(), run.ID, c.Query("model")) {
		if err != nil {
			// The status is out; a body that is cut off is no JSON, so nobody takes it for the whole.
			s.Log.Error("a benchmark's results were cut off", "run", run.ID, "error", err, "request_id", c.GetString(requestIDKey))
			return
		}
		if !first && !write([]byte(",")) {
			return
		}
		first = false
		if !write(row.Body) {
			return
		}
	}
	write([]byte("]}"))
}
