package adaptertest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"teller/adapters/adaptertest/fakeserver"
	"teller/llm"
)

// listener takes the pieces of one reply and holds them against the contract.
type listener struct {
	t     *testing.T
	first chan struct{} // closed at the first piece

	mu       sync.Mutex
	pieces   []string
	logProbs []llm.TokenLogProb
	over     bool
}

func listen(t *testing.T) *listener { return &listener{t: t, first: make(chan struct{})} }

func (l *listener) emit(d llm.Delta) {
	if !l.mu.TryLock() {
		l.t.Error("two pieces at a time")
		return
	}
	defer l.mu.Unlock()
	if l.over {
		l.t.Error("a piece after the call has returned")
	}
	if d.Text == "" || !utf8.ValidString(d.Text) {
		l.t.Errorf("a piece that is empty or no UTF-8: %q", d.Text)
	}
	if l.pieces == nil {
		close(l.first)
	}
	l.pieces = append(l.pieces, d.Text)
	l.logProbs = append(l.logProbs, d.LogProbs...)
}

func (l *listener) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over = true
	return strings.Join(l.pieces, "")
}

// streams are the cases in which somebody listens while the model answers.
func (s suite) streams(t *testing.T) {
	t.Run("the pieces are the reply", func(t *testing.T) {
		scripts := map[string]fakeserver.Behaviour{
			"normal": {}, "filtered": {Filtered: true, Text: "Your balance is"}, "one word": {Text: "Yes."}, "many": {Text: strings.Repeat("word ", 2000)},
		}
		for name, text := range oddTexts {
			scripts[name] = fakeserver.Behaviour{Text: text}
		}
		for name, script := range scripts {
			t.Run(name, func(t *testing.T) {
				sub := s.New(t)
				if sub.Provider != nil {
					sub.Provider.Script(script)
				} else if name != "normal" {
					t.Skip("a model of its own says what it likes")
				}
				l := listen(t)
				out, err := sub.Model.Complete(testContext(t), ask("What is a bank?"), l.emit)
				require.NoError(t, err)
				require.Equal(t, out.Text, l.text())
				silent, err := sub.Model.Complete(testContext(t), ask("What is a bank?"), nil)
				require.NoError(t, err)
				require.Equal(t, silent, out, "who listens changes nothing")
				if sub.Provider != nil {
					require.True(t, sub.Provider.Requests()[0].Streams)
					require.Equal(t, 2, sub.Provider.Calls())
				}
			})
		}
	})
	t.Run("a piece comes before the reply has ended", func(t *testing.T) {
		sub := s.New(t)
		l := listen(t)
		if sub.Provider == nil {
			if sub.Started == nil {
				t.Skip("the harness has no long request")
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := listening(ctx, sub.Model, sub.Long, l)
			require.NoError(t, fakeserver.Wait(testContext(t), l.first), "no piece came")
			cancel()
			sub.requireError(t, receive(t, done), llm.Canceled)
			return
		}
		sub.Provider.Script(fakeserver.Behaviour{Break: fakeserver.BreakStall, Pieces: 2})
		done := listening(testContext(t), sub.Model, ask("What is a bank?"), l)
		require.NoError(t, fakeserver.Wait(testContext(t), l.first), "no piece came")
		require.Empty(t, done)
		sub.Provider.Resume()
		require.NoError(t, receive(t, done))
		require.Equal(t, fakeserver.DefaultText, l.text())
	})
	t.Run("canceled in mid-stream", func(t *testing.T) {
		s.need(t, HTTP)
		sub := s.New(t)
		sub.Provider.Script(fakeserver.Behaviour{Break: fakeserver.BreakStall, Pieces: 2})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		l := listen(t)
		done := listening(ctx, sub.Model, ask(prompt), l)
		require.NoError(t, fakeserver.Wait(testContext(t), sub.Provider.Hanging()))
		cancel()
		sub.requireError(t, receive(t, done), llm.Canceled)
		sub.requireGone(t)
	})
	t.Run("deadline in mid-stream", func(t *testing.T) {
		s.need(t, HTTP)
		sub := s.New(t)
		sub.Provider.Script(fakeserver.Behaviour{Break: fakeserver.BreakStall, Pieces: 2})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		done := listening(ctx, sub.Model, ask(prompt), listen(t))
		sub.requireError(t, receive(t, done), llm.Timeout)
		sub.requireGone(t)
	})
	for kind, codes := range map[fakeserver.Break][]llm.Code{
		fakeserver.BreakError:   {llm.Unavailable},
		fakeserver.BreakReset:   {llm.Unavailable},
		fakeserver.BreakCut:     {llm.Unavailable},
		fakeserver.BreakEnd:     {llm.Unavailable, llm.BadReply},
		fakeserver.BreakGarbage: {llm.BadReply},
	} {
		for _, pieces := range []int{0, 3} {
			t.Run(fmt.Sprintf("broken by %s after %d pieces", kind, pieces), func(t *testing.T) {
				s.need(t, HTTP)
				sub := s.New(t)
				// A reset overtakes what was sent just before it.
				script := fakeserver.Behaviour{Break: kind, Pieces: pieces, Detail: leaked, Times: 1}
				sub.Provider.Script(script)
				l := listen(t)
				_, err := sub.Model.Complete(testContext(t), ask(prompt), l.emit)
				if kind == fakeserver.BreakEnd && pieces == 0 {
					codes = append(codes, llm.EmptyReply)
				}
				sub.requireError(t, err, codes...)
				require.True(t, llm.CodeOf(err).Retryable())
				told := l.text()
				_, begins := strings.CutPrefix(fakeserver.DefaultText, told)
				require.True(t, begins, "%q is not what was said", told)
				require.Equal(t, 1, sub.Provider.Calls(), "retries are not the adapter's")

				l = listen(t)
				out, err := sub.Model.Complete(testContext(t), ask(prompt), l.emit)
				require.NoError(t, err, "a failure does no harm to the next call")
				require.Equal(t, out.Text, l.text())
			})
		}
	}
	t.Run("a failure before the first piece", func(t *testing.T) {
		s.need(t, HTTP)
		for name, c := range failureCases() {
			t.Run(name, func(t *testing.T) {
				sub := s.New(t)
				c.script.Times = 1
				sub.Provider.Script(c.script)
				if c.script.Raw != nil && c.script.Raw.Status == 200 {
					// What comes instead of a stream is one kind of nonsense or the other.
					c.codes = append(slices.Clone(c.codes), llm.BadReply, llm.EmptyReply, llm.Unavailable)
				}
				l := listen(t)
				_, err := sub.Model.Complete(testContext(t), ask(prompt), l.emit)
				retryAfter := sub.requireError(t, err, c.codes...)
				require.InDelta(t, c.retryAfter.Seconds(), retryAfter.Seconds(), 2)
				require.Equal(t, 1, sub.Provider.Calls(), "retries are not the adapter's")
			})
		}
	})
	t.Run("many at once", func(t *testing.T) {
		s.need(t, HTTP)
		sub := s.New(t)
		sub.Provider.Script(fakeserver.Behaviour{Reply: func(r fakeserver.Request) string {
			return strings.Repeat("reply to "+r.Messages[0].Text+" ", 20)
		}})
		ctx := testContext(t)
		var group errgroup.Group
		for i := range 32 {
			group.Go(func() error {
				l := listen(t)
				out, err := sub.Model.Complete(ctx, ask(fmt.Sprint("question ", i)), l.emit)
				if err == nil && (out.Text != l.text() || !strings.Contains(out.Text, fmt.Sprintf("question %d ", i))) {
					return fmt.Errorf("question %d got %q in %q", i, out.Text, l.text())
				}
				return err
			})
		}
		require.NoError(t, group.Wait())
	})
}

func listening(ctx context.Context, m llm.Model, req llm.Request, l *listener) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := m.Complete(ctx, req, l.emit)
		done <- err
	}()
	return done
}
