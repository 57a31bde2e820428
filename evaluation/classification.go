package evaluation

import (
	"cmp"
	"fmt"
	"slices"
)

// Confused is a mistake that was made Count times.
type Confused struct {
	Expected string `json:"expected"`
	Choice   string `json:"choice"`
	Count    int    `json:"count"`
}

// Right counts the choices that are what was expected. It panics when the two lists differ in length.
func Right(expected, choices []string) int {
	requireChoices(expected, choices)
	n := 0
	for i := range expected {
		if expected[i] == choices[i] {
			n++
		}
	}
	return n
}

// MacroF1 is the mean of the labels' F1 = 2TP / (2TP + FP + FN), each label counting alike however rare it is,
// over the labels that were expected or chosen at least once. It is 0 without rows and panics as Right does.
func MacroF1(expected, choices []string) float64 {
	requireChoices(expected, choices)
	type counts struct{ hits, of int } // of: times expected plus times chosen, which is 2TP + FP + FN
	labels := map[string]*counts{}
	label := func(name string) *counts {
		if labels[name] == nil {
			labels[name] = &counts{}
		}
		return labels[name]
	}
	for i := range expected {
		label(expected[i]).of++
		label(choices[i]).of++
		if expected[i] == choices[i] {
			label(expected[i]).hits++
		}
	}
	sum := 0.0
	for _, c := range labels {
		sum += 2 * float64(c.hits) / float64(c.of)
	}
	return sum / float64(max(len(labels), 1))
}

// TopConfusions gives the most frequent mistakes, at most limit of them, most frequent first, equals by name.
func TopConfusions(expected, choices []string, limit int) []Confused {
	requireChoices(expected, choices)
	counts := map[Confused]int{}
	for i := range expected {
		if expected[i] != choices[i] {
			counts[Confused{Expected: expected[i], Choice: choices[i]}]++
		}
	}
	out := make([]Confused, 0, len(counts))
	for pair, n := range counts {
		pair.Count = n
		out = append(out, pair)
	}
	slices.SortFunc(out, func(a, b Confused) int {
		return cmp.Or(b.Count-a.Count, cmp.Compare(a.Expected, b.Expected), cmp.Compare(a.Choice, b.Choice))
	})
	return out[:min(limit, len(out))]
}

func requireChoices(expected, choices []string) {
	if len(expected) != len(choices) {
		panic(fmt.Sprintf("evaluation: %d choices for %d rows", len(choices), len(expected)))
	}
}
