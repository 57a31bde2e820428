package benchmark

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Load reads a suite: a file, or every suite file below a folder, whose name without its ending is the suite's. A file is YAML
// (.yaml, .yml), JSON (.json) or one JSON case a line (.jsonl, .ndjson): a list of cases in promptfoo's shape, or promptfoo's
// configuration with its key "tests". README.md beside this file describes it.
//
// What does not parse is a *evaluation.LineError that names file and line.
func Load(fsys fs.FS, name string) (Suite, error) {
	name = path.Clean(name)
	files, err := suiteFiles(fsys, name)
	if err != nil {
		return Suite{}, err
	}
	l := loader{fsys: fsys, ids: map[string]string{}}
	for _, file := range files {
		if err := l.file(file, inSuite(name, file)); err != nil {
			return Suite{}, err
		}
	}
	if len(l.cases) == 0 {
		return Suite{}, fmt.Errorf("%s holds no cases", name)
	}
	return newSuite(strings.TrimSuffix(path.Base(name), path.Ext(name)), l.cases, l.notes), nil
}

func isSuiteFile(name string) bool {
	switch path.Ext(name) {
	case ".yaml", ".yml", ".json", ".jsonl", ".ndjson":
		return true
	}
	return false
}

func suiteFiles(fsys fs.FS, name string) ([]string, error) {
	info, err := fs.Stat(fsys, name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		if !isSuiteFile(name) {
			return nil, fmt.Errorf("%s: a suite's file ends in .yaml, .yml, .json, .jsonl or .ndjson", name)
		}
		return []string{name}, nil
	}
	var files []string
	err = fs.WalkDir(fsys, name, func(file string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && isSuiteFile(file) {
			files = append(files, file)
		}
		return err
	})
	if err == nil && len(files) == 0 {
		err = fmt.Errorf("%s holds no suite files", name)
	}
	return files, err
}

// inSuite is a file's path within its suite, so that the id of a case without one does not change when the suite moves.
func inSuite(suite, file string) string {
	if file == suite {
		return path.Base(file)
	}
	return strings.TrimPrefix(file, suite+"/")
}

type loader struct {
	fsys  fs.FS
	cases []Case
	ids   map[string]string // by id: the place of its case
	notes []string
	depth int // of files that name further files
}

func (l *loader) file(file, short string) error {
	root, err := readTree(l.fsys, file)
	if err != nil {
		return err
	}
	r := reader{loader: l, file: file, short: short, root: root}
	switch root.kind {
	case isList:
		return r.tests(root)
	case isMapping:
		return r.config(root)
	default:
		return fail(file, root.line, "a suite is a list of cases or a mapping with the key tests, not %s", root.kind)
	}
}

func readTree(fsys fs.FS, file string) (node, error) {
	data, err := readFile(fsys, file)
	if err != nil {
		return node{}, err
	}
	return parseTree(file, data)
}

func parseTree(file string, data []byte) (node, error) {
	data = []byte(strings.TrimPrefix(string(data), "\ufeff"))
	switch path.Ext(file) {
	case ".json":
		return parseJSON(file, data, 1)
	case ".jsonl", ".ndjson":
		return parseJSONLines(file, data)
	default:
		return parseYAML(file, data)
	}
}

func readFile(fsys fs.FS, file string) ([]byte, error) {
	f, err := fsys.Open(file)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(f, maxFileBytes+1))
	if err == nil && len(data) > maxFileBytes {
		err = errors.New("the file is larger than 64 MiB")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return data, nil
}

func (l *loader) add(c Case) error {
	if first, taken := l.ids[c.ID]; taken {
		return fail(c.file, c.line, "the id %q is taken by the case at %s", c.ID, first)
	}
	l.ids[c.ID] = c.Place()
	l.cases = append(l.cases, c)
	return nil
}

func (l *loader) note(format string, args ...any) {
	if note := fmt.Sprintf(format, args...); !slices.Contains(l.notes, note) {
		l.notes = append(l.notes, note)
	}
}
