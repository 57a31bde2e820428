package opencl

import (
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"teller/transformer/llama"
	"teller/transformer/llama/devicetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hardware gives what the tests run on: a graphics card where there is one, else PoCL.
func hardware(t testing.TB) Hardware {
	all, err := Find()
	if err != nil {
		t.Skipf("no OpenCL here: %v", err)
	}
	for _, h := range all {
		if h.GPU {
			return h
		}
	}
	return all[0]
}

func TestDevice(t *testing.T) {
	h := hardware(t)
	t.Logf("%s, %s", h.Name, h.Version)
	devicetest.Suite{
		Open: func(t testing.TB, m *llama.Model, pages int) llama.Device {
			d, err := Accelerator{h}.Open(m, pages)
			require.NoError(t, err)
			return d
		},
		Tolerance: 1e-5,
		Quantised: 1e-5, // what the bits stand for is a float32, and so are the inputs
	}.Run(t)
}
