package transformer_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/transformer"
	"teller/transformer/gguf"
	"teller/transformer/llama"
	"teller/transformer/llama/devicetest"
)

// card is an accelerator that computes on the processor, as far as it is let.
type card struct {
	room    int
	refuses error
	steps   int // after so many it fails; 0: never
	ran     int
	closed  int
}

type cardDevice struct {
	*llama.CPU
	card *card
	done int
}

var errCard = errors.New("the bus fell off")

func (c *card) Name() string          { return "card" }
func (c *card) Room(*llama.Model) int { return c.room }

func (c *card) Open(m *llama.Model, pages int) (llama.Device, error) {
	if c.refuses != nil {
		return nil, c.refuses
	}
	cpu, err := llama.NewCPU(m, pages, 1)
	return &cardDevice{CPU: cpu, card: c}, err
}

func (d *cardDevice) Name() string { return "card" }

func (d *cardDevice) Step(b *llama.Batch, take llama.Take) error {
	if d.done++; d.card.steps > 0 && d.done > d.card.steps {
		return errCard
	}
	d.card.ran++
	return d.CPU.Step(b, take)
}

func (d *cardDevice) Close() {
	d.card.closed++
	d.CPU.Close()
}

func TestAnAcceleratorComputesWhenItCan(t *testing.T) {
	m := endless(t, gguf.F32, llama.Options{})
	window := m.CacheBytes(256)
	good, small, broken := &card{room: 3 * window}, &card{room: window - 1}, &card{room: window, refuses: errCard}
	for _, c := range []struct {
		name         string
		accelerators []llama.Accelerator
		device       string
		refused      string
	}{
		{"none", nil, "cpu", ""},
		{"the first that can", []llama.Accelerator{small, broken, good}, "card", "a conversation takes"},
		{"no memory", []llama.Accelerator{small}, "cpu", "its memory leaves 0 MB beside the weights"},
		{"broken", []llama.Accelerator{broken}, "cpu", errCard.Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := transformer.NewEngineWith(m, transformer.EngineOptions{Accelerators: c.accelerators})
			defer e.Close()
			require.Equal(t, c.device, e.Device())
			if c.refused == "" {
				require.NoError(t, e.Refused())
			} else {
				require.ErrorContains(t, e.Refused(), c.refused)
			}
			if c.device == "card" {
				require.Equal(t, 3, e.Slots(), "three conversations find room")
			} else {
				require.Equal(t, 64, e.Slots())
			}
			result, err := e.Generate(t.Context(), []int{1, 2, 3}, transformer.GenerateOptions{MaxTokens: 5}, nil)
			require.NoError(t, err)
			require.Len(t, result.Tokens, 5)
		})
	}
	require.Equal(t, 1, good.closed)
}

func TestAnAcceleratorHeedsTheChunk(t *testing.T) {
	m := endless(t, gguf.F32, llama.Options{})
	c := &card{room: m.CacheBytes(256)}
	e := transformer.NewEngineWith(m, transformer.EngineOptions{Chunk: 2, Accelerators: []llama.Accelerator{c}})
	defer e.Close()
	require.Equal(t, "card", e.Device())
	result, err := e.Generate(t.Context(), []int{1, 2, 3, 4, 5}, transformer.GenerateOptions{MaxTokens: 3}, nil)
	require.NoError(t, err)
	require.Len(t, result.Tokens, 3)
	require.Equal(t, 5, c.ran, "three steps read the prompt, the last of them gives a token, as two more do")
}

// Who was at work when a device failed is told so, with an error that names it; everyone who comes later is served by the processor, with nothing
// of what the device's memory held.
func TestTheProcessorGoesOnAfterADeviceFailed(t *testing.T) {
	m := endless(t, gguf.F32, llama.Options{})
	broken := &card{room: 8 * m.CacheBytes(256), steps: 12}
	e := transformer.NewEngineWith(m, transformer.EngineOptions{Slots: 4, Accelerators: []llama.Accelerator{broken}})
	prompt := devicetest.Tokens(70, m.Vocab(), 1)
	opts := transformer.GenerateOptions{MaxTokens: 100}
	_, err := e.Generate(t.Context(), prompt, transformer.GenerateOptions{MaxTokens: 2}, nil)
	require.NoError(t, err)

	errs := make([]error, 9)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { _, errs[i] = e.Generate(t.Context(), prompt[:60+i], opts, nil) })
	}
	wg.Wait()
	failed := 0
	for _, err := range errs {
		if err != nil {
			var device *transformer.DeviceError
			require.ErrorAs(t, err, &device)
			require.Equal(t, "card", device.Device)
			require.ErrorIs(t, err, errCard)
			failed++
		}
	}
	require.Positive(t, failed)
	require.LessOrEqual(t, failed, 4, "who waited was not at work")
	require.Equal(t, "cpu", e.Device())
	require.ErrorIs(t, e.Refused(), errCard)
	require.Equal(t, 1, broken.closed)

	got, err := e.Generate(t.Context(), prompt, opts, nil)
	require.NoError(t, err)
	want, err := transformer.NewEngine(m, 1).Generate(t.Context(), prompt, opts, nil)
	require.NoError(t, err)
	require.Equal(t, ids(want.Tokens), ids(got.Tokens))
}
