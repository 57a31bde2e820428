package opencl

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"teller/transformer/gguf"
	"teller/transformer/llama"
	"teller/transformer/llama/devicetest"
	"teller/transformer/transformertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hardware gives what the tests run on: a graphics card where there is one, else PoCL.
func hardware(t testing.TB) Hardware {
	all, err := Find()
	if err != nil {
		t.Skipf("the tests of OpenCL are skipped: %v", err)
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

// A prompt that fills several tiles, then tokens one by one, of a model that is no multiple of anything.
func TestLogitsAgreeWithTheProcessor(t *testing.T) {
	h := hardware(t)
	a := transformertest.Architecture()
	a.Vocab, a.Hidden, a.Intermediate, a.Heads, a.KVHeads, a.HeadDim = 1003, 300, 500, 5, 5, 52
	for _, c := range []struct {
		name      string
		kind      gguf.Type
		options   llama.Options
		tolerance float64 // relative to the greatest logit
	}{
		{"float32", gguf.F32, llama.Options{ExactCache: true}, 1e-5},
		{"bfloat16", gguf.BF16, llama.Options{ExactCache: true}, 1e-5},
		{"cache of float16", gguf.F32, llama.Options{}, 1e-3},         // a last bit of float32 may turn one of float16
		{"eight bits", gguf.F32, llama.Options{Quantise: true}, 0.05}, // the processor rounds inputs to eight bits, too
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := llama.New(transformertest.Weights(a, c.kind, 2), c.options)
			require.NoError(t, err)
			cpu, err := llama.NewCPU(m, 8, 1)
			require.NoError(t, err)
			defer cpu.Close()
			d, err := Accelerator{h}.Open(m, 8)
			require.NoError(t, err)
			defer d.Close()
			tokens, worst := devicetest.Tokens(160, a.Vocab, 4), 0.0
			for from, to := 0, 150; from < len(tokens); from, to = to, to+1 {
				b := llama.Batch{Pieces: []llama.Piece{{Tokens: tokens[from:to], First: from, Pages: devicetest.Pages(1, 6), Outputs: min(70, to-from)}}}
				want, got := devicetest.Step(t, cpu, a.Vocab, b), devicetest.Step(t, d, a.Vocab, b)
				for i := range want {
					worst = max(worst, devicetest.RequireClose(t, doubles(want[i]), got[i], c.tolerance))
				}
			}
			t.Logf("greatest difference %.1e", worst)
		})
	}
}

func doubles(x []float32) (y []float64) {
	for _, v := range x {
		y = append(y, float64(v))
	}
	return y
}

// failing is hardware whose driver refuses the nth call of a function with a code.
func failing(h Hardware, f function, nth int, code int32) Hardware {
	lib := *h.lib
	lib.refuse = func(called function) int32 {
		if called != f {
			return 0
		}
		if nth--; nth == 0 {
			return code
		}
		return 0
	}
	h.lib = &lib
	return h
}

