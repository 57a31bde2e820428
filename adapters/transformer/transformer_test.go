package transformer

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"teller/adapters/adaptertest"
	"teller/config"
	"teller/llm"
	engine "teller/transformer"
	"teller/transformer/pretrained"
	"teller/transformer/transformertest"
)

// watched tells when the engine has begun to generate.
type watched struct {
	generator
	started chan struct{}
}

func (w watched) Generate(ctx context.Context, prompt []int, opts engine.GenerateOptions, onToken func(engine.Token)) (engine.Result, error) {
	return w.generator.Generate(ctx, prompt, opts, func(token engine.Token) {
		select {
		case w.started <- struct{}{}:
		default:
		}
		onToken(token)
	})
}

// randomBundle has a window in which a reply can take long.
func randomBundle() *engine.Bundle {
	b := transformertest.RandomBundle(1)
	b.Config.MaxPositionEmbeddings = 1 << 14
	b.Model = transformertest.RandomModel(b.Config, 1)
	return b
}

func TestConformance(t *testing.T) {
	for name, bundle := range map[string]*engine.Bundle{"random": randomBundle(), "embedded": embedded(t)} {
		t.Run(name, func(t *testing.T) {
			if bundle == nil {
				t.Skip("this build carries no weights")
			}
			adaptertest.Run(t, adaptertest.Harness{
				Lacks: []adaptertest.Capability{adaptertest.HTTP, adaptertest.Schema},
				New: func(*testing.T) adaptertest.Subject {
					m := newModel(bundle)
					subject := adaptertest.Subject{Model: m, Window: bundle.Config.MaxPositionEmbeddings}
					if name == "random" { // real weights end their reply soon
						started := make(chan struct{}, 1)
						m.generator = watched{m.generator, started}
						subject.Started, subject.Long = started, question("Go on.")
						subject.Long.MaxTokens = bundle.Config.MaxPositionEmbeddings
					}
					return subject
				},
			})
		})
	}
}

// embedded gives the weights of this build, nil when it carries none.
func embedded(t *testing.T) *engine.Bundle {
	b, err := pretrained.Load()
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	require.NoError(t, err)
	return b
}

func question(text string) llm.Request {
	return llm.Request{Messages: []llm.Message{{Role: llm.User, Text: text}}}
}

func requireCode(t *testing.T, code llm.Code, err error) {
	t.Helper()
	var e *llm.Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, code, e.Code)
	require.NotEmpty(t, e.Message)
}

func TestNew(t *testing.T) {
	dir := t.TempDir()
	cfg := transformertest.Config()
	require.NoError(t, engine.SaveDir(dir, cfg, transformertest.Tensors(cfg, 1), transformertest.Tokenizer()))
	m, err := New(config.Model{Kind: config.Transformer, Path: dir})
	require.NoError(t, err)
	status, err := m.Check(t.Context())
	require.NoError(t, err)
	require.Equal(t, "cpu", status.Device)
	require.Regexp(t, "^custom-[0-9a-f]{8}$", status.Version)
	out, err := m.Complete(t.Context(), question("What is a bank?"), nil)
	require.NoError(t, err)
	require.Equal(t, status.Version, out.Served)

	require.NoError(t, m.Close())

	// Where what should compute is not there, the processor does.
	m, err = New(config.Model{Kind: config.Transformer, Path: dir, Device: "opencl:999"})
	require.NoError(t, err)
	status, err = m.Check(t.Context())
	require.NoError(t, err)
	require.Equal(t, "cpu", status.Device)

	_, err = New(config.Model{Kind: config.Transformer, Path: t.TempDir()})
	requireCode(t, llm.NotConfigured, err)

	m, err = New(config.Model{Kind: config.Transformer})
	if embedded(t) == nil {
		requireCode(t, llm.NotConfigured, err)
	} else {
		require.NoError(t, err)
		require.NotNil(t, m)
	}
}

// scripted stands for the engine: it keeps the prompt and gives the result.
type scripted struct {
	prompt []int
	opts   engine.GenerateOptions
	result engine.Result
	err    error
}

