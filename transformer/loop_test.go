package transformer_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"teller/transformer"
	"teller/transformer/gguf"
	"teller/transformer/llama"
	"teller/transformer/llama/devicetest"
	"teller/transformer/transformertest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// endless is a model that never ends a reply by itself.
func endless(t testing.TB, kind gguf.Type, o llama.Options) *transformer.Model {
	m, err := transformer.OpenModel(transformertest.Weights(transformertest.Architecture(), kind, 5), nil, o)
	require.NoError(t, err)
	return m
}

// What a request gets depends on itself alone, whoever else is at work and however the prompts are cut.
func TestResultsDoNotDependOnOthers(t *testing.T) {
	for _, kind := range []gguf.Type{gguf.F32, gguf.BF16, gguf.Q8_0} {
		t.Run(kind.String(), func(t *testing.T) {
			m := endless(t, kind, llama.Options{})
			common := devicetest.Tokens(70, m.Vocab(), 99)
			const requests = 12
			run := func(e *transformer.Engine, i int) transformer.Result {
				prompt := slices.Concat(common[:70*(i%2)], devicetest.Tokens(1+11*i, m.Vocab(), uint64(i)))
				opts := transformer.GenerateOptions{MaxTokens: 20 - i, Top: i % 3}
				if i%3 > 0 {
					opts.Sampling = transformer.Sampling{Temperature: 1, TopP: 0.9, MinP: 0.01 * float64(i), Seed: uint64(i), RepetitionPenalty: 1 + 0.1*float64(i%4)}
				}
				result, err := e.Generate(t.Context(), prompt, opts, nil)
				if err != nil {
					t.Error(err)
				}
				result.SharedTokens = 0
				return result
			}
			var want []transformer.Result
			for i := range requests {
				want = append(want, run(transformer.NewEngineWith(m, transformer.EngineOptions{Slots: 1, Threads: 1}), i))
			}
			for _, o := range []transformer.EngineOptions{
				{Slots: requests, Threads: 2}, {Slots: 3, Threads: 2, Chunk: 16}, {Slots: requests, Threads: 1, Chunk: 50},
				{Slots: requests, Threads: 2, CacheBytes: m.CacheBytes(400)},
			} {
				t.Run(fmt.Sprintf("%+v", o), func(t *testing.T) {
					e := transformer.NewEngineWith(m, o)
					for range 2 { // the second time much is known from the first
						got := make([]transformer.Result, requests)
						var wg sync.WaitGroup
						for i := range requests {
							wg.Go(func() { got[i] = run(e, i) })
						}
						wg.Wait()
						require.Equal(t, want, got)
					}
				})
			}
		})
	}
}

func TestPromptsShareTheirBeginning(t *testing.T) {
	m := endless(t, gguf.F32, llama.Options{})
	e := transformer.NewEngineWith(m, transformer.EngineOptions{Slots: 2, CacheBytes: m.CacheBytes(512)})
	system := devicetest.Tokens(70, m.Vocab(), 1)
	ask := func(prompt ...int) transformer.Result {
		result, err := e.Generate(t.Context(), prompt, transformer.GenerateOptions{MaxTokens: 30}, nil)
		require.NoError(t, err)
		return result
	}
	first := ask(append(slices.Clone(system), 1, 2, 3)...)
	require.Zero(t, first.SharedTokens)
	require.Equal(t, 64, ask(append(slices.Clone(system), 4, 5, 6)...).SharedTokens, "two whole pages")
	other := slices.Clone(system)
	other[40] = (other[40] + 1) % m.Vocab()
	require.Equal(t, 32, ask(other...).SharedTokens, "one page is the same")
	other[0] = (other[0] + 1) % m.Vocab()
	require.Zero(t, ask(other...).SharedTokens, "a page is known by all that comes before it, too")

	// The next turn of a conversation has the reply in its prompt.
	turn := append(slices.Clone(system), 1, 2, 3)
	for _, token := range first.Tokens {
		turn = append(turn, token.ID)
	}
	require.Equal(t, 96, ask(append(turn, 7)...).SharedTokens)

	logits, err := e.Logits(t.Context(), system[:64])
	require.NoError(t, err)
	want, err := transformer.NewEngine(m, 1).Logits(t.Context(), system[:64])
	require.NoError(t, err)
	require.Equal(t, want, logits, "the last token of a prompt always runs")

	// Other work takes the room of what nobody uses.
	for i := range 8 {
		ask(devicetest.Tokens(200, m.Vocab(), uint64(10+i))...)
	}
	require.Zero(t, ask(append(slices.Clone(system), 1, 2, 3)...).SharedTokens)
}

