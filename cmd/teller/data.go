package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"teller/config"
	"teller/transformer/train/publicdata"
)

type dataCmd struct {
	Import dataImportCmd `cmd:"" help:"Import a public data set that 'teller train --data' can train on beside the corpus: banking77 or clinc150."`
}

type dataImportCmd struct {
	Set  string `arg:"" enum:"banking77,clinc150" help:"banking77 (CC BY 4.0) or clinc150 (CC BY 3.0; its banking and credit card intents and out-of-scope questions)."`
	From string `placeholder:"FILE|URL" help:"Where the set's published file is: train.csv of BANKING77, data_full.json of CLINC150. Default: its public address."`
	To   string `type:"path" placeholder:"DIR" help:"Folder for the sets, each in a folder of its own. Default: datasets in TELLER_DATA_DIR."`
}

// Help is shown by 'teller data import --help'.
func (dataImportCmd) Help() string {
	return `Writes DIR/SET/rows.jsonl, a JSON object {"input","expected"} a line, and DIR/SET/ATTRIBUTION.md with the licence and
whom it asks to name. Test splits are never imported.

  teller data import banking77
  teller data import clinc150 --from data_full.json --to data
  teller train --data data --out my-model`
}

// Bounds of a download. The files have 1 and 3 MB.
const (
	maxDataset      = 64 << 20
	downloadTimeout = 5 * time.Minute
)

// Run imports one set.
func (d dataImportCmd) Run(ctx context.Context) error { return d.run(ctx, os.Stdout) }

func (d dataImportCmd) run(ctx context.Context, out io.Writer) error {
	set, err := publicdata.Find(d.Set)
	if err != nil {
		return err
	}
	to := d.To
	if to == "" {
		if to, err = datasetsDir(); err != nil {
			return err
		}
	}
	from := d.From
	if from == "" {
		from = set.Source
	}
	data, err := open(ctx, from)
	if err != nil {
		return err
	}
	rows, labels, err := set.Import(&bounded{data, maxDataset}, from, to)
	if err = errors.Join(err, data.Close()); err != nil {
		return err
	}
	fmt.Fprintf(out, "%s: %d questions with %d labels in %s.\nLicence: %s\n%s\n", set.Title, rows, labels, filepath.Join(to, set.Name), set.Licence, set.Attribution)
	return nil
}

// datasetsDir is where imported sets stand unless a flag says otherwise.
func datasetsDir() (string, error) {
	cfg, err := config.Load()
	if err != nil {
		return "", err
	}
	return filepath.Join(cfg.DataDir, "datasets"), nil
}

// open gives the content of a file, or of an http or https address.
func open(ctx context.Context, from string) (io.ReadCloser, error) {
	if !strings.HasPrefix(from, "https://") && !strings.HasPrefix(from, "http://") {
		return os.Open(from)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, err
	}
	resp, err := (&http.Client{Timeout: downloadTimeout}).Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w; without a network, download the file elsewhere and give it with --from", err)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, errors.Join(fmt.Errorf("%s answered %s", from, resp.Status), resp.Body.Close())
	}
	return resp.Body, nil
}

// bounded fails once more than left bytes were read, where io.LimitReader would make a cut file of a large one.
type bounded struct {
	from io.Reader
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	if b.left -= n; b.left < 0 {
		return 0, fmt.Errorf("it is larger than %d MB", maxDataset>>20)
	}
	return n, err
}
