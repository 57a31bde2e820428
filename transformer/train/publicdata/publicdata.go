// Package publicdata imports the public data sets that the custom transformer may train on beside our own corpus. It turns each one's
// published file into rows {"input","expected"} and keeps its licence and attribution with them. The data are never part of
// Teller's repository, and no test split is ever imported, whatever a file holds.
package publicdata

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"teller/transformer"
	"teller/transformer/train"
)

// Set is a public data set.
type Set struct {
	Name   string
	Title  string
	Source string // its public address: what Import reads when it is given nothing else
	// Licence is the licence's name and address, Attribution whom it asks to name.
	Licence, Attribution string

	read func(data []byte) ([]train.Row, error)
}

// Sets are the data sets that can be imported.
func Sets() []Set {
	return []Set{
		{
			Name: "banking77", Title: "BANKING77, training split",
			Source:      "https://raw.githubusercontent.com/PolyAI-LDN/task-specific-datasets/master/banking_data/train.csv",
			Licence:     "Creative Commons Attribution 4.0 International, https://creativecommons.org/licenses/by/4.0/",
			Attribution: "Iñigo Casanueva, Tadas Temčinas, Daniela Gerz, Matthew Henderson, Ivan Vulić: Efficient Intent Detection with Dual Sentence Encoders. NLP4ConvAI, ACL 2020. https://github.com/PolyAI-LDN/task-specific-datasets",
			read:        readBanking77,
		},
		{
			Name: "clinc150", Title: "CLINC150, banking and credit card intents and out-of-scope questions of the training and validation splits",
			Source:      "https://raw.githubusercontent.com/clinc/oos-eval/master/data/data_full.json",
			Licence:     "Creative Commons Attribution 3.0 Unported, https://creativecommons.org/licenses/by/3.0/",
			Attribution: "Stefan Larson, Anish Mahendran, Joseph J. Peper, Christopher Clarke, Andrew Lee, Parker Hill, Jonathan K. Kummerfeld, Kevin Leach, Michael A. Laurenzano, Lingjia Tang, Jason Mars: An Evaluation Dataset for Intent Classification and Out-of-Scope Prediction. EMNLP-IJCNLP 2019. https://github.com/clinc/oos-eval",
			read:        readCLINC150,
		},
	}
}

// Find gives the set of a name.
func Find(name string) (Set, error) {
	var names []string
	for _, s := range Sets() {
		if s.Name == name {
			return s, nil
		}
		names = append(names, s.Name)
	}
	return Set{}, fmt.Errorf("no data set %q; there are %s", name, strings.Join(names, " and "))
}

// Import reads the set's published file and writes the folder dir/NAME with the rows, as train.LoadDatasets reads them, and ATTRIBUTION.md. It
// gives the number of rows and of labels. from says where the data came from, for the attribution.
func (s Set) Import(data io.Reader, from, dir string) (rows, labels int, err error) {
	body, err := io.ReadAll(data)
	if err != nil {
		return 0, 0, fmt.Errorf("read %s: %w", from, err)
	}
	parsed, err := s.read(body)
	if err != nil {
		return 0, 0, fmt.Errorf("%s is not the file of %s: %w", from, s.Name, err)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	seen := map[string]bool{}
	for _, row := range parsed {
		seen[row.Expected] = true
		if err := enc.Encode(struct {
			Input    string `json:"input"`
			Expected string `json:"expected"`
		}(row)); err != nil {
			return 0, 0, err
		}
	}
	folder := filepath.Join(dir, s.Name)
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return 0, 0, err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{"ATTRIBUTION.md", s.attribution(from)}, {train.RowsFile, out.Bytes()}} {
		if err := os.WriteFile(filepath.Join(folder, f.name), f.data, 0o644); err != nil {
			return 0, 0, err
		}
	}
	return len(parsed), len(seen), nil
}

func (s Set) attribution(from string) []byte {
	return fmt.Appendf(nil, `# %s

%s

Licence: %s

Imported from: %s

Changes: rows were turned into JSON objects with the fields "input" and "expected"; nothing was added or reworded.
`, s.Title, s.Attribution, s.Licence, from)
}

// readBanking77 reads the CSV file with the columns text and category.
func readBanking77(data []byte) ([]train.Row, error) {
	records, err := csv.NewReader(bytes.NewReader(data)).ReadAll()
	if err != nil {
		return nil, err
	}
	if len(records) < 2 || !slices.Equal(records[0], []string{"text", "category"}) {
		return nil, errors.New("it must be CSV with the columns text and category, and rows")
	}
	var rows []train.Row
	for i, r := range records[1:] {
		row := train.Row{Input: strings.TrimSpace(r[0]), Expected: strings.TrimSpace(r[1])}
		if row.Input == "" || row.Expected == "" {
			return nil, fmt.Errorf("record %d lacks its text or its category", i+2)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// clincIntents are the banking and credit card intents of CLINC150.
var clincIntents = []string{
	"account_blocked", "application_status", "apr", "balance", "bill_balance", "bill_due", "card_declined", "credit_limit", "credit_limit_change",
	"credit_score", "damaged_card", "expiration_date", "freeze_account", "improve_credit_score", "interest_rate", "international_fees", "min_payment",
	"new_card", "order_checks", "pay_bill", "pin_change", "redeem_rewards", "replacement_card_duration", "report_fraud", "report_lost_card",
	"rewards_balance", "routing", "spending_history", "transactions", "transfer",
}

// readCLINC150 reads the JSON object of splits, each a list of [text, intent] pairs. Intents of other domains are left out.
func readCLINC150(data []byte) ([]train.Row, error) {
	var splits map[string][][2]string
	if err := json.Unmarshal(data, &splits); err != nil {
		return nil, err
	}
	var rows []train.Row
	for _, split := range []string{"train", "val", "oos_train", "oos_val"} {
		for i, pair := range splits[split] {
			text, intent := strings.TrimSpace(pair[0]), pair[1]
			if intent != transformer.OutOfScopeLabel && !slices.Contains(clincIntents, intent) {
				continue
			}
			if text == "" {
				return nil, fmt.Errorf("item %d of %s has no text", i, split)
			}
			rows = append(rows, train.Row{Input: text, Expected: intent})
		}
	}
	if len(rows) == 0 {
		return nil, errors.New("it must be a JSON object with train and val, lists of [text, intent]")
	}
	return rows, nil
}
