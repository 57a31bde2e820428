package tokenizers

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// testdata/splits.json holds the pieces that Python's regex module, which knows lookaheads and Unicode, cuts with the same patterns.
func TestSplits(t *testing.T) {
	data, err := os.ReadFile("testdata/splits.json")
	require.NoError(t, err)
	var golden map[string][][]string
	require.NoError(t, json.Unmarshal(data, &golden))
	require.Len(t, golden, 5)
	for name, rows := range golden {
		t.Run(name, func(t *testing.T) {
			s, err := newSplitter(preTokenizers[name])
			require.NoError(t, err)
			for _, want := range rows {
				var got []string
				s.each(strings.Join(want, ""), func(piece string) { got = append(got, piece) })
				require.Equal(t, want, got)
			}
		})
	}
	for name, patterns := range preTokenizers {
		require.Equal(t, name, preName(patterns))
	}
	for alias, name := range aliases {
		require.Contains(t, preTokenizers, name, alias)
	}
}

func TestPatternsRefused(t *testing.T) {
	for pattern, want := range map[string]string{
		`a(?=b)`:            "Perl",
		`\s+(?!\S)x`:        "lookahead",
		`x\s+(?!\S)`:        "lookahead",
		`\s+(?!\S)|y`:       "lookahead",
		`(a)|b`:             "groups",
		`\w+`:               `\w`,
		`[\S]`:              `\S`,
		`[a&&b]`:            "classes inside",
		`[a[b]]`:            "classes inside",
		`[^\r\n]?+\p{L}+`:   "repetition",
		`(?:a{1000}){1000}`: "repeat",
		`\p{Nosuch}`:        "range",
		`(`:                 "missing",
	} {
		_, err := newSplitter([]string{pattern})
		require.ErrorContains(t, err, want, pattern)
	}
}

// Whatever the pattern and the text, all of the text comes out again.
func TestSplitsLoseNothing(t *testing.T) {
	long := strings.Repeat(" ", 2_000) + strings.Repeat("a", 2_000) + strings.Repeat("\n ", 1_000) + "\xff\xfe" + strings.Repeat("'", 1_000)
	for _, patterns := range [][]string{{gpt2Pattern}, {llama3Pattern}, {tekkenPattern}, preTokenizers["default"], {`x*`}, {`(?:a|aa)*b`}} {
		s, err := newSplitter(patterns)
		require.NoError(t, err)
		var out strings.Builder
		s.each(long, func(piece string) {
			require.NotEmpty(t, piece)
			out.WriteString(piece)
		})
		require.Equal(t, long, out.String())
	}
}
