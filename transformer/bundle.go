package transformer

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"teller/transformer/safetensors"
)

// The files of a model's folder, named as Hugging Face names them.
const (
	configFile    = "config.json"
	weightsFile   = "model.safetensors"
	tokenizerFile = "tokenizer.json"
)

// Bundle is a model with what belongs to it.
type Bundle struct {
	Config    Config
	Tokenizer *Tokenizer
	Model     *Model
	// Calibration is nil when the folder has none.
	Calibration *Calibration
	// Version names the weights: "custom-" and the first eight hex digits of their file's SHA-256.
	Version string
}

// LoadDir reads a model's folder. Nothing in it is trusted: see LoadFS.
func LoadDir(dir string) (*Bundle, error) {
	b, err := LoadFS(os.DirFS(dir))
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", dir, err)
	}
	return b, nil
}

// LoadFS reads config.json, tokenizer.json and model.safetensors. Where config.json has their checksums,
// a file that was cut short, altered or taken from another model is refused; so is a tokenizer that
// has not exactly the model's vocabulary and its begin and end tokens, and a calibration.json of other weights.
func LoadFS(dir fs.FS) (*Bundle, error) {
	data, err := fs.ReadFile(dir, configFile)
	if err != nil {
		return nil, err
	}
	cfg, err := ParseConfig(data)
	if err != nil {
		return nil, err
	}
	tokenizerData, _, err := readChecked(dir, tokenizerFile, cfg.TokenizerSHA256)
	if err != nil {
		return nil, err
	}
	tokenizer, err := LoadTokenizer(tokenizerData)
	if err != nil {
		return nil, err
	}
	if err := matches(cfg, tokenizer); err != nil {
		return nil, err
	}
	weights, sum, err := readChecked(dir, weightsFile, cfg.WeightsSHA256)
	if err != nil {
		return nil, err
	}
	parsed, err := safetensors.Parse(weights)
	if err != nil {
		return nil, err
	}
	model, err := NewModel(cfg, parsed.Tensors)
	if err != nil {
		return nil, err
	}
	if err := model.Attach(tokenizer); err != nil {
		return nil, err
	}
	b := &Bundle{Config: cfg, Tokenizer: tokenizer, Model: model, Version: "custom-" + sum[:8]}
	data, err = fs.ReadFile(dir, calibrationFile)
	if errors.Is(err, fs.ErrNotExist) {
		return b, nil
	}
	if err != nil {
		return nil, err
	}
	if b.Calibration, err = parseCalibration(data, sum); err != nil {
		return nil, err
	}
	return b, nil
}

// readChecked reads a file and gives its checksum, which must be want unless want is empty.
func readChecked(dir fs.FS, name, want string) (data []byte, sum string, err error) {
	data, err = fs.ReadFile(dir, name)
	if err != nil {
		return nil, "", err
	}
	sum = checksum(data)
	if want != "" && sum != want {
		return nil, "", fmt.Errorf("%s has SHA-256 %s, config.json wants %s: it is damaged or belongs to another model", name, sum, want)
	}
	return data, sum, nil
}

func checksum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// matches tells whether tokenizer can be the one the model was trained with.
func matches(cfg Config, tokenizer *Tokenizer) error {
	if tokenizer.VocabSize() != cfg.VocabSize {
		return fmt.Errorf("the tokenizer has %d tokens, the model %d", tokenizer.VocabSize(), cfg.VocabSize)
	}
	markers, err := tokenizer.dialogueMarkers()
	if err != nil {
		return err
	}
	if markers.begin != cfg.BOSTokenID || markers.end != cfg.EOSTokenID {
		return fmt.Errorf("the tokenizer's %s is %d and %s is %d, the model wants %d and %d",
			BeginToken, markers.begin, EndToken, markers.end, cfg.BOSTokenID, cfg.EOSTokenID)
	}
	return nil
}

// SaveDir writes a model's folder, made if need be, that LoadDir reads. It sets cfg's checksums. Each file
// is replaced at once and config.json comes last, so a folder that a crash left half written is refused by its
// checksums rather than served. A calibration of the weights before is removed.
func SaveDir(dir string, cfg Config, tensors []safetensors.Tensor, tokenizer *Tokenizer) error {
	if err := cfg.Validate(); err != nil {
		return err
	}
	if err := matches(cfg, tokenizer); err != nil {
		return err
	}
	if err := checkTensors(cfg, tensors); err != nil {
		return err
	}
	tokenizerData, err := tokenizer.MarshalJSON()
	if err != nil {
		return err
	}
	var weights bytes.Buffer
	if err := safetensors.Write(&weights, tensors, map[string]string{"format": "pt"}); err != nil {
		return err
	}
	cfg.TokenizerSHA256 = checksum(tokenizerData)
	cfg.WeightsSHA256 = checksum(weights.Bytes())
	configData, err := json.MarshalIndent(cfg, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := os.Remove(filepath.Join(dir, calibrationFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{
		{tokenizerFile, tokenizerData},
		{weightsFile, weights.Bytes()},
		{configFile, append(configData, '\n')},
	} {
		if err := replaceFile(filepath.Join(dir, f.name), f.data); err != nil {
			return err
		}
	}
	return nil
}

// replaceFile writes a file beside its place and renames it there.
func replaceFile(path string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(data)
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(tmp.Name()))
	}
	return nil
}
