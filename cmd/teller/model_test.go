package main

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/transformer/gguf"
	"teller/transformer/modelfile"
)

func TestModelExport(t *testing.T) {
	t.Setenv("CUSTOM_MODEL_PATH", "")
	t.Chdir(t.TempDir()) // away from an .env
	to := filepath.Join(t.TempDir(), "x.gguf")
	require.NoError(t, modelExportCmd{To: to, Type: "q8_0"}.Run(context.Background()))
	m, err := modelfile.Open(to)
	require.NoError(t, err)
	require.Equal(t, gguf.Q8_0, m.Weights.Layers[0].Q.Type)
	require.NoError(t, m.Close())

	// A GGUF file is a model, too; the file that is read may be the one that is replaced.
	t.Setenv("CUSTOM_MODEL_PATH", to)
	require.NoError(t, modelExportCmd{To: to, Type: "f16"}.Run(context.Background()))
	m, err = modelfile.Open(to)
	require.NoError(t, err)
	require.Equal(t, gguf.F16, m.Weights.Layers[0].Q.Type)
	require.NoError(t, m.Close())

	stopped, stop := context.WithCancel(context.Background())
	stop()
	require.ErrorIs(t, modelExportCmd{To: to, Type: "f32"}.Run(stopped), context.Canceled)
	require.ErrorIs(t, modelExportCmd{To: to, Type: "f32", Model: "absent"}.Run(context.Background()), os.ErrNotExist)
	left, err := os.ReadDir(filepath.Dir(to))
	require.NoError(t, err)
	require.Len(t, left, 1, "what failed leaves nothing behind")
}
