package train

import (
	"bytes"
	"crypto/sha256"
	"encoding/gob"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// checkpoint is all that a run needs to go on as if it had never stopped. Random numbers need no state of their own: they follow
// from the seed and the place in the data.
type checkpoint struct {
	Fingerprint   string // of the options and the corpus: another run's checkpoint is refused
	Step, Steps   int
	Epoch, Next   int // place in the data
	Tokens        int
	Tokenizer     []byte // tokenizer.json
	Weights       []float32
	First, Second []float32 // AdamW's moments
	Average       []float32 // EMA of the weights
	Curve         Curve
}

// checkpointPath is beside the folder of the weights, so that the folder never holds a half-trained model.
func checkpointPath(out string) string { return filepath.Clean(out) + ".checkpoint" }

// save replaces the checkpoint at path at once: a run killed in the middle leaves the one before. The file is a
// gob after its SHA-256.
func (c *checkpoint) save(path string) error {
	var body bytes.Buffer
	if err := gob.NewEncoder(&body).Encode(c); err != nil {
		return fmt.Errorf("train: encode the checkpoint: %w", err)
	}
	sum := sha256.Sum256(body.Bytes())
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("train: save the checkpoint: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("train: save the checkpoint: %w", err)
	}
	_, err = tmp.Write(sum[:])
	if err == nil {
		_, err = tmp.Write(body.Bytes())
	}
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("train: save the checkpoint: %w", errors.Join(err, os.Remove(tmp.Name())))
	}
	return nil
}

// loadCheckpoint gives nil when there is none. It refuses a damaged one, and one of a run with another fingerprint.
func loadCheckpoint(path, fingerprint string) (*checkpoint, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("train: read the checkpoint: %w", err)
	}
	if len(data) < sha256.Size || sha256.Sum256(data[sha256.Size:]) != [sha256.Size]byte(data[:sha256.Size]) {
		return nil, fmt.Errorf("train: the checkpoint %s is damaged", path)
	}
	var c checkpoint
	if err := gob.NewDecoder(bytes.NewReader(data[sha256.Size:])).Decode(&c); err != nil {
		return nil, fmt.Errorf("train: the checkpoint %s: %w", path, err)
	}
	if c.Fingerprint != fingerprint {
		return nil, fmt.Errorf("train: the checkpoint %s is of a run with other options or another corpus; train without resuming, or remove it", path)
	}
	return &c, nil
}
