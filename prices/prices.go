// Package prices knows what a model's tokens cost, from a table with the dates from which each price holds. It is
// pure: it neither asks a provider nor stores anything.
package prices

import (
	_ "embed"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"
)

// Price is what a model costs from a day on.
type Price struct {
	// Model is a configured model's name or a provider's model id. An id covers its dated revisions too:
	// gemini-2.5-flash covers gemini-2.5-flash-001.
	Model string `yaml:"model"`
	From  Day    `yaml:"from"` // inclusive, UTC
	// Prompt and Completion are US dollars for a million tokens; Completion includes tokens spent on thinking.
	Prompt     float64 `yaml:"prompt"`
	Completion float64 `yaml:"completion"`
	// PerHour is US dollars for an hour of the hardware that serves the model, for one that is self-hosted. It belongs to
	// the time and not to a turn, so a turn's cost does not hold it; the benchmark spreads it over the turns that an hour answers.
	PerHour float64 `yaml:"per_hour"`
	Source  string  `yaml:"source"` // where the price is from, for people
}

// Day is a calendar day, written 2006-01-02.
type Day struct{ time.Time }

// UnmarshalYAML reads a day.
func (d *Day) UnmarshalYAML(data []byte) error {
	t, err := time.Parse(time.DateOnly, strings.Trim(strings.TrimSpace(string(data)), `"'`))
	if err != nil {
		return fmt.Errorf("%q is no day of the form 2006-01-02", strings.TrimSpace(string(data)))
	}
	d.Time = t
	return nil
}

// Table is a price table. It is read-only and safe for concurrent use.
type Table struct{ prices []Price } // newest first

//go:embed prices.yaml
var embedded []byte

// Load reads the table at path, or the embedded one when path is empty.
func Load(path string) (*Table, error) {
	if path == "" {
		return Parse(embedded)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the price table: %w", err)
	}
	t, err := Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// Parse reads a table: a YAML list of prices.
func Parse(data []byte) (*Table, error) {
	var t Table
	if err := yaml.UnmarshalWithOptions(data, &t.prices, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("the price table: %w", err)
	}
	for i, p := range t.prices {
		switch {
		case p.Model == "":
			return nil, fmt.Errorf("the price table: entry %d names no model", i+1)
		case p.From.IsZero():
			return nil, fmt.Errorf("the price table: %s has no day from which its price holds", p.Model)
		case !(p.Prompt >= 0 && p.Completion >= 0 && p.PerHour >= 0):
			return nil, fmt.Errorf("the price table: %s has a price below 0", p.Model)
		}
	}
	slices.SortStableFunc(t.prices, func(a, b Price) int { return b.From.Compare(a.From.Time) })
	return &t, nil
}

// Find gives the price that holds at a time for a configured model, by its name, or else for what served it; false when
// the table has none.
func (t *Table) Find(name, served string, at time.Time) (Price, bool) {
	for _, covers := range []func(model string) bool{
		func(model string) bool { return model == name },
		func(model string) bool { return model == served },
		func(model string) bool { return revisionOf(served, model) },
	} {
		for _, p := range t.prices {
			if covers(p.Model) && !at.Before(p.From.Time) {
				return p, true
			}
		}
	}
	return Price{}, false
}

// revisionOf tells whether served is model with a revision behind it: a dash and a number.
func revisionOf(served, model string) bool {
	rest, found := strings.CutPrefix(served, model+"-")
	return found && rest != "" && strings.Trim(rest, "0123456789-") == ""
}

// NanoUSD is what tokens cost, in billionths of a US dollar. false means that the model's tokens have no price of their own:
// the table does not know it, or it is self-hosted.
func (t *Table) NanoUSD(name, served string, at time.Time, promptTokens, completionTokens int) (int64, bool) {
	p, ok := t.Find(name, served, at)
	if !ok || p.PerHour > 0 {
		return 0, false
	}
	// Dollars for a million tokens are thousands of billionths for one.
	return int64(p.Prompt*1000*float64(promptTokens) + p.Completion*1000*float64(completionTokens) + 0.5), true
}
