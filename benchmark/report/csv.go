package report

import (
	"encoding/csv"
	"io"
	"strconv"
	"strings"

	"teller/benchmark"
)

var csvColumns = []string{"run", "model", "case", "category", "family", "outcome", "score", "error_code", "time_to_first_token_ms", "inter_token_ms",
	"end_to_end_ms", "prompt_tokens", "completion_tokens", "cost_usd", "confidence", "reasons", "reply"}

// CSV writes one line a row, with a head. It ranges over rows once and keeps none of them. An error of the rows is given back after the
// lines before it.
func CSV(w io.Writer, rows benchmark.Rows) error {
	out := csv.NewWriter(w)
	if err := out.Write(csvColumns); err != nil {
		return err
	}
	for row, err := range rows {
		if err != nil {
			out.Flush()
			return err
		}
		cost := ""
		if row.CostNanoUSD != nil {
			cost = strconv.FormatFloat(float64(*row.CostNanoUSD)/1e9, 'f', -1, 64)
		}
		err := out.Write([]string{
			cell(row.RunID), cell(row.Model), cell(row.CaseID), cell(row.Category), cell(row.Family), outcome(row), number(&row.Score), cell(string(row.ErrorCode)),
			number(row.TimeToFirstTokenMS), number(row.InterTokenMS), number(&row.EndToEndMS),
			strconv.Itoa(row.Usage.PromptTokens), strconv.Itoa(row.Usage.CompletionTokens), cost, number(row.Confidence),
			cell(strings.Join(row.Reasons, "; ")), cell(row.Reply),
		})
		if err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// cell keeps a spreadsheet from taking a text for a formula, by an apostrophe before it (OWASP, "CSV injection").
func cell(text string) string {
	if text != "" && strings.ContainsRune("=+-@\t\r", rune(text[0])) {
		return "'" + text
	}
	return text
}

func number(v *float64) string {
	if v == nil {
		return ""
	}
	return strconv.FormatFloat(*v, 'f', -1, 64)
}