func TestOpenSaysWhatIsMissing(t *testing.T) {
	h := hardware(t)
	m, err := llama.New(transformertest.Weights(transformertest.Architecture(), gguf.F32, 2), llama.Options{})
	require.NoError(t, err)
	tiny := h
	tiny.MaxAllocation = 1 << 10
	for _, c := range []struct {
		name     string
		hardware Hardware
		pages    int
		want     string
	}{
		{"no pages", h, 0, "a cache of 0 pages"},
		{"more pages than memory", h, h.MaxAllocation / 1000, "the device allows"},
		{"small pieces only", tiny, 1, "weights of 0 MB in one piece"},
		{"no memory", failing(h, createBuffer, 3, -4), 1, "clCreateBuffer: the device has no memory left for a buffer (-4)"},
		{"memory that was promised but is not there", failing(h, finish, 2, -4), 1, "clFinish: the device has no memory left"},
		{"no compiler", failing(h, buildProgram, 1, -3), 1, "clBuildProgram: the driver has no compiler (-3)"},
		{"a kernel that does not compile", failing(h, buildProgram, 2, buildFailure), 1, "the kernels do not compile (-11): "},
		{"no queue of kernels", failing(h, enqueueNDRangeKernel, 1, -5), 1, "kernel embed: clEnqueueNDRangeKernel: the device is out of resources, or was lost (-5)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Accelerator{c.hardware}.Open(m, c.pages)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestCompilersWordsAreTold(t *testing.T) {
	d, err := newDriver(hardware(t))
	require.NoError(t, err)
	defer d.close()
	_, err = d.program("__kernel void broken(__global float *x) { x[0] = nonsense; }")
	require.ErrorContains(t, err, "nonsense")
	_, err = d.program("__kernel void fine(__global float *x) { x[0] = VALUE; }", "VALUE=1")
	require.NoError(t, err)
}

// A device that is lost says so from the step, wherever it happens.
func TestStepReportsALostDevice(t *testing.T) {
	h := hardware(t)
	m, err := llama.New(transformertest.Weights(transformertest.Architecture(), gguf.F32, 2), llama.Options{})
	require.NoError(t, err)
	for _, c := range []struct {
		during function
		want   string
	}{
		{enqueueWriteBuffer, "embeddings: clEnqueueWriteBuffer"}, {setKernelArg, "kernel embed, argument 0"},
		{enqueueNDRangeKernel, "kernel embed"}, {enqueueReadBuffer, "head: clEnqueueReadBuffer"},
	} {
		t.Run(c.during.String(), func(t *testing.T) {
			lost := false
			lib := *h.lib
			lib.refuse = func(called function) int32 {
				if lost && called == c.during {
					return -36
				}
				return 0
			}
			h := h
			h.lib = &lib
			d, err := Accelerator{h}.Open(m, 1)
			require.NoError(t, err)
			defer d.Close()
			b := llama.Batch{Pieces: []llama.Piece{{Tokens: []int{1, 2}, Pages: []int32{0}, Outputs: 1}}}
			devicetest.Step(t, d, m.Vocab, b)
			lost = true
			err = d.Step(&b, func(int, int, []float32) { t.Error("there are no logits") })
			require.ErrorContains(t, err, c.want)
			require.ErrorContains(t, err, "the device was lost (-36)")
		})
	}
}

func TestFindSaysWhyThereIsNothing(t *testing.T) {
	h := hardware(t)
	_, err := failing(h, getPlatformIDs, 1, platformNotFound).lib.find()
	require.EqualError(t, err, "clGetPlatformIDs: no OpenCL driver is installed (-1001)")
	_, err = failing(h, getDeviceIDs, 1, deviceNotFound).lib.find()
	if all, _ := Find(); len(all) == 1 {
		require.ErrorContains(t, err, "no hardware")
	}
	_, err = failing(h, getDeviceInfo, 1, -2).lib.find()
	if all, _ := Find(); len(all) == 1 {
		require.ErrorContains(t, err, "the device is not available")
	}
}

// A batch that is larger than any before makes room for itself; a sequence that is longer makes it for its table.
func TestRoomGrows(t *testing.T) {
	a := transformertest.Architecture()
	a.Context = 2000
	m, err := llama.New(transformertest.Weights(a, gguf.Q8_0, 2), llama.Options{})
	require.NoError(t, err)
	d, err := Accelerator{hardware(t)}.Open(m, 40)
	require.NoError(t, err)
	defer d.Close()
	pages := devicetest.Pages(0, 40)
	tokens := devicetest.Tokens(1200, a.Vocab, 4)
	whole := devicetest.Step(t, d, a.Vocab, llama.Batch{Pieces: []llama.Piece{{Tokens: tokens, Pages: pages, Outputs: 150}}})
	parts := devicetest.Step(t, d, a.Vocab, llama.Batch{Pieces: []llama.Piece{{Tokens: tokens[:700], Pages: pages, Outputs: 0}}})
	parts = append(parts, devicetest.Step(t, d, a.Vocab, llama.Batch{Pieces: []llama.Piece{{Tokens: tokens[700:], First: 700, Pages: pages, Outputs: 150}}})...)
	require.True(t, slices.EqualFunc(whole, parts, slices.Equal))
}

// A driver must not take the signals that Go's panics come from.
func TestDivisionByZeroStillPanics(t *testing.T) {
	m, err := llama.New(transformertest.Weights(transformertest.Architecture(), gguf.F32, 2), llama.Options{})
	require.NoError(t, err)
	d, err := Accelerator{hardware(t)}.Open(m, 1)
	require.NoError(t, err)
	defer d.Close()
	zero := d.Pages() - 1
	require.Panics(t, func() { t.Log(1 / zero) })
}

// What weights and work leave is room; no more than what fits in one piece for each layer.
func TestRoom(t *testing.T) {
	a := transformertest.Architecture()
	m, err := llama.New(transformertest.Weights(a, gguf.Q8_0, 2), llama.Options{})
	require.NoError(t, err)
	room := func(memory, piece int) int {
		return Accelerator{Hardware{Memory: memory, MaxAllocation: piece}}.Room(m)
	}
	const large = 1 << 30
	require.Negative(t, room(100_000, large), "the weights do not fit")
	require.Equal(t, 2*1000, room(large, 1000), "two layers")
	require.Less(t, room(large, large), large/10*9-m.Bytes())
	require.InDelta(t, large/10, room(2*large, 4*large)-room(2*large-large/9, 4*large), large/1000)
}
