package report

import (
	"bytes"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"

	"teller/benchmark"
	"teller/llm"
	"teller/prices"
)

func ptr[T any](v T) *T { return &v }

// hostile is a text that tries to be markup in every format.
const hostile = "=1+1 <script>alert(1)</script> \"'|`*]]>&amp;\x00\x1b\n<img src=x onerror=alert(2)>"

// example is a run of three measured models and one that is unavailable, drawn by seed, with shift added to every accuracy.
func example(t testing.TB, id string, day int, shift float64, evil bool) (benchmark.Run, []benchmark.CaseResult) {
	t.Helper()
	r := rand.New(rand.NewPCG(uint64(day), 9))
	started := time.Date(2026, 5, day, 6, 0, 0, 0, time.UTC)
	categories := []string{"intent", "knowledge", "arithmetic", "safety", "privacy", "out-of-scope"}
	models := []struct {
		name                      string
		accuracy, latency, spread float64
		first                     float64
		cost                      int64
	}{{"custom", 0.81, 240, 0.35, 60, 0}, {"qlora", 0.9, 620, 0.3, 110, 0}, {"gemini", 0.93, 900, 0.5, 420, 310_000}}
	var rows []benchmark.CaseResult
	for i := range 600 {
		hard := r.Float64() < 0.2
		for k, m := range models {
			accuracy := m.accuracy + shift - 0.04*float64(i%6)*float64(k%2)
			if hard {
				accuracy -= 0.3
			}
			row := benchmark.CaseResult{
				RunID: id, Model: m.name, CaseID: fmt.Sprintf("%s-%03d", categories[i%6], i), Category: categories[i%6], Family: fmt.Sprintf("f%d", i/12*6+i%6),
				Pass: r.Float64() < accuracy, EndToEndMS: m.latency * (1 + m.spread*r.ExpFloat64()), Usage: llm.Usage{PromptTokens: 90 + i%40, CompletionTokens: 40 + i%30},
				Confidence: ptr(min(1, max(0, accuracy+0.1*r.NormFloat64()))),
			}
			row.TimeToFirstTokenMS = ptr(m.first * (1 + 0.4*r.ExpFloat64()))
			row.InterTokenMS = ptr((row.EndToEndMS - *row.TimeToFirstTokenMS) / 50)
			if m.cost > 0 {
				row.CostNanoUSD = ptr(m.cost + int64(i)*100)
			}
			if r.Float64() < 0.01 {
				row.ErrorCode, row.Error, row.Pass = llm.Timeout, "no reply in time", false
			}
			if !row.Pass && !row.Failed() {
				row.Reasons, row.Reply = []string{`icontains-any: the reply holds none of "freeze, block"`}, "I am not sure what you mean. Could you say more?"
			}
			if evil {
				row.Reasons, row.Reply, row.Family, row.Pass = []string{hostile}, hostile, hostile+strconv.Itoa(i), row.Pass && i > 0
			}
			rows = append(rows, row)
		}
	}
	table, err := prices.Parse([]byte("- {model: qlora, from: 2026-01-01, per_hour: 1.20}\n- {model: custom, from: 2026-01-01, per_hour: 0.10}"))
	require.NoError(t, err)
	run, err := benchmark.Summarise(benchmark.Run{
		ID: id, Suite: "banking", SuiteHash: strings.Repeat("3f", 32), Started: started, Ended: started.Add(9 * time.Minute), Trigger: "schedule", RequestCount: int64(50 * day), Seed: 42,
		Models: map[string]benchmark.ModelResult{
			"custom":  {Status: benchmark.OK, Served: "custom@1", Started: started, Ended: started.Add(3 * time.Minute)},
			"qlora":   {Status: benchmark.OK, Served: "qlora@1", Started: started, Ended: started.Add(6 * time.Minute)},
			"gemini":  {Status: benchmark.OK, Served: "gemini-2.5-flash", Started: started, Ended: started.Add(9 * time.Minute)},
			"qlora-b": {Status: benchmark.Unavailable, Reason: "VLLM_BASE_URL is not set"},
		},
	}, benchmark.RowsOf(rows), table)
	require.NoError(t, err)
	return run, rows
}

