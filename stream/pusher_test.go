package stream

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teller/llm"
)

// served gives a hub that listens, and a pusher.
func served(t *testing.T) (*Hub, *Pusher, *httptest.Server) {
	t.Helper()
	h := NewHub("")
	server := httptest.NewServer(h.Handler())
	h.address = server.Listener.Addr().String()
	p := NewPusher(slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		p.Close()
		server.Close()
		h.Close()
	})
	return h, p, server
}

func awaitText(t *testing.T, r *Reader, want string) {
	t.Helper()
	var got strings.Builder
	deadline := time.After(20 * time.Second)
	for got.Len() < len(want) {
		e, ok, changed := r.Read()
		require.False(t, e.Reset)
		got.WriteString(e.Delta.Text)
		if !ok {
			select {
			case <-changed:
			case <-deadline:
				require.FailNow(t, "the pieces do not come", got.String())
			}
		}
	}
	require.Equal(t, want, got.String())
}

func TestPiecesCrossProcesses(t *testing.T) {
	h, p, _ := served(t)
	for i := range 20 { // one connection serves all turns
		to, r, _ := h.Announce(fmt.Sprint("t", i), time.Minute)
		say := p.Open(to, 1)
		say(piece("Grüße "))
		awaitText(t, r, "Grüße ")
		say(llm.Delta{Text: "\x00\n\"<", LogProbs: []llm.TokenLogProb{{Token: "x", LogProb: -1}}})
		awaitText(t, r, "\x00\n\"<")
	}
	require.Len(t, p.links, 1)
}

// A model's call never waits for whoever reads along.
func TestNothingHoldsAModelUp(t *testing.T) {
	t.Run("nobody listens", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		require.NoError(t, l.Close())
		sayAll(t, l.Addr().String(), 100)
	})
	t.Run("no address", func(t *testing.T) {
		for _, address := range []string{"", "no address", "300.300.300.300:1", "127.0.0.1:99999", "\x00"} {
			sayAll(t, address, 100)
		}
	})
	t.Run("who listens never reads", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		sayAll(t, l.Addr().String(), 3*maxLink/1000)
	})
	t.Run("who listens hangs up", func(t *testing.T) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		defer l.Close()
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				c.Close()
			}
		}()
		sayAll(t, l.Addr().String(), 100)
	})
	t.Run("who listens is somebody else", func(t *testing.T) {
		server := httptest.NewServer(http.NotFoundHandler())
		defer server.Close()
		sayAll(t, server.Listener.Addr().String(), 1000)
	})
}

func sayAll(t *testing.T, address string, pieces int) {
	t.Helper()
	p := NewPusher(slog.New(slog.DiscardHandler))
	defer p.Close()
	said := make(chan struct{})
	go func() {
		defer close(said)
		say := p.Open(Target{Address: address, Turn: "t", Token: "x"}, 1)
		for range pieces {
			say(piece(strings.Repeat("x", 1000)))
		}
	}()
	select {
	case <-said:
	case <-time.After(20 * time.Second):
		require.FailNow(t, "the model waits")
	}
}

// What comes while earlier pieces wait goes out with them, in its order.
func TestPiecesThatWaitAreJoined(t *testing.T) {
	h, p, _ := served(t)
	to, r, _ := h.Announce("t", time.Minute)
	say := p.Open(to, 1)
	want := ""
	for i := range 5000 {
		say(llm.Delta{Text: fmt.Sprint(i, " "), LogProbs: []llm.TokenLogProb{{Token: fmt.Sprint(i)}}})
		want += fmt.Sprint(i, " ")
		if i%500 == 499 { // what no reader has taken yet may be lost, so none is
			awaitText(t, r, want)
			want = ""
		}
	}
	require.Zero(t, p.links[to.Address].bytes)
	require.Less(t, h.topics["t"].next, 5000, "not each piece is a frame")
}

// An API process that was away for a moment gets the turns that begin afterwards.
func TestALinkComesBack(t *testing.T) {
	h := newHub(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	h.address = l.Addr().String()
	require.NoError(t, l.Close())
	p := NewPusher(slog.New(slog.DiscardHandler))
	defer p.Close()
	to, r, _ := h.Announce("t", time.Minute)
	p.Open(to, 1)(piece("lost"))
	require.Eventually(t, func() bool {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.links[h.address].epoch == 1
	}, 20*time.Second, time.Millisecond)

	l, err = net.Listen("tcp", h.address)
	require.NoError(t, err)
	server := &http.Server{Handler: h.Handler()}
	go func() { _ = server.Serve(l) }()
	defer server.Close()
	attempt := int64(1)
	require.Eventually(t, func() bool {
		attempt++
		p.Open(to, attempt)(piece("found"))
		_, _, changed := r.Read()
		if changed == nil {
			return true
		}
		select {
		case <-changed:
			return true
		case <-time.After(10 * time.Millisecond):
			return false
		}
	}, 20*time.Second, 10*time.Millisecond)
}

func TestTheHandlerTakesFramesOnly(t *testing.T) {
	h, _, server := served(t)
	to, r, _ := h.Announce("t", time.Minute)
	frame, err := json.Marshal(Frame{Turn: "t", Token: to.Token, Attempt: 1, Delta: piece("well")})
	require.NoError(t, err)
	for name, c := range map[string]struct {
		method, path, body string
		status             int
	}{
		"a frame":       {http.MethodPost, path, string(frame) + "\n", http.StatusNoContent},
		"nothing":       {http.MethodPost, path, "", http.StatusNoContent},
		"no JSON":       {http.MethodPost, path, "hello\n", http.StatusBadRequest},
		"wrong types":   {http.MethodPost, path, `{"turn":4711}` + "\n", http.StatusBadRequest},
		"an empty line": {http.MethodPost, path, "\n", http.StatusBadRequest},
		"a long line":   {http.MethodPost, path, strings.Repeat("x", maxFrameBytes+1), http.StatusBadRequest},
		"another path":  {http.MethodPost, "/", "", http.StatusNotFound},
		"a read":        {http.MethodGet, path, "", http.StatusMethodNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			req, err := http.NewRequestWithContext(t.Context(), c.method, server.URL+c.path, strings.NewReader(c.body))
			require.NoError(t, err)
			resp, err := server.Client().Do(req)
			require.NoError(t, err)
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			require.NoError(t, err)
			require.Equal(t, c.status, resp.StatusCode, "%s", body)
			require.NotContains(t, string(body), "hello", "what was sent is not sent back")
		})
	}
	require.Equal(t, "well", read(r))
}