func (s *scripted) Generate(ctx context.Context, prompt []int, opts engine.GenerateOptions, onToken func(engine.Token)) (engine.Result, error) {
	s.prompt, s.opts = prompt, opts
	for i, token := range s.result.Tokens {
		onToken(token)
		if ctx.Err() != nil {
			return engine.Result{Tokens: s.result.Tokens[:i+1]}, ctx.Err()
		}
	}
	return s.result, s.err
}

// withScript is a model whose engine replies with text.
func withScript(text string, finish engine.FinishReason) (*Model, *scripted) {
	bundle := transformertest.RandomBundle(1)
	script := &scripted{result: engine.Result{Finish: finish}}
	for _, id := range bundle.Tokenizer.Encode(text) {
		script.result.Tokens = append(script.result.Tokens, engine.Token{ID: id, LogProb: -0.5})
	}
	return &Model{language: own{bundle}, generator: script, window: bundle.Config.MaxPositionEmbeddings}, script
}

func TestCompletion(t *testing.T) {
	for _, c := range []struct {
		name   string
		text   string
		finish engine.FinishReason
		want   string
		reason llm.FinishReason
	}{
		{"an ended reply", "A bank keeps money.", engine.FinishEOS, "A bank keeps money.", llm.FinishStop},
		{"the caller's bound", "A bank", engine.FinishMaxTokens, "A bank", llm.FinishLength},
		{"the window's bound", "A bank", engine.FinishWindow, "A bank", llm.FinishLength},
		{"a cut rune", "12 \xe2\x82", engine.FinishMaxTokens, "12 \uFFFD", llm.FinishLength},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, script := withScript(c.text, c.finish)
			out, err := m.Complete(t.Context(), question("What is a bank?"), nil)
			require.NoError(t, err)
			require.Equal(t, c.want, out.Text)
			require.True(t, utf8.ValidString(out.Text))
			require.Equal(t, c.reason, out.FinishReason)
			require.Equal(t, llm.Usage{PromptTokens: len(script.prompt), CompletionTokens: len(script.result.Tokens)}, out.Usage)
			require.InDelta(t, 0.6065, *out.Confidence, 1e-4)
			require.Zero(t, script.opts.Temperature, "greedy unless asked otherwise")
			require.Equal(t, 256, script.opts.MaxTokens)
		})
	}
	for _, text := range []string{"", " \n"} {
		m, _ := withScript(text, engine.FinishEOS)
		_, err := m.Complete(t.Context(), question("What is a bank?"), nil)
		requireCode(t, llm.EmptyReply, err)
	}
}

func TestConfidenceIsThatInTheQuestionsLabel(t *testing.T) {
	bundle := transformertest.LabelledBundle(1) // of "teller": balance, card, other
	logProbs := []float64{math.Log(0.3), math.Log(0.1), math.Log(0.6)}
	script := &scripted{result: engine.Result{Finish: engine.FinishEOS, LabelLogProbs: logProbs}}
	for _, id := range bundle.Tokenizer.Encode("A bank keeps money.") {
		script.result.Tokens = append(script.result.Tokens, engine.Token{ID: id, LogProb: -0.5})
	}
	m := &Model{language: own{bundle}, generator: script, window: bundle.Config.MaxPositionEmbeddings}
	confidence := func() float64 {
		out, err := m.Complete(t.Context(), question("What is a bank?"), nil)
		require.NoError(t, err)
		require.Empty(t, out.NoConfidence)
		return *out.Confidence
	}
	require.InDelta(t, 0.6065, confidence(), 1e-4, "weights without a calibration have that of the words alone")
	bundle.Calibration = &engine.Calibration{Temperatures: map[string]float64{"teller": 1}}
	require.InDelta(t, 0.6, confidence(), 1e-9)
	bundle.Calibration.OutOfScope = []string{"other"}
	require.InDelta(t, 0.3*0.4*0.4*0.4*0.4, confidence(), 1e-9, "sure that it is about something else is not sure of an answer")
	script.result.LabelLogProbs = []float64{-1e9, -1e9, 0}
	require.Positive(t, confidence(), "0 stands for nothing")
	script.result.LabelLogProbs = nil
	require.InDelta(t, 0.6065, confidence(), 1e-4)
}