// fullInput has everything that a report can show. Its rows may be ranged over again.
func fullInput(t testing.TB) Input {
	t.Helper()
	if full.Run.ID == "" {
		full = makeFullInput(t)
	}
	return full
}

var full Input // made once, as summarising nine runs takes a second

func makeFullInput(t testing.TB) Input {
	t.Helper()
	var earlier []benchmark.Run
	var before []benchmark.CaseResult
	for day := 1; day <= 8; day++ {
		run, rows := example(t, fmt.Sprintf("run-%d", day), day, 0.004*float64(day%5), false)
		earlier, before = append(earlier, run), rows
	}
	run, rows := example(t, "run-9", 9, -0.06, false)
	changes, err := benchmark.Compare(earlier[7], run, benchmark.RowsOf(before), benchmark.RowsOf(rows))
	require.NoError(t, err)
	run.Changes = &changes
	cases := map[string]benchmark.Case{}
	for _, row := range rows {
		cases[row.CaseID] = benchmark.Case{ID: row.CaseID, Message: "I left my card in a taxi. What now?", Context: "The card ends in 1234."}
	}
	return Input{Run: run, Rows: benchmark.RowsOf(rows), History: earlier, Cases: cases}
}

func hostileInput(t testing.TB) Input {
	run, rows := example(t, hostile, 3, 0, true)
	run.Suite, run.Trigger, run.Judge = hostile, hostile, hostile
	run.Models[hostile] = benchmark.ModelResult{Status: benchmark.Unavailable, Reason: hostile}
	m := run.Models["custom"]
	m.Categories = map[string]benchmark.Proportion{hostile: m.Accuracy}
	m.ErrorCodes = map[llm.Code]int{hostile: 3}
	run.Models[hostile+"2"] = m
	run.Winner.Evidence = hostile
	return Input{Run: run, Rows: benchmark.RowsOf(rows), Cases: map[string]benchmark.Case{rows[0].CaseID: {Message: hostile, Context: hostile}}}
}

func TestHTML(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, HTML(&out, fullInput(t)))
	text := out.String()
	for _, want := range []string{"Accuracy against latency", "Accuracy against cost", "Accuracy by category", "End-to-end latency", "Time to first token", "History",
		"Reliability of confidence", "Significantly worse than run run-8", "VLLM_BASE_URL is not set", "Cases that did not go right", "I left my card in a taxi", "could you say more"} {
		require.Contains(t, strings.ToLower(text), strings.ToLower(want))
	}
	require.NotContains(t, text, "NaN")
	require.NotContains(t, text, "%!")
	requireNoNetwork(t, text)
	require.Less(t, out.Len(), 1<<20)
}

// requireNoNetwork walks the page: no element that loads anything, one script.
func requireNoNetwork(t *testing.T, text string) {
	t.Helper()
	scripts := 0
	tokens := html.NewTokenizer(strings.NewReader(text))
	for {
		kind := tokens.Next()
		if kind == html.ErrorToken {
			require.ErrorIs(t, tokens.Err(), io.EOF)
			break
		}
		if kind != html.StartTagToken && kind != html.SelfClosingTagToken {
			continue
		}
		token := tokens.Token()
		require.NotContains(t, []string{"img", "link", "iframe", "object", "embed", "form", "base", "video", "audio"}, token.Data)
		if token.Data == "script" {
			scripts++
		}
		for _, a := range token.Attr {
			require.NotContains(t, []string{"src", "href", "srcset", "action", "xlink:href"}, a.Key)
			require.False(t, strings.HasPrefix(a.Key, "on"), a.Key)
		}
	}
	require.Equal(t, 1, scripts)
}

