package benchmark

import (
	"embed"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

//go:embed suites
var shipped embed.FS

// ShippedNames are the names of the suites that come with the program, sorted.
func ShippedNames() []string {
	entries, err := fs.ReadDir(shipped, "suites")
	if err != nil {
		panic("benchmark: the embedded suites: " + err.Error())
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() || isSuiteFile(e.Name()) {
			names = append(names, strings.TrimSuffix(e.Name(), path.Ext(e.Name())))
		}
	}
	slices.Sort(names)
	return names
}

// Shipped loads a suite that comes with the program.
func Shipped(name string) (Suite, error) {
	entries, err := fs.ReadDir(shipped, "suites")
	if err != nil {
		return Suite{}, err
	}
	for _, e := range entries {
		if (e.IsDir() || isSuiteFile(e.Name())) && strings.TrimSuffix(e.Name(), path.Ext(e.Name())) == name {
			return Load(shipped, path.Join("suites", e.Name()))
		}
	}
	return Suite{}, fmt.Errorf("there is no suite %q; there are %s", name, strings.Join(ShippedNames(), ", "))
}
