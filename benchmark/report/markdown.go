package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"teller/benchmark"
)

// Markdown writes the run's tables as GitHub renders them.
func Markdown(w io.Writer, in Input) error {
	run := in.Run
	var s strings.Builder
	fmt.Fprintf(&s, "# Benchmark of suite %s\n\n", md(run.Suite))
	fmt.Fprintf(&s, "Run %s, %s, started by %s after %d chats, seed %d, suite hash %s.\n\n", md(run.ID), moment(at(run)), md(orNone(run.Trigger)), run.RequestCount, run.Seed, md(shortHash(run.SuiteHash)))
	if run.Judge != "" {
		fmt.Fprintf(&s, "Rubrics were graded by %s.\n\n", md(run.Judge))
	}
	if run.Winner != nil {
		fmt.Fprintf(&s, "**%s**\n\n", md(run.Winner.Evidence))
	}
	for _, t := range []table{modelTable(run), latencyTable(run), costTable(run), categoryTable(run), pairTable(run), changeTable(run), errorTable(run)} {
		t.markdown(&s)
	}
	s.WriteString("Intervals are at 95% and allow for cases of one family going together; p-values are corrected for their number (Holm).\n")
	_, err := io.WriteString(w, s.String())
	return err
}

// md escapes what Markdown and the HTML within it would obey.
var mdEscapes = strings.NewReplacer("\\", "\\\\", "|", "\\|", "`", "\\`", "*", "\\*", "_", "\\_", "[", "\\[", "]", "\\]", "#", "\\#", "~", "\\~",
	"!", "\\!", "<", "&lt;", ">", "&gt;", "&", "&amp;", "\r", " ", "\n", " ")

func md(text string) string { return mdEscapes.Replace(text) }

func orNone(text string) string {
	if text == "" {
		return none
	}
	return text
}

func shortHash(hash string) string { return orNone(hash[:min(len(hash), 12)]) }

// table is one of the tables that Markdown and HTML have in common. Cells are text.
type table struct {
	Title string
	Note  string
	Head  []string
	Rows  [][]string
	// Texts is how many columns at the left are text; the others are numbers.
	Texts int
}

func (t table) markdown(s *strings.Builder) {
	if len(t.Rows) == 0 {
		return
	}
	fmt.Fprintf(s, "## %s\n\n", md(t.Title))
	line := func(cells []string) {
		for _, c := range cells {
			s.WriteString("| " + c + " ")
		}
		s.WriteString("|\n")
	}
	escaped := func(cells []string) []string {
		out := make([]string, len(cells))
		for i, c := range cells {
			out[i] = md(c)
		}
		return out
	}
	line(escaped(t.Head))
	rule := make([]string, len(t.Head))
	for i := range rule {
		rule[i] = "---"
		if i >= t.Texts {
			rule[i] = "---:"
		}
	}
	line(rule)
	for _, row := range t.Rows {
		line(escaped(row))
	}
	s.WriteString("\n")
	if t.Note != "" {
		s.WriteString(md(t.Note) + "\n\n")
	}
}

