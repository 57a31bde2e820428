package train

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teller/corpus"
	"teller/transformer"
)

// tiny is a run of well under a second on a corpus of its own.
func tiny(t *testing.T) (*corpus.Corpus, Options) {
	t.Helper()
	c, err := corpus.LoadDir("testdata/corpus")
	require.NoError(t, err)
	o := Default()
	o.Out = filepath.Join(t.TempDir(), "model")
	o.Steps, o.Vocab, o.Hidden, o.Intermediate, o.Layers, o.Heads, o.KVHeads = 12, 600, 24, 40, 2, 4, 2
	o.NgramRows, o.NgramDim = 512, 16
	o.BatchTokens, o.WarmUp, o.ValidateEvery, o.CheckpointEvery, o.AccountShare, o.EchoesFirst = 512, 2, 5, 0, 0, 20
	return c, o
}

func weightsOf(t *testing.T, dir string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "model.safetensors"))
	require.NoError(t, err)
	return data
}

func TestSameSeedSameWeights(t *testing.T) {
	c, o := tiny(t)
	first, err := Run(t.Context(), c, nil, o, nil)
	require.NoError(t, err)
	require.Less(t, first.Loss, first.Curve.Train[0].Loss, "training does not lower the loss")
	require.NotEmpty(t, first.Curve.Validation)
	bundle, err := transformer.LoadDir(o.Out)
	require.NoError(t, err)
	require.Equal(t, first.Parameters, bundle.Config.Parameters())

	t.Run("on one core", func(t *testing.T) {
		again := o
		again.Out = filepath.Join(t.TempDir(), "model")
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
		second, err := Run(t.Context(), c, nil, again, nil)
		require.NoError(t, err)
		require.Equal(t, first.Curve, second.Curve)
		require.Equal(t, weightsOf(t, o.Out), weightsOf(t, again.Out))
	})
	t.Run("killed and resumed", func(t *testing.T) {
		again := o
		again.Out, again.Resume = filepath.Join(t.TempDir(), "model"), true
		ctx, cancel := context.WithCancel(t.Context())
		_, err := Run(ctx, c, nil, again, func(p Progress) {
			if p.Step == 7 {
				cancel()
			}
		})
		require.ErrorIs(t, err, context.Canceled)
		require.NoFileExists(t, filepath.Join(again.Out, "model.safetensors"))

		other := again
		other.Rate *= 2
		_, err = Run(t.Context(), c, nil, other, nil)
		require.ErrorContains(t, err, "other options")

		var steps []int
		second, err := Run(t.Context(), c, nil, again, func(p Progress) { steps = append(steps, p.Step) })
		require.NoError(t, err)
		require.Equal(t, []int{8, 9, 10, 11, 12}, steps)
		require.Equal(t, first.Curve, second.Curve)
		require.Equal(t, weightsOf(t, o.Out), weightsOf(t, again.Out))
		require.NoFileExists(t, checkpointPath(again.Out))
	})
	t.Run("another seed", func(t *testing.T) {
		again := o
		again.Out, again.Seed = filepath.Join(t.TempDir(), "model"), o.Seed+1
		_, err := Run(t.Context(), c, nil, again, nil)
		require.NoError(t, err)
		require.NotEqual(t, weightsOf(t, o.Out), weightsOf(t, again.Out))
	})
}

func TestKilledBetweenCheckpointsLosesNothing(t *testing.T) {
	c, o := tiny(t)
	_, err := Run(t.Context(), c, nil, o, nil)
	require.NoError(t, err)
	want := weightsOf(t, o.Out)

	o.Out, o.Resume, o.CheckpointEvery = filepath.Join(t.TempDir(), "model"), true, 3
	r, err := newRun(c, nil, o)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	kept := filepath.Join(t.TempDir(), "kept")
	_ = r.loop(ctx, func(p Progress) {
		if p.Step == 8 { // what stands on disk now is the state after step 6, as a SIGKILL would leave it
			data, err := os.ReadFile(checkpointPath(o.Out))
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(kept, data, 0o600))
			cancel()
		}
	})
	require.NoError(t, r.close())
	require.NoError(t, os.Rename(kept, checkpointPath(o.Out)))
	var first int
	_, err = Run(t.Context(), c, nil, o, func(p Progress) {
		if first == 0 {
			first = p.Step
		}
	})
	require.NoError(t, err)
	require.Equal(t, 7, first)
	require.Equal(t, want, weightsOf(t, o.Out))
}

func TestDamagedCheckpointIsRefused(t *testing.T) {
	c, o := tiny(t)
	o.Resume = true
	path := checkpointPath(o.Out)
	require.NoError(t, (&checkpoint{Weights: []float32{1, 2}}).save(path))
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	for name, damaged := range map[string][]byte{"cut short": data[:len(data)-3], "altered": append(data[:len(data)-1:len(data)-1], data[len(data)-1]^1), "empty": {}} {
		t.Run(name, func(t *testing.T) {
			require.NoError(t, os.WriteFile(path, damaged, 0o600))
			_, err := Run(t.Context(), c, nil, o, nil)
			require.ErrorContains(t, err, "damaged")
		})
	}
}

func TestBadOptionsAreNamed(t *testing.T) {
	c, good := tiny(t)
	for name, spoil := range map[string]func(*Options){
		"Steps": func(o *Options) { o.Steps = -1 }, "Heads": func(o *Options) { o.Heads = 5 }, "KVHeads": func(o *Options) { o.KVHeads = 3 },
		"BatchTokens": func(o *Options) { o.BatchTokens = 10 }, "Smoothing": func(o *Options) { o.Smoothing = 1 }, "folder": func(o *Options) { o.Out = "" },
	} {
		t.Run(name, func(t *testing.T) {
			o := good
			spoil(&o)
			_, err := Run(t.Context(), c, nil, o, nil)
			require.ErrorContains(t, err, name)
		})
	}
	t.Run("window too small", func(t *testing.T) {
		o := good
		o.Window = 8
		_, err := Run(t.Context(), c, nil, o, nil)
		require.ErrorContains(t, err, "does not fit the window of 8")
	})
}

func TestDurationSettlesTheSteps(t *testing.T) {
	c, o := tiny(t)
	o.Steps, o.Duration, o.EchoesFirst = 0, time.Nanosecond, 0
	r, err := Run(t.Context(), c, nil, o, nil)
	require.NoError(t, err)
	require.Equal(t, 1, r.Steps)
	require.Equal(t, 1, r.Epochs)

	o.Duration = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	_, err = Run(ctx, c, nil, o, func(p Progress) {
		require.Greater(t, p.Steps, 1)
		cancel()
	})
	require.ErrorIs(t, err, context.Canceled)
}
