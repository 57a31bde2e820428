package stream

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"teller/llm"
)

// client is a Writer that shows what it was told: pieces, "|" for a reset, "." for a keep-alive.
type client struct {
	told     strings.Builder
	text     string
	logProbs []llm.TokenLogProb
	t        *testing.T
	gone     error
}

func (c *client) Delta(d llm.Delta, at Position) error {
	c.told.WriteString(d.Text + " ")
	c.text += d.Text
	c.logProbs = append(c.logProbs, d.LogProbs...)
	rest, ok := at.Rest(c.text)
	require.True(c.t, ok)
	require.Empty(c.t, rest)
	return c.gone
}

func (c *client) Reset() error {
	c.told.WriteString("| ")
	c.text, c.logProbs = "", nil
	return c.gone
}

func (c *client) KeepAlive() error { c.told.WriteString(". "); return c.gone }

func TestTheResultIsTheTruth(t *testing.T) {
	for _, c := range []struct {
		name   string
		pieces []string
		result string
		told   string
	}{
		{"all of it came", []string{"a", "b"}, "ab", "a b "},
		{"the rest comes with the result", []string{"a"}, "abc", "a bc "},
		{"nothing came", nil, "abc", "abc "},
		{"another text", []string{"a", "x"}, "abc", "a x | abc "},
		{"a shorter text", []string{"abc"}, "ab", "abc | ab "},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := newHub(t)
			to, r, _ := h.Announce("t", time.Minute)
			say := h.Open(to, 1)
			got := &client{t: t}
			f := NewFollower(r, Position{}, got)
			for _, p := range c.pieces {
				say(piece(p))
				over, stop := context.WithCancel(t.Context())
				stop()
				require.ErrorIs(t, f.Live(over, nil, time.Minute), context.Canceled)
			}
			require.NoError(t, f.Finish(llm.Completion{Text: c.result}))
			require.Equal(t, c.told, got.told.String())
			require.Equal(t, c.result, got.text)
		})
	}
	t.Run("without a stream", func(t *testing.T) {
		got := &client{t: t, text: "ab"}
		f := NewFollower(nil, Position{}.After("ab"), got)
		done := make(chan struct{})
		close(done)
		require.NoError(t, f.Live(t.Context(), done, time.Minute))
		require.NoError(t, f.Finish(llm.Completion{Text: "abc"}))
		require.Equal(t, "c ", got.told.String())
	})
	t.Run("log-probabilities that were sent are not sent again", func(t *testing.T) {
		h := newHub(t)
		to, r, _ := h.Announce("t", time.Minute)
		probs := []llm.TokenLogProb{{Token: "a"}, {Token: "b"}, {Token: "c"}}
		h.Open(to, 1)(llm.Delta{Text: "ab", LogProbs: probs[:2]})
		got := &client{t: t}
		f := NewFollower(r, Position{}, got)
		over, stop := context.WithCancel(t.Context())
		stop()
		require.Error(t, f.Live(over, nil, time.Minute))
		require.NoError(t, f.Finish(llm.Completion{Text: "abc", LogProbs: probs}))
		require.Equal(t, probs, got.logProbs)
	})
}

func TestAFollowerWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("127.0.0.1:1")
		defer h.Close()
		to, r, _ := h.Announce("t", time.Minute)
		got := &client{t: t}
		done := make(chan struct{})
		live := make(chan error)
		go func() { live <- NewFollower(r, Position{}, got).Live(t.Context(), done, 10*time.Second) }()
		time.Sleep(25 * time.Second)
		h.Open(to, 1)(piece("a"))
		time.Sleep(15 * time.Second)
		close(done)
		require.NoError(t, <-live)
		require.Equal(t, ". . a . ", got.told.String())
	})
}

func TestAClientThatIsGoneEndsItsStream(t *testing.T) {
	h := newHub(t)
	gone := errors.New("gone")
	to, r, _ := h.Announce("t", time.Minute)
	h.Open(to, 1)(piece("a"))
	f := NewFollower(r, Position{}, &client{t: t, gone: gone})
	require.ErrorIs(t, f.Live(t.Context(), nil, time.Minute), gone)
	require.ErrorIs(t, f.Finish(llm.Completion{Text: "other"}), gone)
}
