package gemini

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestIsVersionOf(t *testing.T) {
	for _, c := range []struct {
		served, asked string
		same          bool
	}{
		{"gemini-2.5-flash", "gemini-2.5-flash", true},
		{"gemini-2.5-flash", "models/gemini-2.5-flash", true},
		{"gemini-2.5-flash-001", "gemini-2.5-flash", true},
		{"gemini-2.5-flash-preview-09-2025", "gemini-2.5-flash", true},
		{"gemini-3-flash", "gemini-flash-latest", true},
		{"gemini-2.5-flash-lite", "gemini-2.5-flash", false},
		{"gemini-3-flash", "gemini-2.5-flash", false},
		{"gemini-2.5-flash-", "gemini-2.5-flash", false},
	} {
		require.Equal(t, c.same, isVersionOf(c.served, c.asked), "%s for %s", c.served, c.asked)
	}
}
