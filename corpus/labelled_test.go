package corpus

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
)

func TestLoadLabelled(t *testing.T) {
	sets, err := LoadLabelled()
	require.NoError(t, err)
	again, err := LoadLabelled()
	require.NoError(t, err)
	require.Equal(t, sets, again, "the order is stable")
	for _, set := range sets {
		perLabel := map[string]int{}
		for _, row := range set.Rows {
			perLabel[row.Label]++
			require.LessOrEqual(t, len(row.Input), phrasingLimit, row.Input)
		}
		for label, rows := range perLabel {
			require.GreaterOrEqual(t, rows, 20, "%s: the label %s has too few rows to teach anything", set.Dataset, label)
		}
	}
}

func TestLoadLabelledMerges(t *testing.T) {
	sets, err := loadLabelled(fstest.MapFS{
		"c.yaml": {Data: []byte("dataset: birds\nlabels:\n  wren?: [A tiny one]\n")},
		"b.yaml": {Data: []byte("dataset: trees\nlabels:\n  oak: [It has acorns]\n  ash: [It has keys, A tiny one]\n")},
		"a.yaml": {Data: []byte("dataset: trees\nlabels:\n  ash: [The leaves come late]\n")},
	}, ".", "shown")
	require.NoError(t, err)
	require.Equal(t, []Labelled{
		{Dataset: "birds", Rows: []LabelledRow{{Input: "A tiny one", Label: "wren?"}}},
		{Dataset: "trees", Rows: []LabelledRow{
			{Input: "The leaves come late", Label: "ash"},
			{Input: "It has acorns", Label: "oak"},
			{Input: "It has keys", Label: "ash"},
			{Input: "A tiny one", Label: "ash"},
		}},
	}, sets)
}

func TestLoadLabelledErrors(t *testing.T) {
	tests := []struct {
		name, data, want string
	}{
		{"unknown key", "dataset: x\nrows: [a]\n", `shown/a.yaml:2: unknown key "rows"`},
		{"no data set", "labels:\n  l: [a]\n", `shown/a.yaml:1: the key "dataset" is missing or empty`},
		{"no labels", "dataset: x\n", `shown/a.yaml:1: the key "labels" is missing or empty`},
		{"label without texts", "dataset: x\nlabels:\n  l: []\n", `shown/a.yaml:3: the label "l" has no texts`},
		{"label twice", "dataset: x\nlabels:\n  l: [a]\n  l: [b]\n", `shown/a.yaml:4: `},
		{"empty text", "dataset: x\nlabels:\n  l:\n    - a\n    - \" \"\n", `shown/a.yaml:5: a text of the label "l" is empty`},
		{"not a text", "dataset: x\nlabels:\n  l: [12]\n", `shown/a.yaml:3: expected a text`},
		{"text twice in a label", "dataset: x\nlabels:\n  l: [Where is it?, where's that]\n  m:\n    - where is it\n", `shown/a.yaml:5: the text "where is it" stands in shown/a.yaml:3 as well`},
		{"broken YAML", "dataset: x\nlabels: [\n", `shown/a.yaml:`},
		{"odd character", "dataset: x\nlabels:\n  l: [\"it\u2019s\"]\n", `shown/a.yaml:3: the line holds the character`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := loadLabelled(fstest.MapFS{"a.yaml": {Data: []byte(tt.data)}}, ".", "shown")
			require.ErrorContains(t, err, tt.want)
			var e *Error
			require.ErrorAs(t, err, &e)
			require.Equal(t, "shown/a.yaml", e.File)
		})
	}

	t.Run("text twice in two files", func(t *testing.T) {
		_, err := loadLabelled(fstest.MapFS{
			"a.yaml": {Data: []byte("dataset: x\nlabels:\n  l: [Where is it?]\n")},
			"b.yaml": {Data: []byte("dataset: x\nlabels:\n  m: [Where is it]\n")},
		}, ".", "shown")
		require.EqualError(t, err, `shown/b.yaml:3: the text "Where is it" stands in shown/a.yaml:3 as well`)
	})

	t.Run("empty folder", func(t *testing.T) {
		_, err := LoadLabelledDir(t.TempDir())
		require.ErrorContains(t, err, "the folder holds no .yaml file")
	})
}
