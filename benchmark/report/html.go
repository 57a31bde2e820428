package report

import (
	"cmp"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"io"
	"slices"
	"strings"

	"teller/benchmark"
)

//go:embed page.html
var pageSource string

//go:embed page.css
var pageStyle string

//go:embed page.js
var pageScript string

// maxListed bounds the cases that the page lists, so that a browser can hold it.
const maxListed = 1500

// figure is a plot with what to read from it.
type figure struct {
	Title, Caption string
	Plot           template.HTML
	Wide           bool
}

// listed is a case that did not go right.
type listed struct {
	Model, Category, Case, Outcome, Reasons, Question, Context, Reply string
	Class                                                             int
	MS                                                                string
}

type page struct {
	Style      template.CSS
	Script     template.JS
	ScriptHash template.HTMLAttr
	Run        benchmark.Run
	Moment     string
	Hash       string
	Lead       string
	Worse      []benchmark.Change
	Models     []legend
	Figures    []figure
	Diagrams   []template.HTML
	Tables     []table
	Listed     []listed
	Unlisted   int
}

type legend struct {
	Name   string
	Class  int
	Model  benchmark.ModelResult
	Share  string
	Within string
	P50    string
	Cost   string
}

// HTML writes one file that holds everything: style, plots as SVG, and a script of a few lines that sorts tables, which is the only one
// that the page's content security policy lets run.
func HTML(w io.Writer, in Input) error {
	p, err := newPage(in)
	if err != nil {
		return err
	}
	t, err := template.New("page").Funcs(template.FuncMap{"pct": func(v float64) float64 { return 100 * v }}).Parse(pageSource)
	if err != nil {
		return err
	}
	return t.Execute(w, p)
}

func newPage(in Input) (page, error) {
	run := in.Run
	hash := sha256.Sum256([]byte(pageScript))
	policy := "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(hash[:]) + "'"
	p := page{Style: template.CSS(pageStyle), Script: template.JS(pageScript), ScriptHash: template.HTMLAttr(`content="` + policy + `"`), //nolint:gosec // our own files
		Run: run, Moment: moment(at(run)), Hash: shortHash(run.SuiteHash)}
	if run.Winner != nil {
		p.Lead = run.Winner.Evidence
	}
	if run.Changes != nil {
		p.Worse = run.Changes.Worse()
	}
	names := modelNames(run)
	class := map[string]int{}
	for i, name := range slices.Sorted(slices.Values(names)) { // by name, so that a model keeps its colour from run to run
		class[name] = i % colours
	}
	for _, name := range names {
		m := run.Models[name]
		l := legend{Name: name, Class: class[name], Model: m, Share: percent(m.Accuracy.Value), P50: millis(m.Latency.EndToEnd.P50, m.Latency.EndToEnd.N), Cost: usd(m.Cost.PerThousandUSD)}
		if m.Accuracy.Value != nil {
			l.Within = percents(m.Accuracy.Clustered)
		}
		p.Models = append(p.Models, l)
	}
	p.Figures = figures(in, names, class)
	p.Diagrams = reliabilityPlots(run)
	for _, t := range []table{modelTable(run), changeTable(run), pairTable(run), categoryTable(run), latencyTable(run), costTable(run), errorTable(run)} {
		if len(t.Rows) > 0 {
			p.Tables = append(p.Tables, t)
		}
	}
	var err error
	p.Listed, p.Unlisted, err = listedCases(in, class)
	return p, err
}

func figures(in Input, names []string, class map[string]int) []figure {
	var out []figure
	for _, f := range []figure{
		{Title: "Accuracy against latency", Caption: "Up and to the left is better. Bars are 95% intervals.", Plot: latencyPlot(in.Run, class)},
		{Title: "Accuracy against cost", Caption: "Up and to the left is better. Hardware is spread over the turns of this run.", Plot: costPlot(in.Run, class)},
		{Title: "Accuracy by category", Caption: "Dots with 95% intervals, which allow for cases of one family going together.", Plot: categoryPlot(in.Run, class)},
		{Title: "End-to-end latency", Caption: "Which share of the replies took at most so long; the dot is the median.",
			Plot: distributionPlot("End-to-end latency", in.Run, class, func(l benchmark.Latency) benchmark.Distribution { return l.EndToEnd })},
		{Title: "Time to first token", Caption: "The same, up to the first piece of a streamed reply.",
			Plot: distributionPlot("Time to first token", in.Run, class, func(l benchmark.Latency) benchmark.Distribution { return l.TimeToFirstToken })},
		{Title: "Time between tokens", Caption: "The same, as the mean of each reply.",
			Plot: distributionPlot("Time between tokens", in.Run, class, func(l benchmark.Latency) benchmark.Distribution { return l.InterToken })},
		{Title: "History", Caption: "Accuracy with 95% intervals in the runs of the same suite.", Plot: historyPlot(history(in), names, class), Wide: true},
	} {
		if f.Plot != "" {
			out = append(out, f)
		}
	}
	return out
}

// listedCases are the cases that did not go right, by case and model, and how many more there are.
func listedCases(in Input, class map[string]int) (list []listed, unlisted int, err error) {
	if in.Rows == nil {
		return nil, 0, nil
	}
	for row, err := range in.Rows {
		if err != nil {
			return nil, 0, err
		}
		if outcome(row) == "right" {
			continue
		}
		if len(list) == maxListed {
			unlisted++
			continue
		}
		c := in.Cases[row.CaseID]
		says := strings.Join(row.Reasons, "; ")
		if row.Failed() {
			says = strings.TrimSuffix(string(row.ErrorCode)+": "+row.Error, ": ")
		}
		list = append(list, listed{Model: row.Model, Class: class[row.Model], Category: row.Category, Case: row.CaseID, Outcome: outcome(row), Reasons: says,
			Question: c.Message, Context: c.Context, Reply: row.Reply, MS: threeDigits(row.EndToEndMS)})
	}
	slices.SortStableFunc(list, func(a, b listed) int { return cmp.Or(cmp.Compare(a.Case, b.Case), cmp.Compare(a.Model, b.Model)) })
	return list, unlisted, nil
}
