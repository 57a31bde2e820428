package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"teller/config"
	"teller/corpus"
	"teller/evaluation"
)

// trainingData is what a model of the same labels is trained on: the baseline learns from it, and near-duplicates are
// looked for in it.
type trainingData struct {
	name string
	rows []evaluation.Row
}

// trainingFor finds training data whose labels hold all of labels: the file that was named, an imported data set, or our own
// corpus, the smallest set of labels first. Its rows are those of the labels, spelled as in labels. reason says why
// there is none.
func trainingFor(named string, labels []string) (found *trainingData, reason string, err error) {
	if named != "" {
		rows, err := readRows(named)
		if err != nil {
			return nil, "", err
		}
		chosen, missing := ofLabels(rows, labels)
		if missing != "" {
			return nil, "", fmt.Errorf("%s has no row of the label %q", named, missing)
		}
		return &trainingData{named, chosen}, "", nil
	}
	cfg, err := config.Load()
	if err != nil {
		return nil, "", err
	}
	paths, err := filepath.Glob(filepath.Join(cfg.DataDir, "datasets", "*", "rows.jsonl"))
	if err != nil {
		return nil, "", err
	}
	fewest := 0
	consider := func(name string, rows []evaluation.Row) {
		if n := len(labelsOf(rows)); found == nil || n < fewest {
			if chosen, missing := ofLabels(rows, labels); missing == "" {
				found, fewest = &trainingData{name, chosen}, n
			}
		}
	}
	for _, path := range paths {
		rows, err := readRows(path)
		if err != nil {
			return nil, "", err
		}
		consider(path, rows)
	}
	c, err := corpus.Load()
	if err != nil {
		return nil, "", err
	}
	var rows []evaluation.Row
	for _, e := range c.Examples(corpus.Train, 1) {
		rows = append(rows, evaluation.Row{Input: e.Question(), Expected: e.Intent})
	}
	consider("the corpus of this binary", rows)
	if found == nil {
		reason = fmt.Sprintf("no training data with these labels: neither the corpus nor a set in %s has them all; --train names a file, 'teller data import' fetches a set",
			filepath.Join(cfg.DataDir, "datasets"))
	}
	return found, reason, nil
}

// without leaves out the rows that ask exactly what one of questions asks: who measures on a part of a set would otherwise
// have the baseline learn the answers.
func (t *trainingData) without(questions []string) []evaluation.Row {
	asked := make(map[string]bool, len(questions))
	for _, q := range questions {
		asked[strings.ToLower(strings.TrimSpace(q))] = true
	}
	var out []evaluation.Row
	for _, r := range t.rows {
		if !asked[strings.ToLower(strings.TrimSpace(r.Input))] {
			out = append(out, r)
		}
	}
	return out
}

// ofLabels gives the rows of the labels, spelled as there, or the first label without a row.
func ofLabels(rows []evaluation.Row, labels []string) (out []evaluation.Row, missing string) {
	spelled := make(map[string]string, len(labels))
	for _, l := range labels {
		spelled[plainLabel(l)] = l
	}
	seen := map[string]bool{}
	for _, r := range rows {
		if label, ok := spelled[plainLabel(r.Expected)]; ok {
			seen[label] = true
			out = append(out, evaluation.Row{Input: r.Input, Expected: label})
		}
	}
	for _, l := range labels {
		if !seen[spelled[plainLabel(l)]] {
			return nil, l
		}
	}
	return out, ""
}

// labelsOf are the labels that occur, sorted.
func labelsOf(rows []evaluation.Row) []string {
	labels := make([]string, len(rows))
	for i, r := range rows {
		labels[i] = r.Expected
	}
	slices.Sort(labels)
	return slices.Compact(labels)
}

// plainLabel is a label whichever way it is written: "Card arrival", "card-arrival", "card_arrival".
func plainLabel(label string) string {
	return strings.NewReplacer(" ", "_", "-", "_").Replace(strings.ToLower(strings.TrimSpace(label)))
}

// readScopeRows reads a file of rows {"input","in_scope"}.
func readScopeRows(path string) ([]evaluation.ScopeRow, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	rows, err := evaluation.ReadScopeRows(f, path)
	if closed := f.Close(); err == nil {
		err = closed
	}
	return rows, err
}
