// Package pretrained carries the weights that ship inside the binary, as "teller train" wrote them.
package pretrained

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"teller/transformer"
)

//go:embed banking
var files embed.FS

// Load makes the embedded model. Its three files are checked against one another as in transformer.LoadFS,
// and their checksums must be there. The error is fs.ErrNotExist when this build carries no weights.
func Load() (*transformer.Bundle, error) {
	b, err := load(files)
	if err != nil {
		return nil, fmt.Errorf("embedded model: %w", err)
	}
	return b, nil
}

func load(files fs.FS) (*transformer.Bundle, error) {
	dir, err := fs.Sub(files, "banking")
	if err != nil {
		return nil, err
	}
	b, err := transformer.LoadFS(dir)
	if err != nil {
		return nil, err
	}
	if b.Config.WeightsSHA256 == "" || b.Config.TokenizerSHA256 == "" {
		return nil, errors.New("config.json lacks weights_sha256 or tokenizer_sha256")
	}
	return b, nil
}
