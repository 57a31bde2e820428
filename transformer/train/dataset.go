package train

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"teller/corpus"
	"teller/evaluation"
	"teller/transformer"
)

// Dataset is labelled questions beside the corpus: a public data set, imported by "teller data import". Its name is the namespace of its
// labels in the model.
type Dataset struct {
	Name string
	Rows []Row
	// Extra rows are trained on and never held out: paraphrases of our own for the data set's labels.
	Extra []Row
	// Intents are the labels whose rows are trained on a second time under an intent of the corpus, which asks for the same.
	Intents map[string]string
}

// Row is a question and its label.
type Row = evaluation.Row

// RowsFile is the file of a data set's folder that holds its rows, a JSON object {"input","expected"} a line.
const RowsFile = "rows.jsonl"

// LoadDatasets reads every folder of dir that has a RowsFile, by name. A line that is not a row is an error with file and line.
func LoadDatasets(dir string) ([]Dataset, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("train: %w", err)
	}
	var sets []Dataset
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name(), RowsFile)
		data, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) || err != nil && !entry.IsDir() {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("train: %w", err)
		}
		rows, err := evaluation.ReadRows(bytes.NewReader(data), path)
		if err != nil {
			return nil, err
		}
		sets = append(sets, Dataset{Name: entry.Name(), Rows: rows})
	}
	if len(sets) == 0 {
		return nil, fmt.Errorf("train: no folder of %s holds a %s; 'teller data import' makes one", dir, RowsFile)
	}
	return sets, nil
}

// AddLabelled gives each data set the corpus's own phrasings for its labels as extra rows. It refuses a label that the set does not
// have; phrasings for sets that are not there are left aside.
func AddLabelled(sets []Dataset, labelled []corpus.Labelled) error {
	for _, l := range labelled {
		i := slices.IndexFunc(sets, func(d Dataset) bool { return d.Name == l.Dataset })
		if i < 0 {
			continue
		}
		known := sets[i].labels().Names
		for _, row := range l.Rows {
			if !slices.Contains(known, row.Label) {
				return fmt.Errorf("train: the data set %s has no label %q, which phrasings of our own name", l.Dataset, row.Label)
			}
			sets[i].Extra = append(sets[i].Extra, Row{Input: row.Input, Expected: row.Label})
		}
	}
	return nil
}

// AddEquivalents tells each data set which of its labels are intents of the corpus as well. It refuses a label that the set does not have.
func AddEquivalents(sets []Dataset, equivalents corpus.Equivalents) error {
	for i := range sets {
		known := sets[i].labels().Names
		for label := range equivalents[sets[i].Name] {
			if !slices.Contains(known, label) {
				return fmt.Errorf("train: the data set %s has no label %q, which an intent is said to equal", sets[i].Name, label)
			}
		}
		sets[i].Intents = equivalents[sets[i].Name]
	}
	return nil
}

// labels gives the data set's labels, sorted.
func (d Dataset) labels() transformer.LabelSet {
	seen := map[string]bool{}
	set := transformer.LabelSet{Namespace: d.Name}
	for _, row := range d.Rows {
		if !seen[row.Expected] {
			seen[row.Expected] = true
			set.Names = append(set.Names, row.Expected)
		}
	}
	slices.Sort(set.Names)
	return set
}