func TestCacheIsBounded(t *testing.T) {
	m := endless(t, gguf.F32, llama.Options{})
	e := transformer.NewEngineWith(m, transformer.EngineOptions{Slots: 8, CacheBytes: m.CacheBytes(128)})
	require.Equal(t, 128, e.Window())
	require.Equal(t, 8, e.Slots())
	var window *transformer.WindowError
	_, err := e.Generate(t.Context(), devicetest.Tokens(129, m.Vocab(), 1), transformer.GenerateOptions{}, nil)
	require.ErrorAs(t, err, &window)
	require.Equal(t, transformer.WindowError{Tokens: 129, Window: 128}, *window)
	_, err = e.Score(t.Context(), make([]int, 100), [][]int{make([]int, 30)})
	require.ErrorAs(t, err, &window)
	result, err := e.Generate(t.Context(), devicetest.Tokens(100, m.Vocab(), 1), transformer.GenerateOptions{}, nil)
	require.NoError(t, err)
	require.Len(t, result.Tokens, 29)
	require.Equal(t, transformer.FinishWindow, result.Finish)

	// Twenty requests of which one or two find room at a time all get their turn.
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			result, err := e.Generate(t.Context(), devicetest.Tokens(1+i, m.Vocab(), uint64(i)), transformer.GenerateOptions{MaxTokens: 60}, nil)
			if err != nil || len(result.Tokens) != 60 {
				t.Error(len(result.Tokens), err)
			}
		})
	}
	wg.Wait()
}

func TestDefaultsFollowTheMemory(t *testing.T) {
	m := endless(t, gguf.F32, llama.Options{})
	e := transformer.NewEngine(m, 0)
	require.Equal(t, 64, e.Slots())
	require.Equal(t, 256, e.Window())
	few := transformer.NewEngineWith(m, transformer.EngineOptions{CacheBytes: m.CacheBytes(600)})
	require.Equal(t, 2, few.Slots(), "two whole windows fit")
	require.Equal(t, 1, transformer.NewEngineWith(m, transformer.EngineOptions{CacheBytes: 1}).Slots())
}

// A caller who waits gives up, one who is at work leaves between two steps, and both leave their room to others.
func TestCancellation(t *testing.T) {
	m := endless(t, gguf.F32, llama.Options{})
	e := transformer.NewEngine(m, 1)
	working, stop := context.WithCancel(t.Context())
	waiting, giveUp := context.WithCancel(t.Context())
	begun := make(chan struct{})
	var once sync.Once
	var wg sync.WaitGroup
	wg.Go(func() {
		for working.Err() == nil { // always at work, whatever the machine's speed
			_, _ = e.Generate(working, []int{1, 2, 3}, transformer.GenerateOptions{}, func(transformer.Token) { once.Do(func() { close(begun) }) })
		}
	})
	<-begun
	for range 3 {
		wg.Go(func() {
			for waiting.Err() == nil {
				_, _ = e.Generate(waiting, []int{4, 5, 6}, transformer.GenerateOptions{MaxTokens: 200}, nil)
			}
		})
	}
	giveUp()
	stop()
	wg.Wait()
	for range 3 {
		result, err := e.Generate(t.Context(), []int{7}, transformer.GenerateOptions{}, nil)
		require.NoError(t, err)
		require.Len(t, result.Tokens, 256)
	}
}

func TestStopTokens(t *testing.T) {
	m := endless(t, gguf.F32, llama.Options{})
	e := transformer.NewEngine(m, 1)
	all, err := e.Generate(t.Context(), []int{1, 2, 3}, transformer.GenerateOptions{MaxTokens: 20}, nil)
	require.NoError(t, err)
	last := all.Tokens[10].ID
	first := slices.Index(ids(all.Tokens), last)
	result, err := e.Generate(t.Context(), []int{1, 2, 3}, transformer.GenerateOptions{MaxTokens: 20, Stop: []int{last}}, nil)
	require.NoError(t, err)
	require.Equal(t, ids(all.Tokens)[:first], ids(result.Tokens))
	require.Equal(t, transformer.FinishEOS, result.Finish)
	_, err = e.Generate(t.Context(), []int{1}, transformer.GenerateOptions{Stop: []int{m.Vocab()}}, nil)
	require.ErrorContains(t, err, "outside the vocabulary")
}

// A longer reply costs no more allocations than a short one.
func TestTokensDoNotAllocate(t *testing.T) {
	m := endless(t, gguf.Q8_0, llama.Options{})
	e := transformer.NewEngine(m, 4)
	cost := func(tokens int) float64 {
		return testing.AllocsPerRun(5, func() {
			var wg sync.WaitGroup
			for i := range 4 {
				wg.Go(func() {
					opts := transformer.GenerateOptions{MaxTokens: tokens, Sampling: transformer.Sampling{Temperature: float64(i), TopP: 0.9}}
					if _, err := e.Generate(t.Context(), []int{i}, opts, func(transformer.Token) {}); err != nil {
						t.Error(err)
					}
				})
			}
			wg.Wait()
		})
	}
	cost(250)
	require.InDelta(t, cost(10), cost(250), 24)
}
