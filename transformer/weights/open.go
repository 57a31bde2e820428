package weights

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sync/errgroup"
)

// Open reads a model: a GGUF file, a Hugging Face folder, or a folder with exactly one GGUF file and no config.json. The error tells
// what is wrong and where.
func Open(path string) (*Model, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		if _, err := os.Stat(filepath.Join(path, configFile)); errors.Is(err, fs.ErrNotExist) {
			if path, err = onlyGGUF(path); err != nil {
				return nil, err
			}
			info = nil
		}
	}
	m, err := open(path, info != nil && info.IsDir())
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", path, err)
	}
	return m, nil
}

func open(path string, folder bool) (*Model, error) {
	if folder {
		return openFolder(func(name string) (mapped, error) { return mapFile(filepath.Join(path, name)) })
	}
	file, err := mapFile(path)
	if err != nil {
		return nil, err
	}
	m, err := openGGUF(file)
	if err != nil {
		return nil, errors.Join(err, file.close())
	}
	return m, nil
}

// OpenFS reads a Hugging Face folder of any file system, such as one that is embedded in the program. Its files are read, not mapped.
func OpenFS(dir fs.FS) (*Model, error) {
	return openFolder(func(name string) (mapped, error) {
		data, err := fs.ReadFile(dir, name)
		return mapped{data: data, close: func() error { return nil }}, err
	})
}

// onlyGGUF finds the one GGUF file of a folder.
func onlyGGUF(dir string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	var found []string
	for _, e := range entries {
		if strings.EqualFold(filepath.Ext(e.Name()), ".gguf") {
			found = append(found, e.Name())
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("model %s: the folder has neither a config.json nor a .gguf file", dir)
	case 1:
		return filepath.Join(dir, found[0]), nil
	default:
		return "", fmt.Errorf("model %s: the folder has %d .gguf files: name one", dir, len(found))
	}
}

// checkFinite looks at every tensor, on all processors.
func (m *Model) checkFinite() error {
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	for _, t := range m.Tensors() {
		group.Go(func() error {
			defer m.Forget(t)
			return t.CheckFinite()
		})
	}
	return group.Wait()
}
