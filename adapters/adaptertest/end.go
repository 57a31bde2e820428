package adaptertest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teller/adapters/adaptertest/fakeserver"
	"teller/llm"
)

// ends are the cases in which the caller's context ends.
func (s suite) ends(t *testing.T) {
	t.Run("canceled before", func(t *testing.T) {
		sub := s.New(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := sub.Model.Complete(ctx, ask(prompt), nil)
		sub.requireError(t, err, llm.Canceled)
	})
	t.Run("deadline before", func(t *testing.T) {
		sub := s.New(t)
		ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		defer cancel()
		_, err := sub.Model.Complete(ctx, ask(prompt), nil)
		sub.requireError(t, err, llm.Timeout)
	})
	t.Run("canceled in mid-call", func(t *testing.T) {
		sub := s.New(t)
		req, started := sub.stall(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := complete(ctx, sub.Model, req)
		require.NoError(t, fakeserver.Wait(testContext(t), started), "the call never began")
		cancel()
		sub.requireError(t, receive(t, done), llm.Canceled)
		sub.requireGone(t)
	})
	t.Run("deadline in mid-call", func(t *testing.T) {
		s.need(t, HTTP)
		sub := s.New(t)
		req, started := sub.stall(t)
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		done := complete(ctx, sub.Model, req)
		require.NoError(t, fakeserver.Wait(testContext(t), started), "the call never began")
		sub.requireError(t, receive(t, done), llm.Timeout)
		sub.requireGone(t)
	})
	t.Run("overloaded, without a deadline", func(t *testing.T) {
		s.need(t, HTTP)
		sub := s.New(t)
		sub.Provider.Script(fakeserver.Behaviour{Failure: fakeserver.Unavailable})
		done := complete(t.Context(), sub.Model, ask(prompt))
		sub.requireError(t, receive(t, done), llm.Unavailable)
		require.Equal(t, 1, sub.Provider.Calls(), "an SDK retried until the deadline")
	})
}

// stall gives a request that the model works on for long, and the signal that it does.
func (s Subject) stall(t *testing.T) (llm.Request, <-chan struct{}) {
	if s.Provider != nil {
		s.Provider.Script(fakeserver.Behaviour{Hang: true})
		return ask(prompt), s.Provider.Hanging()
	}
	if s.Started == nil {
		t.Skip("the harness has no long request")
	}
	return s.Long, s.Started
}

// requireGone requires that the provider saw the client leave, so that it computes no further.
func (s Subject) requireGone(t *testing.T) {
	if s.Provider != nil {
		require.NoError(t, fakeserver.Wait(testContext(t), s.Provider.Gone()), "the provider was left computing")
	}
}

func complete(ctx context.Context, m llm.Model, req llm.Request) <-chan error {
	done := make(chan error, 1)
	go func() {
		_, err := m.Complete(ctx, req, nil)
		done <- err
	}()
	return done
}

func receive(t *testing.T, done <-chan error) error {
	t.Helper()
	select {
	case err := <-done:
		return err
	case <-testContext(t).Done():
		require.FailNow(t, "the call did not return")
		return nil
	}
}