func TestHostileTextStaysText(t *testing.T) {
	in := hostileInput(t)
	var page, markdown, sheet, junit bytes.Buffer
	require.NoError(t, HTML(&page, in))
	requireNoNetwork(t, page.String())
	require.Contains(t, page.String(), "&lt;script&gt;alert(1)")

	require.NoError(t, Markdown(&markdown, in))
	require.NotContains(t, markdown.String(), "<script>")
	require.NotContains(t, markdown.String(), "<img")
	for line := range strings.SplitSeq(markdown.String(), "\n") {
		if strings.HasPrefix(line, "|") {
			require.True(t, strings.HasSuffix(line, "|"), line)
		}
	}

	require.NoError(t, CSV(&sheet, in.Rows))
	records, err := csv.NewReader(&sheet).ReadAll()
	require.NoError(t, err)
	for _, record := range records[1:] {
		for i, cell := range record {
			if csvColumns[i] == "reply" || csvColumns[i] == "run" {
				require.True(t, strings.HasPrefix(cell, "'="), "a spreadsheet would compute it: %q", cell)
			}
		}
	}

	require.NoError(t, JUnit(&junit, in.Run, in.Rows))
	require.NoError(t, wellFormed(junit.Bytes()))
}

func wellFormed(data []byte) error {
	for tokens := xml.NewDecoder(bytes.NewReader(data)); ; {
		if _, err := tokens.Token(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

func TestReportsOfARunWithoutResults(t *testing.T) {
	in := Input{Run: benchmark.Run{ID: "r", Models: map[string]benchmark.ModelResult{"a": {Status: benchmark.Unavailable, Reason: "no key"}}}}
	for name, write := range map[string]func(io.Writer) error{
		"html":     func(w io.Writer) error { return HTML(w, in) },
		"markdown": func(w io.Writer) error { return Markdown(w, in) },
		"junit":    func(w io.Writer) error { return JUnit(w, in.Run, nil) },
	} {
		var out bytes.Buffer
		require.NoError(t, write(&out), name)
		require.Contains(t, out.String(), "no key")
		require.NotContains(t, out.String(), "NaN")
	}
}

func TestBrokenRowsEndAReport(t *testing.T) {
	in := fullInput(t)
	broken := errors.New("disk")
	rows := func(yield func(benchmark.CaseResult, error) bool) { yield(benchmark.CaseResult{}, broken) }
	require.ErrorIs(t, CSV(io.Discard, rows), broken)
	require.ErrorIs(t, JUnit(io.Discard, in.Run, rows), broken)
	in.Rows = rows
	require.ErrorIs(t, HTML(io.Discard, in), broken)
}

func TestCSV(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, CSV(&out, benchmark.RowsOf([]benchmark.CaseResult{
		{RunID: "r", Model: "m", CaseID: "c", Category: "k", Family: "f", Pass: true, Score: 1, EndToEndMS: 12.5, TimeToFirstTokenMS: ptr(3.0), Usage: llm.Usage{PromptTokens: 7, CompletionTokens: 2},
			CostNanoUSD: ptr(int64(1500)), Confidence: ptr(0.25), Reply: "a,\n\"b\""},
		{RunID: "r", Model: "m", CaseID: "d", ErrorCode: llm.Timeout},
		{RunID: "r", Model: "m", CaseID: "e", ErrorCode: llm.Refused, Reasons: []string{"x", "y"}},
	})))
	records, err := csv.NewReader(&out).ReadAll()
	require.NoError(t, err)
	require.Equal(t, [][]string{
		csvColumns,
		{"r", "m", "c", "k", "f", "right", "1", "", "3", "", "12.5", "7", "2", "0.0000015", "0.25", "", "a,\n\"b\""},
		{"r", "m", "d", "", "", "failed", "0", "timeout", "", "", "0", "0", "0", "", "", "", ""},
		{"r", "m", "e", "", "", "wrong", "0", "refused", "", "", "0", "0", "0", "", "", "x; y", ""},
	}, records)
}

// What both schemas of JUnit files in use ask for: the order of a suite's elements, its attributes, and counts that hold.
func TestJUnit(t *testing.T) {
	in := fullInput(t)
	var out bytes.Buffer
	require.NoError(t, JUnit(&out, in.Run, in.Rows))
	type problem struct {
		Type string `xml:"type,attr"`
	}
	var doc struct {
		XMLName xml.Name `xml:"testsuites"`
		Suites  []struct {
			Name      string `xml:"name,attr"`
			ID        int    `xml:"id,attr"`
			Timestamp string `xml:"timestamp,attr"`
			Hostname  string `xml:"hostname,attr"`
			Package   string `xml:"package,attr"`
			Tests     int    `xml:"tests,attr"`
			Failures  int    `xml:"failures,attr"`
			Errors    int    `xml:"errors,attr"`
			Time      string `xml:"time,attr"`
			Children  []struct {
				XMLName   xml.Name
				Name      string   `xml:"name,attr"`
				ClassName string   `xml:"classname,attr"`
				Time      string   `xml:"time,attr"`
				Error     *problem `xml:"error"`
				Failure   *problem `xml:"failure"`
			} `xml:",any"`
		} `xml:"testsuite"`
	}
	require.NoError(t, xml.Unmarshal(out.Bytes(), &doc))
	require.Len(t, doc.Suites, 4)
	for i, s := range doc.Suites {
		require.Equal(t, i, s.ID)
		_, err := time.Parse("2006-01-02T15:04:05", s.Timestamp)
		require.NoError(t, err)
		require.NotEmpty(t, s.Hostname+s.Package)
		var order []string
		tests, failures, errs := 0, 0, 0
		for _, c := range s.Children {
			if len(order) == 0 || order[len(order)-1] != c.XMLName.Local {
				order = append(order, c.XMLName.Local)
			}
			if c.XMLName.Local != "testcase" {
				continue
			}
			tests++
			_, err := strconv.ParseFloat(c.Time, 64)
			require.NoError(t, err)
			require.NotEmpty(t, c.Name)
			require.NotEmpty(t, c.ClassName)
			if c.Error != nil {
				errs++
				require.NotEmpty(t, c.Error.Type)
			}
			if c.Failure != nil {
				failures++
				require.Nil(t, c.Error)
			}
		}
		require.Equal(t, []string{"properties", "testcase", "system-out", "system-err"}, order)
		require.Equal(t, []int{s.Tests, s.Failures, s.Errors}, []int{tests, failures, errs}, s.Name)
	}
}

func TestMarkdown(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, Markdown(&out, fullInput(t)))
	for _, want := range []string{"# Benchmark of suite banking", "## Models", "| qlora-b | unavailable: VLLM\\_BASE\\_URL is not set |", "## Pairs of models", "## Changes since run run-8", "## Failed calls", "hardware, $1.20 an hour"} {
		require.Contains(t, out.String(), want)
	}
}

func TestAxes(t *testing.T) {
	a := valueAxis(3, 7, 0, 100, "")
	require.Equal(t, []float64{0, 2, 4, 6, 8}, a.ticks)
	require.InDelta(t, 50, a.at(4), 1e-9)
	a = valueAxis(1, 1000, 0, 100, "")
	require.True(t, a.log)
	require.LessOrEqual(t, len(a.ticks), 7)
	require.Greater(t, a.at(100), a.at(10))
	require.NotEmpty(t, valueAxis(0, 0, 0, 100, "").ticks)
	a = shareAxis(0.83, 0, 100, "")
	require.InDelta(t, 0.8, a.low, 1e-9)
	require.Equal(t, "80%", a.label(a.ticks[0]))
	require.Equal(t, "100%", a.label(1))
}