func TestSamplingIsPassedOn(t *testing.T) {
	m, script := withScript("Yes", engine.FinishEOS)
	temperature := 0.7
	req := question("What is a bank?")
	req.Temperature, req.MaxTokens = &temperature, 5
	_, err := m.Complete(t.Context(), req, nil)
	require.NoError(t, err)
	require.Equal(t, 5, script.opts.MaxTokens)
	require.Equal(t, 0.7, script.opts.Temperature)
	first := script.opts.Seed
	_, err = m.Complete(t.Context(), req, nil)
	require.NoError(t, err)
	require.NotEqual(t, first, script.opts.Seed, "the same question may be answered in other words")
}

func TestDialogueFitsTheWindow(t *testing.T) {
	m, script := withScript("Yes", engine.FinishEOS) // a window of 128 tokens, 96 of them for the prompt
	system := llm.Message{Role: llm.System, Text: "Balance: 12.50"}
	last := llm.Message{Role: llm.User, Text: "What is my balance?"}
	req := llm.Request{Messages: []llm.Message{system}}
	for range 20 {
		req.Messages = append(req.Messages, llm.Message{Role: llm.User, Text: "Fees?"}, llm.Message{Role: llm.Assistant, Text: "None."})
	}
	req.Messages = append(req.Messages, last)
	out, err := m.Complete(t.Context(), req, nil)
	require.NoError(t, err)
	require.LessOrEqual(t, len(script.prompt), 96)
	require.Greater(t, len(script.prompt), 80, "no more is left out than must be")
	text := m.language.(own).Tokenizer.Decode(script.prompt)
	require.True(t, strings.HasPrefix(text, system.Text+"Fees?None."), text)
	require.True(t, strings.HasSuffix(text, "Fees?None."+last.Text), text)
	kept := 2 * strings.Count(text, "Fees?None.")
	require.Equal(t, 40-kept, out.OmittedMessages, "what is left out is said")
	require.Positive(t, kept)

	req.MaxTokens = 1
	_, err = m.Complete(t.Context(), req, nil)
	require.NoError(t, err)
	require.Greater(t, len(script.prompt), 96, "a short reply leaves more room")

	req.MaxTokens = 1 << 40
	_, err = m.Complete(t.Context(), req, nil)
	require.NoError(t, err)
	require.Greater(t, len(script.prompt), 80, "a long reply does not take the dialogue's room")

	_, err = m.Complete(t.Context(), question(strings.Repeat("7", 1<<20)), nil)
	requireCode(t, llm.ContextTooLong, err)
}

func TestFailuresAreNamed(t *testing.T) {
	for err, code := range map[error]llm.Code{
		context.Canceled:               llm.Canceled,
		context.DeadlineExceeded:       llm.Timeout,
		&engine.WindowError{}:          llm.ContextTooLong,
		errors.New("the model is ill"): llm.Internal,
	} {
		m, script := withScript("", "")
		script.err = err
		_, got := m.Complete(t.Context(), question("What is a bank?"), nil)
		requireCode(t, code, got)
		require.ErrorIs(t, got, err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	m, _ := withScript("", "")
	_, err := m.Check(ended)
	requireCode(t, llm.Canceled, err)
}

// A device that fails in the middle of a reply is a failure that trying again mends.
func TestADeviceThatFailed(t *testing.T) {
	m, script := withScript("A bank", engine.FinishEOS)
	script.err = &engine.DeviceError{Device: "opencl: a card", Err: errors.New("it was lost")}
	_, err := m.Complete(t.Context(), question("What is a bank?"), nil)
	requireCode(t, llm.Unavailable, err)
	require.True(t, llm.Unavailable.Retryable())
}
