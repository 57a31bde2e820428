package transformer_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/transformer"
	"teller/transformer/transformertest"
)

func TestCalibrationBelongsToItsWeights(t *testing.T) {
	dir := t.TempDir()
	b := transformertest.LabelledBundle(5)
	save := func(seed uint64) *transformer.Bundle {
		require.NoError(t, transformer.SaveDir(dir, b.Config, transformertest.Tensors(b.Config, seed), b.Tokenizer))
		loaded, err := transformer.LoadDir(dir)
		require.NoError(t, err)
		return loaded
	}
	loaded := save(5)
	require.Nil(t, loaded.Calibration)
	want := transformer.Calibration{Temperatures: map[string]float64{"teller": 2, "public": 0.5}, OutOfScope: []string{"other"}}
	require.ErrorContains(t, transformer.SaveCalibration(dir, b, want), "checksum")
	require.NoError(t, transformer.SaveCalibration(dir, loaded, want))
	calibrated, err := transformer.LoadDir(dir)
	require.NoError(t, err)
	want.WeightsSHA256 = loaded.Config.WeightsSHA256
	require.Equal(t, &want, calibrated.Calibration)

	path := filepath.Join(dir, "calibration.json")
	data, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Nil(t, save(6).Calibration, "new weights take the old calibration away")
	require.NoError(t, os.WriteFile(path, data, 0o644))
	_, err = transformer.LoadDir(dir)
	require.ErrorContains(t, err, "calibrate again")
	require.NoError(t, os.WriteFile(path, data[:len(data)/2], 0o644))
	_, err = transformer.LoadDir(dir)
	require.ErrorContains(t, err, "calibration.json")
	want.Temperatures["teller"] = 0
	require.ErrorContains(t, transformer.SaveCalibration(dir, loaded, want), `temperature of "teller"`)
}

func TestCalibratedProbabilities(t *testing.T) {
	b := transformertest.LabelledBundle(5)
	logProbs := []float64{math.Log(0.6), math.Log(0.1), math.Log(0.3)}
	require.InDeltaSlice(t, []float64{0.6, 0.1, 0.3}, b.Calibrated("teller", logProbs), 1e-12)
	confidence, ok := b.Confidence(logProbs)
	require.True(t, ok)
	require.InDelta(t, 0.6, confidence, 1e-12)
	require.Empty(t, b.OutOfScope("teller"))
	require.Empty(t, b.OutOfScope("public"))
	_, ok = b.Confidence(nil)
	require.False(t, ok)

	b.Calibration = &transformer.Calibration{Temperatures: map[string]float64{"teller": 0.5}, OutOfScope: []string{"balance"}}
	require.InDeltaSlice(t, []float64{36.0 / 46, 1.0 / 46, 9.0 / 46}, b.Calibrated("teller", logProbs), 1e-12)
	confidence, _ = b.Confidence(logProbs)
	require.InDelta(t, 9.0/46*math.Pow(10.0/46, 4), confidence, 1e-12, "what is not about banking gives no confidence, and takes some")
	require.Equal(t, []string{"balance"}, b.OutOfScope("teller"))
}
