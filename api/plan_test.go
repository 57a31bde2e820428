package api_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"teller/api"
	"teller/store"
)

// TestASplitKeepsItsShares draws for 10,000 ids of each shape that callers use. A share may be off by
// 4.5 standard deviations of the binomial distribution: one run in 150,000 would be by chance, and the
// ids are the same in each run.
func TestASplitKeepsItsShares(t *testing.T) {
	const n = 10_000
	shapes := map[string]func(i int) string{
		"numbers":          func(i int) string { return fmt.Sprint(i) },
		"numbers in words": func(i int) string { return fmt.Sprintf("customer-%06d.chat", i) },
		"uuids":            func(i int) string { return uuid.NewSHA1(uuid.Nil, fmt.Append(nil, i)).String() },
	}
	for _, split := range []map[string]int{
		{"custom": 50, "gemini": 50},
		{"custom": 80, "gemini": 20},
		{"custom": 99, "qlora": 1},
		{"custom": 33, "gemini": 33, "qlora": 34},
		{"custom": 100, "gemini": 0},
	} {
		route := store.Route{Active: "custom", Split: split}
		for name, id := range shapes {
			t.Run(fmt.Sprint(split, " ", name), func(t *testing.T) {
				drawn := map[string]int{}
				for i := range n {
					first := api.Plan(route, id(i))[0]
					require.Equal(t, first, api.Plan(route, id(i))[0])
					drawn[first]++
				}
				for model, percent := range split {
					p := float64(percent) / 100
					require.InDelta(t, n*p, drawn[model], 4.5*math.Sqrt(n*p*(1-p)), "%s: %v", model, drawn)
				}
			})
		}
	}
}
