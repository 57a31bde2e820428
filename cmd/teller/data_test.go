package main

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDataImport(t *testing.T) {
	const csv = "text,category\nWhere is my card?,card_arrival\nIs it posted?,card_arrival\n"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/train.csv":
			_, _ = io.WriteString(w, csv)
		case "/page":
			_, _ = io.WriteString(w, "<html>Not found</html>")
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	dir := t.TempDir()
	file := filepath.Join(dir, "train.csv")
	require.NoError(t, os.WriteFile(file, []byte(csv), 0o644))
	for name, from := range map[string]string{"a file": file, "an address": server.URL + "/train.csv"} {
		t.Run(name, func(t *testing.T) {
			to := t.TempDir()
			var out bytes.Buffer
			require.NoError(t, dataImportCmd{Set: "banking77", From: from, To: to}.run(t.Context(), &out))
			require.Contains(t, out.String(), "2 questions with 1 labels")
			require.Contains(t, out.String(), "Creative Commons")
			rows, err := os.ReadFile(filepath.Join(to, "banking77", "rows.jsonl"))
			require.NoError(t, err)
			require.Equal(t, 2, strings.Count(string(rows), "\n"))
			attribution, err := os.ReadFile(filepath.Join(to, "banking77", "ATTRIBUTION.md"))
			require.NoError(t, err)
			require.Contains(t, string(attribution), from)
		})
	}
	for name, c := range map[string]struct{ from, want string }{
		"no file":            {filepath.Join(dir, "none"), "no such file"},
		"a missing page":     {server.URL + "/gone", "404"},
		"not the file":       {server.URL + "/page", "columns text and category"},
		"nobody is there":    {"http://127.0.0.1:1/train.csv", "--from"},
		"no address at all":  {"http://\x7f", "invalid"},
		"the other set's":    {file, ""},
		"a folder as source": {dir, "is a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			set := "banking77"
			if name == "the other set's" {
				set = "clinc150"
			}
			err := dataImportCmd{Set: set, From: c.from, To: t.TempDir()}.run(t.Context(), io.Discard)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestADownloadIsBounded(t *testing.T) {
	_, err := io.ReadAll(&bounded{strings.NewReader(strings.Repeat("x", 100)), 99})
	require.ErrorContains(t, err, "larger than")
	data, err := io.ReadAll(&bounded{strings.NewReader(strings.Repeat("x", 100)), 100})
	require.NoError(t, err)
	require.Len(t, data, 100)
}
