package publicdata

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/transformer/train"
)

func TestImport(t *testing.T) {
	for _, c := range []struct {
		set, file string
		want      []train.Row
	}{
		{"banking77", "text,category\nWhere is it?,card_arrival\n\"One, \"\"two\"\"\nlines\",top_up\n", []train.Row{
			{Input: "Where is it?", Expected: "card_arrival"}, {Input: "One, \"two\"\nlines", Expected: "top_up"},
		}},
		{"clinc150", `{"test":[["never","balance"]],"oos_test":[["never","oos"]],"train":[["how much <is> there","balance"],["book a table","restaurant"]],
			"val":[["my limit","credit_limit"]],"oos_train":[["a song","oos"]],"oos_val":[["a poem","oos"]]}`, []train.Row{
			{Input: "how much <is> there", Expected: "balance"}, {Input: "my limit", Expected: "credit_limit"}, {Input: "a song", Expected: "oos"}, {Input: "a poem", Expected: "oos"},
		}},
	} {
		t.Run(c.set, func(t *testing.T) {
			dir := t.TempDir()
			s, err := Find(c.set)
			require.NoError(t, err)
			rows, labels, err := s.Import(strings.NewReader(c.file), "a file", dir)
			require.NoError(t, err)
			require.Equal(t, len(c.want), rows)
			require.Positive(t, labels)
			sets, err := train.LoadDatasets(dir)
			require.NoError(t, err)
			require.Equal(t, []train.Dataset{{Name: c.set, Rows: c.want}}, sets)
			attribution, err := os.ReadFile(filepath.Join(dir, c.set, "ATTRIBUTION.md"))
			require.NoError(t, err)
			require.Contains(t, string(attribution), "Creative Commons Attribution")
			require.Contains(t, string(attribution), s.Attribution)
		})
	}
}

func TestImportRefuses(t *testing.T) {
	for name, c := range map[string]struct{ set, file, want string }{
		"nothing":           {"banking77", "", "columns text and category"},
		"other columns":     {"banking77", "question,label\na,b\n", "columns text and category"},
		"a cut row":         {"banking77", "text,category\na\n", "wrong number of fields"},
		"an empty text":     {"banking77", "text,category\n ,b\n", "record 2"},
		"a page":            {"clinc150", "<html>", "invalid character"},
		"only other splits": {"clinc150", `{"test":[["a","balance"]]}`, "train and val"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s, err := Find(c.set)
			require.NoError(t, err)
			_, _, err = s.Import(strings.NewReader(c.file), "that file", dir)
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "that file")
			require.NoDirExists(t, filepath.Join(dir, c.set))
		})
	}
	_, err := Find("other")
	require.ErrorContains(t, err, "banking77 and clinc150")
}
