package prices_test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teller/prices"
)

var day = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

func TestTheEmbeddedTablePricesGemini(t *testing.T) {
	table, err := prices.Load("")
	require.NoError(t, err)
	cost, ok := table.NanoUSD("gemini", "gemini-2.5-flash-001", day, 1_000_000, 100_000)
	require.True(t, ok)
	require.EqualValues(t, 550_000_000, cost, "0.30 + 0.25 dollars")
	cost, ok = table.NanoUSD("gemini", "gemini-2.5-flash-lite", day, 1, 0)
	require.True(t, ok)
	require.EqualValues(t, 100, cost)
	_, ok = table.NanoUSD("gemini", "gemini-2.5-flash-image", day, 1, 1)
	require.False(t, ok, "another model, not a revision")
	_, ok = table.NanoUSD("custom", "custom-309808a0", day, 1, 1)
	require.False(t, ok)
	_, ok = table.NanoUSD("gemini", "gemini-2.5-flash", time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC), 1, 1)
	require.False(t, ok, "no price held then")
}

func TestThePriceOfTheDayHolds(t *testing.T) {
	table, err := prices.Parse([]byte(`
- {model: m, from: 2026-01-01, prompt: 2, completion: 0}
- {model: m, from: 2026-01-15, prompt: 1, completion: 0}
- {model: m, from: 2027-01-01, prompt: 9, completion: 0}
- {model: own, from: 2026-01-01, per_hour: 1.5}
`))
	require.NoError(t, err)
	for at, want := range map[string]int64{"2026-01-14": 2000, "2026-01-15": 1000, "2026-12-31": 1000, "2027-01-01": 9000} {
		on, err := time.Parse(time.DateOnly, at)
		require.NoError(t, err)
		cost, ok := table.NanoUSD("m", "", on, 1, 0)
		require.True(t, ok)
		require.Equal(t, want, cost, at)
	}
	_, ok := table.NanoUSD("own", "", day, 1, 1)
	require.False(t, ok, "an hour's price is not a turn's")
	p, ok := table.Find("own", "", day)
	require.True(t, ok)
	require.InDelta(t, 1.5, p.PerHour, 0)
}

func TestAWrongTableIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"no list": "model: m", "no model": "- {from: 2026-01-01, prompt: 1}", "no day": "- {model: m, prompt: 1}", "no such day": "- {model: m, from: 2026-13-01}",
		"below zero": "- {model: m, from: 2026-01-01, prompt: -1}", "not a number": "- {model: m, from: 2026-01-01, prompt: .nan}",
		"unknown key": "- {model: m, from: 2026-01-01, input: 1}",
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "prices.yaml")
			require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
			_, err := prices.Load(path)
			require.ErrorContains(t, err, path)
		})
	}
}
