package upstream

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"teller/llm"
)

// body is a response's body as the network gives it.
type body struct {
	io.Reader
	closed atomic.Bool
}

func (b *body) Close() error { b.closed.Store(true); return nil }

// pipe is a network that says what is written to it.
type pipe struct {
	*io.PipeReader
	to *io.PipeWriter
}

// streamFrom makes one streamed call whose response is read like an SDK reads it: until it has enough bytes.
func streamFrom(t *testing.T, ctx context.Context, from io.Reader, enough int) (*Call, *llm.Error, *body) {
	t.Helper()
	b := &body{Reader: from}
	client := NewClientFor(roundTrip(func(r *http.Request) (*http.Response, error) {
		go func() { // net/http ends the body with the request's context
			<-r.Context().Done()
			if p, ok := from.(pipe); ok {
				_ = p.to.CloseWithError(r.Context().Err())
			}
		}()
		return &http.Response{StatusCode: 200, Header: http.Header{"X-Served-By": {"me"}}, Body: b}, nil
	}), nil)
	inner, call := BeginStream(ctx)
	defer call.End()
	req, err := http.NewRequestWithContext(inner, http.MethodPost, "http://host.invalid/", nil)
	require.NoError(t, err)
	resp, err := client.Do(req)
	require.NoError(t, err)
	require.Zero(t, call.Status(), "what is still arriving is no complete response")
	_, err = io.CopyN(io.Discard, resp.Body, int64(enough))
	require.NoError(t, resp.Body.Close())
	require.False(t, b.closed.Load(), "an SDK's close leaves the rest to Settle")
	call.Settle()
	return call, call.Failure("the server", err), b
}

func TestStreams(t *testing.T) {
	t.Run("read to the end", func(t *testing.T) {
		call, failed, b := streamFrom(t, t.Context(), strings.NewReader("data: [DONE]\n\n"), 1000)
		require.Nil(t, failed)
		require.True(t, call.OK())
		require.Equal(t, "data: [DONE]\n\n", string(call.Body()))
		require.Equal(t, "me", call.Header().Get("X-Served-By"))
		require.True(t, b.closed.Load())
	})
	t.Run("left before the end", func(t *testing.T) {
		call, failed, _ := streamFrom(t, t.Context(), strings.NewReader("data: [DONE]\n\nmore"), 5)
		require.Nil(t, failed)
		require.Equal(t, "data: [DONE]\n\nmore", string(call.Body()))
	})
	t.Run("broken", func(t *testing.T) {
		call, failed, _ := streamFrom(t, t.Context(), io.MultiReader(strings.NewReader("data"), brokenReader{}), 1000)
		require.Equal(t, llm.Unavailable, failed.Code)
		require.False(t, call.OK())
	})
	t.Run("endless", func(t *testing.T) {
		_, failed, _ := streamFrom(t, t.Context(), zeros{}, MaxStream+1)
		require.Equal(t, llm.BadReply, failed.Code)
	})
	t.Run("silent", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			from, to := io.Pipe()
			go func() {
				for range 3 {
					time.Sleep(silence - time.Second)
					_, _ = to.Write([]byte("x"))
				}
			}()
			started := time.Now()
			_, failed, _ := streamFrom(t, t.Context(), pipe{from, to}, 1000)
			require.Equal(t, llm.Timeout, failed.Code)
			require.Equal(t, 4*silence-3*time.Second, time.Since(started), "each piece gives it time again")
		})
	})
	t.Run("complete, but held open", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			from, to := io.Pipe()
			go func() { _, _ = to.Write([]byte("data: [DONE]\n\n")) }()
			started := time.Now()
			call, failed, _ := streamFrom(t, t.Context(), pipe{from, to}, 14)
			require.Nil(t, failed)
			require.True(t, call.OK())
			require.Equal(t, settleWithin, time.Since(started))
		})
	})
	t.Run("the caller leaves", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			from, to := io.Pipe()
			ctx, leave := context.WithCancel(t.Context())
			go func() {
				_, _ = to.Write([]byte("x"))
				time.Sleep(time.Second)
				leave()
			}()
			_, failed, _ := streamFrom(t, ctx, pipe{from, to}, 1000)
			require.Equal(t, llm.Canceled, failed.Code)
		})
	})
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, errors.New("broken") }

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// A stream that was read to its end leaves its connection to the next call.
func TestStreamsShareAConnection(t *testing.T) {
	remotes := map[string]bool{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		remotes[r.RemoteAddr] = true
		_, _ = io.WriteString(w, "data: [DONE]\n\n")
		_ = http.NewResponseController(w).Flush()
	}))
	defer server.Close()
	client := NewClient(nil)
	defer client.CloseIdleConnections()
	for range 5 {
		ctx, call := BeginStream(t.Context())
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL, nil)
		require.NoError(t, err)
		resp, err := client.Do(req)
		require.NoError(t, err)
		_, err = io.ReadFull(resp.Body, make([]byte, 14))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		call.Settle()
		require.True(t, call.OK())
		call.End()
	}
	require.Len(t, remotes, 1)
}
