// Package adaptertest is the contract of llm.Model as one suite of tests that every adapter passes.
// Adapters that reach a provider over HTTP run it against a fake provider over real HTTP
// (openaiserver, geminiserver); for one that computes in its own process, the cases about HTTP are
// left out.
package adaptertest

import (
	"context"
	"errors"
	"log"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"teller/adapters/adaptertest/fakeserver"
	"teller/internal/lockedbuffer"
	"teller/llm"
)

// Capability is something that not every kind of model has.
type Capability string

// The capabilities that a harness can lack.
const (
	HTTP       Capability = "a provider over HTTP" // Subject.Provider scripts it
	Confidence Capability = "log-probabilities"    // a completion has a confidence
	LogProbs   Capability = "a log-probability for each token"
	Seed       Capability = "a seed"
	Schema     Capability = "schemas" // a reply can be kept to a JSON schema; without it the request is refused as NotSupported
)

// Harness makes the models that the suite tests.
type Harness struct {
	// New makes a model, and its fake provider, for one case, and registers their end with t.Cleanup.
	// The model must be ready to answer.
	New func(t *testing.T) Subject
	// Lacks lists what the model does not have; the cases that need it are skipped.
	Lacks []Capability
}

// Subject is a model under test.
type Subject struct {
	Model llm.Model
	// Provider is the fake that the model is configured for. It expects Secret as the key. nil without HTTP.
	Provider *fakeserver.Server
	// Secret is the API key. It may never show up in an error or a log. "" without HTTP.
	Secret string
	// Window is the model's context window in tokens. Without HTTP it must be set; with it the suite sets
	// the provider's.
	Window int

	// Long and Started are for models without HTTP: a request whose answer takes long, and a channel that
	// gives a value once the model works on it. Without them the case that cancels in mid-call is skipped.
	Long    llm.Request
	Started <-chan struct{}
}

// prompt is a canary: customer text that may not show up in an error.
const prompt = "CANARYPROMPT what is my balance?"

// leaked is a canary: words of an upstream body that may not show up in an error.
const leaked = "CANARYBODY balance of account 4711"

// patience bounds every wait. It is far above what a call takes, so that a slow machine fails no case.
const patience = time.Minute

// Run runs the suite as subtests of t.
func Run(t *testing.T, h Harness) {
	before := goleak.IgnoreCurrent()
	logs := captureLog(t)
	s := suite{h}
	t.Run("reply", s.replies)
	t.Run("request", s.requests)
	t.Run("choices", s.choices)
	t.Run("schema", s.schemas)
	t.Run("failure", s.failures)
	t.Run("end", s.ends)
	t.Run("check", s.checks)
	t.Run("stream", s.streams)
	t.Run("option", s.options)
	t.Run("concurrent", s.concurrent)
	t.Run("log", func(t *testing.T) {
		require.NotContains(t, logs.String(), "CANARY", "the log holds upstream text or a key")
	})
	t.Run("leak", func(t *testing.T) {
		goleak.VerifyNone(t, before)
	})
}

type suite struct{ Harness }

func (s suite) lacks(c Capability) bool { return slices.Contains(s.Lacks, c) }

func (s suite) need(t *testing.T, c Capability) {
	if s.lacks(c) {
		t.Skipf("the model lacks %s", c)
	}
}

// ask is a request with one user message.
func ask(text string) llm.Request {
	return llm.Request{Messages: []llm.Message{{Role: llm.User, Text: text}}}
}

// testContext gives a context that ends before the test's own patience does.
func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// requireError requires that err is an *llm.Error with one of the codes, that callers may see it, and
// that the log may have it. It gives how long the provider asked to wait.
func (s Subject) requireError(t *testing.T, err error, codes ...llm.Code) (retryAfter time.Duration) {
	t.Helper()
	require.Error(t, err)
	var e *llm.Error
	require.True(t, errors.As(err, &e), "%T is no *llm.Error", err)
	require.Contains(t, codes, e.Code, "%v", e)
	require.NotEmpty(t, e.Message)
	for _, text := range []string{e.Message, err.Error()} {
		require.NotContains(t, text, "CANARY", "an error holds upstream text, a prompt or a key")
		if s.Secret != "" {
			require.NotContains(t, text, s.Secret, "an error holds the key")
		}
	}
	if s.Provider != nil {
		require.NotContains(t, e.Message, s.Provider.Address(), "a message holds an address")
		require.NotContains(t, e.Message, "http", "a message holds an address")
	}
	return e.RetryAfter
}

// captureLog takes the standard logger's output until the test ends: it is where the SDKs log.
func captureLog(t *testing.T) *lockedbuffer.Buffer {
	var b lockedbuffer.Buffer
	old := log.Writer()
	log.SetOutput(&b)
	t.Cleanup(func() { log.SetOutput(old) })
	return &b
}
