package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"

	"github.com/gin-gonic/gin"

	"teller/benchmark"
	"teller/benchmark/report"
	"teller/internal/strictjson"
	"teller/store"
)

// reportFormat is a form, other than JSON, in which a run is given.
type reportFormat struct {
	contentType string
	write       func(w io.Writer, in report.Input) error
}

var reportFormats = map[string]reportFormat{
	"markdown": {"text/markdown; charset=utf-8", report.Markdown},
	"csv":      {"text/csv; charset=utf-8", func(w io.Writer, in report.Input) error { return report.CSV(w, in.Rows) }},
	"junit":    {"application/xml; charset=utf-8", func(w io.Writer, in report.Input) error { return report.JUnit(w, in.Run, in.Rows) }},
	"html":     {"text/html; charset=utf-8", report.HTML},
}

const (
	reportedHistory = 100
	// maxReportedCases bounds the suites whose questions stand in an HTML page: it holds them in memory.
	maxReportedCases = 10_000
)

// formatQuery reads ?format=; ok is false for JSON.
func formatQuery(c *gin.Context) (format reportFormat, ok bool, p *problem) {
	name := c.DefaultQuery("format", "json")
	if name == "json" {
		return reportFormat{}, false, nil
	}
	if format, ok = reportFormats[name]; !ok {
		return format, false, invalid("format", fmt.Sprintf("format must be json, markdown, csv, junit or html; %q is none", strictjson.Shortened(name)))
	}
	return format, true, nil
}

// writeReport writes a run that has ended. A failure in the middle cuts the connection, so that nobody takes a part for the whole.
func (s *server) writeReport(c *gin.Context, format reportFormat, row store.BenchmarkRun) {
	if row.EndedAt.IsZero() {
		writeError(c, &problem{status: http.StatusConflict, kind: invalidRequestType, code: "not_ended",
			message: "the run has not ended, and only format=json shows it until then"})
		return
	}
	in, err := s.reportInput(c, row)
	if err == nil {
		err = format.write(&headedWriter{c.Writer, format.contentType}, in)
	}
	switch {
	case err == nil:
	case !c.Writer.Written():
		writeError(c, s.storeDown(c, err))
	default:
		s.Log.Error("a benchmark's report was cut off", "run", row.ID, "error", err, "request_id", c.GetString(requestIDKey))
		panic(http.ErrAbortHandler)
	}
}

// headedWriter sets a report's headers with its first bytes: what fails before them is answered as an error.
type headedWriter struct {
	gin.ResponseWriter
	contentType string
}

func (w *headedWriter) Write(text []byte) (int, error) {
	if !w.Written() {
		w.Header().Set("Content-Type", w.contentType)
		// An HTML page holds all that it needs, and what models said. Shut in like this, it reaches neither the network nor this origin.
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; sandbox allow-scripts")
		w.Header().Set("X-Content-Type-Options", "nosniff")
	}
	return w.ResponseWriter.Write(text)
}

// WriteString writes as Write does.
func (w *headedWriter) WriteString(text string) (int, error) { return w.Write([]byte(text)) }

func (s *server) reportInput(c *gin.Context, row store.BenchmarkRun) (in report.Input, err error) {
	ctx := c.Request.Context()
	if err := json.Unmarshal(row.Summary, &in.Run); err != nil {
		return in, fmt.Errorf("the summary of run %s: %w", row.ID, err)
	}
	in.Rows = caseResults(s.Store.Results(ctx, row.ID, c.Query("model")))
	same, err := s.Store.Runs(ctx, row.SuiteHash, true, reportedHistory)
	if err != nil {
		return in, err
	}
	for _, earlier := range same {
		var run benchmark.Run
		if json.Unmarshal(earlier.Summary, &run) == nil && !earlier.EndedAt.After(row.EndedAt) {
			in.History = append(in.History, run)
		}
	}
	in.Cases, err = s.suiteCases(c, row.SuiteHash)
	return in, err
}

// caseResults reads rows.
func caseResults(rows iter.Seq2[store.CaseRow, error]) benchmark.Rows {
	return func(yield func(benchmark.CaseResult, error) bool) {
		for row, err := range rows {
			var result benchmark.CaseResult
			if err == nil {
				err = json.Unmarshal(row.Body, &result)
			}
			if !yield(result, err) || err != nil {
				return
			}
		}
	}
}

// suiteCases are the questions of a kept suite by their ids; nil for a suite that nobody keeps any more, or a very large one.
func (s *server) suiteCases(c *gin.Context, hash string) (map[string]benchmark.Case, error) {
	_, n, err := s.Store.Suite(c.Request.Context(), hash)
	if errors.Is(err, store.ErrNoSuite) || n > maxReportedCases {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	positions := make([]int, n)
	for i := range positions {
		positions[i] = i
	}
	bodies, err := s.Store.SuiteCases(c.Request.Context(), hash, positions)
	if err != nil {
		return nil, err
	}
	cases := make(map[string]benchmark.Case, n)
	for _, body := range bodies {
		var one benchmark.Case
		if err := json.Unmarshal(body, &one); err != nil {
			return nil, fmt.Errorf("a kept case: %w", err)
		}
		cases[one.ID] = one
	}
	return cases, nil
}