func modelTable(run benchmark.Run) table {
	t := table{Title: "Models", Texts: 2, Head: []string{"model", "status", "cases", "right", "accuracy", "95% interval", "failed calls", "confidence", "ECE", "Brier"},
		Note: "Accuracy is over answered cases; failed calls are counted apart. ECE is the expected calibration error of the confidence."}
	for _, name := range modelNames(run) {
		m := run.Models[name]
		status := string(m.Status)
		if m.Reason != "" {
			status += ": " + string(m.Reason)
		}
		row := []string{name, status, fmt.Sprint(m.Cases), fmt.Sprint(m.Accuracy.Count), percent(m.Accuracy.Value), none, percent(m.Failures.Value), none, none, none}
		if m.Accuracy.Value != nil {
			row[5] = percents(m.Accuracy.Clustered)
		}
		if m.Confidence != nil {
			row[7] = fmt.Sprintf("%.3f", *m.Confidence)
		}
		if c := m.Calibration; c != nil {
			row[8], row[9] = fmt.Sprintf("%.3f", c.ECE), fmt.Sprintf("%.3f", c.Brier)
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func latencyTable(run benchmark.Run) table {
	t := table{Title: "Latency in milliseconds", Texts: 2, Head: []string{"model", "time", "replies", "mean", "p50", "p90", "p99", "max"}}
	for _, name := range modelNames(run) {
		l := run.Models[name].Latency
		for _, d := range []struct {
			what string
			benchmark.Distribution
		}{{"first token", l.TimeToFirstToken}, {"between tokens", l.InterToken}, {"end to end", l.EndToEnd}} {
			if d.N > 0 {
				t.Rows = append(t.Rows, []string{name, d.what, fmt.Sprint(d.N), millis(d.Mean, d.N), millis(d.P50, d.N), millis(d.P90, d.N), millis(d.P99, d.N), millis(d.Max, d.N)})
			}
		}
	}
	return t
}

func costTable(run benchmark.Run) table {
	t := table{Title: "Cost", Texts: 2, Head: []string{"model", "charged by", "run", "1,000 turns", "right answer", "prompt tokens", "completion tokens", "turns per hour"}}
	for _, name := range modelNames(run) {
		m := run.Models[name]
		if m.Cases == 0 {
			continue
		}
		basis, turns := orNone(m.Cost.Basis), none
		if m.Cost.Basis == benchmark.ByHardware {
			basis = fmt.Sprintf("hardware, $%s an hour", threeDigits(m.Cost.PerHourUSD))
		}
		if m.Cost.TurnsPerHour != nil {
			turns = threeDigits(*m.Cost.TurnsPerHour)
		}
		t.Rows = append(t.Rows, []string{name, basis, usd(m.Cost.TotalUSD), usd(m.Cost.PerThousandUSD), usd(m.Cost.PerCorrectUSD),
			fmt.Sprint(m.PromptTokens), fmt.Sprint(m.CompletionTokens), turns})
	}
	return t
}

func categoryTable(run benchmark.Run) table {
	t := table{Title: "Accuracy by category", Texts: 2, Head: []string{"category", "model", "cases", "families", "right", "accuracy", "95% interval"}}
	for _, category := range categoryNames(run) {
		for _, name := range modelNames(run) {
			if p, ok := run.Models[name].Categories[category]; ok {
				t.Rows = append(t.Rows, []string{category, name, fmt.Sprint(p.N), fmt.Sprint(p.Families), fmt.Sprint(p.Count), percent(p.Value), percents(p.Clustered)})
			}
		}
	}
	return t
}

func pairTable(run benchmark.Run) table {
	t := table{Title: "Pairs of models on the same cases", Texts: 2,
		Head: []string{"a", "b", "cases", "only a right", "only b right", "a − b, points", "95% interval", "p McNemar", "p bootstrap", "p corrected", "significant"}}
	for _, c := range run.Comparisons {
		t.Rows = append(t.Rows, []string{c.A, c.B, fmt.Sprint(c.Cases), fmt.Sprint(c.OnlyA), fmt.Sprint(c.OnlyB), signedPoints(c.Difference), pointsBetween(c.Interval),
			pValue(c.McNemar), pValue(c.Bootstrap), pValue(c.AdjustedP), yes(c.Significant)})
	}
	return t
}

func changeTable(run benchmark.Run) table {
	if run.Changes == nil {
		return table{}
	}
	t := table{Title: "Changes since run " + run.Changes.Before, Texts: 3,
		Head: []string{"model", "measure", "verdict", "before", "after", "change, points", "95% interval", "p corrected", "method"}}
	for _, c := range run.Changes.Models {
		t.Rows = append(t.Rows, []string{c.Model, c.Measure, string(c.Verdict), percent(&c.Before), percent(&c.After), signedPoints(c.Difference), pointsBetween(c.Interval),
			pValue(c.AdjustedP), c.Method})
	}
	return t
}

func errorTable(run benchmark.Run) table {
	t := table{Title: "Failed calls", Texts: 2, Head: []string{"model", "code", "cases", "share"}}
	for _, name := range modelNames(run) {
		m := run.Models[name]
		for _, code := range slices.Sorted(maps.Keys(m.ErrorCodes)) {
			share := float64(m.ErrorCodes[code]) / float64(max(m.Cases, 1))
			t.Rows = append(t.Rows, []string{name, string(code), fmt.Sprint(m.ErrorCodes[code]), percent(&share)})
		}
		if m.Blocked > 0 {
			share := float64(m.Blocked) / float64(max(m.Cases, 1))
			t.Rows = append(t.Rows, []string{name, "refused by the provider (graded)", fmt.Sprint(m.Blocked), percent(&share)})
		}
	}
	return t
}
