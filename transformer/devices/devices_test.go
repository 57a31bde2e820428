package devices_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/transformer"
	"teller/transformer/devices"
	"teller/transformer/gguf"
	"teller/transformer/llama"
	"teller/transformer/opencl"
	"teller/transformer/transformertest"
)

func TestChoose(t *testing.T) {
	for _, choice := range []string{"gpu", "opencl:", "opencl:-1", "opencl:x", "OPENCL", "opencl:1:2", "opencl:99999999999999999999"} {
		t.Run(choice, func(t *testing.T) {
			_, err := devices.Choose(choice)
			require.ErrorContains(t, err, "none of auto, cpu, opencl")
		})
	}
	found, missing := opencl.Find()
	cards := 0
	for _, h := range found {
		if h.GPU {
			cards++
		}
	}
	for _, c := range []struct {
		choice string
		want   int
		err    bool
	}{
		{"cpu", 0, false}, {"auto", cards, false}, {"", cards, false}, {"opencl", len(found), missing != nil},
		{"opencl:0", min(1, len(found)), missing != nil}, {"opencl:999", 0, true},
	} {
		t.Run(c.choice, func(t *testing.T) {
			got, err := devices.Choose(c.choice)
			require.Equal(t, c.err, err != nil, "%v", err)
			require.NotContains(t, fmt.Sprint(err), "none of auto", "it is a choice")
			require.Len(t, got, c.want)
			if len(got) > 0 {
				require.Contains(t, got[0].Name(), "opencl: ")
			}
		})
	}
}

func TestListNamesWhatChooses(t *testing.T) {
	list, err := devices.List()
	require.Equal(t, devices.CPU, list[0].Choice)
	if err != nil {
		require.Len(t, list, 1)
		return
	}
	for _, d := range list[1:] {
		got, err := devices.Choose(d.Choice)
		require.NoError(t, err)
		require.Equal(t, d.Name, got[0].Name())
		require.Positive(t, d.Memory)
	}
}

// Many requests at once get on other hardware what each of them gets alone from the processor.
func TestAnEngineOnOtherHardware(t *testing.T) {
	accelerators, err := devices.Choose(devices.OpenCL)
	if err != nil {
		t.Skipf("the tests of OpenCL are skipped: %v", err)
	}
	m, err := transformer.OpenModel(transformertest.Weights(transformertest.Architecture(), gguf.F32, 5), nil, llama.Options{ExactCache: true})
	require.NoError(t, err)
	cpu := transformer.NewEngine(m, 1)
	e := transformer.NewEngineWith(m, transformer.EngineOptions{Slots: 5, Accelerators: accelerators})
	defer e.Close()
	require.NoError(t, e.Refused())
	require.Equal(t, accelerators[0].Name(), e.Device())
	var prompt []int
	for i := range 100 {
		prompt = append(prompt, (7*i+i*i)%m.Vocab())
	}
	const requests = 12
	want, got := make([][]transformer.Token, requests), make([][]transformer.Token, requests)
	ask := func(e *transformer.Engine, i int) []transformer.Token {
		opts := transformer.GenerateOptions{MaxTokens: 20, Sampling: transformer.Sampling{Temperature: float64(i % 2), Seed: uint64(i)}}
		result, err := e.Generate(t.Context(), prompt[:8*i+1], opts, nil)
		if err != nil {
			t.Error(err)
		}
		return result.Tokens
	}
	var wg sync.WaitGroup
	for i := range requests {
		want[i] = ask(cpu, i)
		wg.Go(func() { got[i] = ask(e, i) })
	}
	wg.Wait()
	for i := range requests {
		require.True(t, slices.EqualFunc(want[i], got[i], func(a, b transformer.Token) bool { return a.ID == b.ID }), "request %d", i)
		for j := range want[i] {
			require.InDelta(t, want[i][j].LogProb, got[i][j].LogProb, 1e-3)
		}
	}
}
