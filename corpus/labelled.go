package corpus

import (
	"embed"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// Labelled is a set of our own extra training rows for a public data set, under that data set's labels.
type Labelled struct {
	Dataset string
	Rows    []LabelledRow // in the order of the files' names and of the lines in them
}

// LabelledRow is one text and the label that a classifier should give it.
type LabelledRow struct {
	Input string
	Label string
}

//go:embed labelled/*.yaml
var embeddedLabelled embed.FS

// LoadLabelled gives the labelled rows that ship with Teller, one set for each data set, ordered by
// the data sets' names. Several files may add to one data set, and to one label. An error is an
// *Error; a text that is empty, or stands twice in a data set (case, punctuation and spaces aside), is one.
func LoadLabelled() ([]Labelled, error) {
	return loadLabelled(embeddedLabelled, "labelled", "corpus/labelled")
}

// LoadLabelledDir reads every *.yaml file of a folder as LoadLabelled reads the embedded ones.
func LoadLabelledDir(dir string) ([]Labelled, error) {
	return loadLabelled(os.DirFS(dir), ".", dir)
}

// loadLabelled reads the folder root of fsys. shown is the folder's name in errors.
func loadLabelled(fsys fs.FS, root, shown string) ([]Labelled, error) {
	names, err := fs.Glob(fsys, filepath.ToSlash(filepath.Join(root, "*.yaml")))
	if err != nil {
		return nil, &Error{File: shown, Message: "the folder cannot be read", Cause: err}
	}
	if len(names) == 0 {
		return nil, &Error{File: shown, Message: "the folder holds no .yaml file"}
	}
	var sets []Labelled
	firsts := map[string]string{} // where a text of a data set first stands
	for _, path := range names {
		name := filepath.Join(shown, filepath.Base(path))
		data, err := fs.ReadFile(fsys, path)
		if err != nil {
			return nil, &Error{File: name, Message: "the file cannot be read", Cause: err}
		}
		f, err := parseLabelled(name, data)
		if err != nil {
			return nil, err
		}
		i := slices.IndexFunc(sets, func(set Labelled) bool { return set.Dataset == f.dataset })
		if i < 0 {
			i = len(sets)
			sets = append(sets, Labelled{Dataset: f.dataset})
		}
		for _, row := range f.rows {
			where := fmt.Sprintf("%s:%d", name, row.input.line)
			key := f.dataset + "\x00" + normalise(row.input.value)
			if first, ok := firsts[key]; ok {
				return nil, &Error{File: name, Line: row.input.line, Message: fmt.Sprintf("the text %q stands in %s as well", row.input.value, first)}
			}
			firsts[key] = where
			sets[i].Rows = append(sets[i].Rows, LabelledRow{Input: row.input.value, Label: row.label})
		}
	}
	slices.SortFunc(sets, func(a, b Labelled) int { return strings.Compare(a.Dataset, b.Dataset) })
	return sets, nil
}

type labelledFile struct {
	dataset string
	rows    []rawLabelledRow
}

type rawLabelledRow struct {
	input text
	label string
}

func parseLabelled(name string, data []byte) (labelledFile, error) {
	r := reader{name: name}
	body, err := r.document(data)
	if err != nil {
		return labelledFile{}, err
	}
	var f labelledFile
	err = r.mapping(body, func(key text, value ast.Node) (err error) {
		switch key.value {
		case "dataset":
			var t text
			t, err = r.text(value)
			f.dataset = t.value
		case "labels":
			err = r.mapping(value, func(label text, inputs ast.Node) error {
				rows, err := r.labelledRows(label, inputs)
				f.rows = append(f.rows, rows...)
				return err
			})
		default:
			err = r.fail(key.line, "unknown key %q", key.value)
		}
		return err
	})
	if err != nil {
		return labelledFile{}, err
	}
	if f.dataset == "" {
		return labelledFile{}, r.fail(line(body), `the key "dataset" is missing or empty`)
	}
	if len(f.rows) == 0 {
		return labelledFile{}, r.fail(line(body), `the key "labels" is missing or empty`)
	}
	return f, nil
}

func (r reader) labelledRows(label text, node ast.Node) ([]rawLabelledRow, error) {
	if label.value == "" {
		return nil, r.fail(label.line, "a label is empty")
	}
	inputs, err := r.texts(node)
	if err != nil {
		return nil, err
	}
	if len(inputs) == 0 {
		return nil, r.fail(label.line, "the label %q has no texts", label.value)
	}
	rows := make([]rawLabelledRow, len(inputs))
	for i, input := range inputs {
		if normalise(input.value) == "" {
			return nil, r.fail(input.line, "a text of the label %q is empty", label.value)
		}
		rows[i] = rawLabelledRow{input: input, label: label.value}
	}
	return rows, nil
}
