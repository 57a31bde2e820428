package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teller/adapters/adaptertest/fakeserver"
)

// streamEvent is a server-sent event of a turn.
type streamEvent struct{ id, name, data string }

// streaming is a client that reads a stream while it comes.
type streaming struct {
	t      *testing.T
	resp   *http.Response
	events chan streamEvent // closed at the end
	hangUp context.CancelFunc
}

// follow sends a request whose reply is a stream.
func (a *apiProc) follow(method, path string, b body, headers ...string) *streaming {
	a.t.Helper()
	var content bytes.Buffer
	if b != nil {
		require.NoError(a.t, json.NewEncoder(&content).Encode(b))
	}
	ctx, hangUp := context.WithCancel(context.Background())
	a.t.Cleanup(hangUp)
	req, err := http.NewRequestWithContext(ctx, method, a.url+path, &content)
	require.NoError(a.t, err)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Accept", "text/event-stream")
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	require.NoError(a.t, err)
	require.Equal(a.t, http.StatusOK, resp.StatusCode)
	s := &streaming{t: a.t, resp: resp, events: make(chan streamEvent, 1000), hangUp: hangUp}
	go s.read()
	return s
}

func (a *apiProc) stream(b body, headers ...string) *streaming {
	b["stream"] = true
	return a.follow(http.MethodPost, "/api/v1/chat", b, headers...)
}

func (s *streaming) read() {
	defer close(s.events)
	defer s.resp.Body.Close()
	var e streamEvent
	for lines := bufio.NewScanner(s.resp.Body); lines.Scan(); {
		field, value, _ := strings.Cut(lines.Text(), ":")
		switch field {
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			e.data = value
		case "":
			if e.name != "" {
				s.events <- e
			}
			e = streamEvent{}
		}
	}
}

// next waits for the next event; false at the end of the stream.
func (s *streaming) next() (streamEvent, bool) {
	s.t.Helper()
	select {
	case e, ok := <-s.events:
		return e, ok
	case <-time.After(patience):
		require.FailNow(s.t, "nothing comes")
		return streamEvent{}, false
	}
}

// rest reads the stream to its end: what it told, "|" for a reset, and the reply that it ended with.
func (s *streaming) rest() (told string, c chat) {
	s.t.Helper()
	for {
		e, ok := s.next()
		require.True(s.t, ok, "the stream ended before its reply: %s", told)
		switch e.name {
		case "delta":
			told += s.text(e)
		case "reset":
			told += "|"
		case "done":
			require.NoError(s.t, json.Unmarshal([]byte(e.data), &c))
			return told, c
		default:
			require.FailNow(s.t, e.name, e.data)
		}
	}
}

func (s *streaming) text(e streamEvent) string {
	s.t.Helper()
	require.Equal(s.t, "delta", e.name, e.data)
	var d struct{ Text string }
	require.NoError(s.t, json.Unmarshal([]byte(e.data), &d))
	return d.Text
}

func TestStreamedTurns(t *testing.T) {
	s := newStack(t)
	worker := s.worker()
	api := s.api()
	const text = "A savings account is a deposit account that earns interest."

	t.Run("pieces come while the model speaks", func(t *testing.T) {
		for _, b := range []body{{"message": "speak"}, {"message": "speak", "conversation_id": "c"}} {
			s.vllm.Script(fakeserver.Behaviour{Text: text, Break: fakeserver.BreakStall, Pieces: 2})
			client := api.stream(b)
			first, _ := client.next()
			require.True(t, strings.HasPrefix(text, client.text(first)))
			s.vllm.Resume()
			told, c := client.rest()
			require.Equal(t, text, client.text(first)+told)
			require.Equal(t, text, c.Response)
			turn, _, _ := strings.Cut(first.id, ":")
			require.Equal(t, c.TurnID, turn)
		}
	})
	t.Run("a worker killed in mid-stream", func(t *testing.T) {
		s.vllm.Script(fakeserver.Behaviour{Text: text, Break: fakeserver.BreakStall, Pieces: 3, Times: 1})
		client := api.stream(body{"message": "hold on"})
		first, _ := client.next()
		require.True(t, strings.HasPrefix(text, client.text(first)))
		<-s.vllm.Hanging()
		// The second attempt stops too, so that its text meets a client that still has the first one's.
		s.vllm.Script(fakeserver.Behaviour{Text: text, Break: fakeserver.BreakStall, Pieces: 3, Times: 1})
		worker.kill()
		s.worker()
		<-s.vllm.Hanging()
		for {
			e, ok := client.next()
			require.True(t, ok)
			if e.name == "reset" {
				break
			}
			client.text(e)
		}
		s.vllm.Resume()
		told, c := client.rest()
		require.Equal(t, text, told, "after the reset the whole text comes once")
		require.Equal(t, text, c.Response)
	})
	t.Run("an API process killed in mid-stream", func(t *testing.T) {
		for _, b := range []body{{"message": "hold on"}, {"message": "hold on", "conversation_id": "killed"}} {
			s.vllm.Script(fakeserver.Behaviour{Text: text, Break: fakeserver.BreakStall, Pieces: 3, Times: 1})
			doomed := s.api()
			client := doomed.stream(b)
			first, _ := client.next()
			<-s.vllm.Hanging()
			doomed.kill()
			turn, _, _ := strings.Cut(first.id, ":")

			again := s.api()
			path := "/api/v1/turns/" + turn
			r := again.do(context.Background(), http.MethodGet, path, nil)
			require.Equal(t, http.StatusAccepted, r.status, "%s", r.body)
			resumed := make(chan string, 1)
			go func() {
				told, _ := again.follow(http.MethodGet, path, nil, "Last-Event-ID", first.id).rest()
				resumed <- told
			}()
			s.vllm.Resume()
			require.Equal(t, strings.TrimPrefix(text, client.text(first)), <-resumed, "the stream goes on where the client had arrived")
			c := again.do(context.Background(), http.MethodGet, path, nil).chat(t)
			require.Equal(t, text, c.Response)
			require.Equal(t, turn, c.TurnID)
			require.Equal(t, b["conversation_id"] == nil, c.ConversationID == nil)
		}
	})
	t.Run("a stream taken up again on another API process", func(t *testing.T) {
		other := s.api()
		s.vllm.Script(fakeserver.Behaviour{Text: text, Break: fakeserver.BreakStall, Pieces: 3, Times: 1})
		client := api.stream(body{"message": "hold on"}, "Idempotency-Key", "taken up again")
		first, _ := client.next()
		<-s.vllm.Hanging()
		client.hangUp()
		turn, _, _ := strings.Cut(first.id, ":")
		here := api.follow(http.MethodGet, "/api/v1/turns/"+turn, nil, "Last-Event-ID", first.id)
		there := make(chan string, 1)
		go func() {
			told, _ := other.follow(http.MethodGet, "/api/v1/turns/"+turn, nil, "Last-Event-ID", first.id).rest()
			there <- told
		}()
		s.vllm.Resume()
		want := strings.TrimPrefix(text, client.text(first))
		told, _ := here.rest()
		require.Equal(t, want, told)
		require.Equal(t, want, <-there)
	})
	t.Run("a turn that failed is found too", func(t *testing.T) {
		for _, b := range []body{{"message": "fail"}, {"message": "fail", "conversation_id": "failing"}} {
			s.vllm.Script(fakeserver.Behaviour{Text: text, Break: fakeserver.BreakGarbage, Pieces: 2})
			client := api.stream(b)
			first, _ := client.next()
			turn, _, _ := strings.Cut(first.id, ":")
			for {
				e, ok := client.next()
				require.True(t, ok)
				if e.name == "error" {
					require.Contains(t, e.data, `"code":"bad_reply"`)
					break
				}
			}
			r := api.do(context.Background(), http.MethodGet, "/api/v1/turns/"+turn, nil)
			require.Equal(t, "bad_reply", r.code(t, http.StatusBadGateway))
		}
		r := api.do(context.Background(), http.MethodGet, "/api/v1/turns/"+strings.Repeat("0", 32), nil)
		require.Equal(t, "not_found", r.code(t, http.StatusNotFound))
	})
	t.Run("a failure before the first piece has a status", func(t *testing.T) {
		s.vllm.Script(fakeserver.Behaviour{Failure: fakeserver.Unauthorized})
		r := api.do(context.Background(), http.MethodPost, "/api/v1/chat", body{"message": "fail", "stream": true})
		require.Equal(t, "unauthenticated", r.code(t, http.StatusBadGateway))
	})
	t.Run("who hangs up cancels the model's call", func(t *testing.T) {
		for _, b := range []body{{"message": "never mind"}, {"message": "never mind", "conversation_id": "c3"}} {
			s.vllm.Script(fakeserver.Behaviour{Text: text, Break: fakeserver.BreakStall, Pieces: 2})
			client := api.stream(b)
			client.next()
			<-s.vllm.Hanging()
			for len(s.vllm.Gone()) > 0 { // those whose workers were killed
				<-s.vllm.Gone()
			}
			started := time.Now()
			client.hangUp()
			select {
			case <-s.vllm.Gone(): // the adapter closed its connection
				t.Logf("cancelled after %s", time.Since(started))
				require.Less(t, time.Since(started), 2*time.Second*slack, "promised to whoever pays for tokens")
			case <-time.After(patience):
				require.Fail(t, "the model call goes on")
			}
		}
	})
}

// slack is how much longer than promised a thing may take here, where other tests run on the same processors.
const slack = 3

// Many clients read at once, one of them slowly: all get their text, and the process keeps its memory.
func TestManyStreams(t *testing.T) {
	s := newStack(t)
	s.worker("TELLER_WORKER_SLOTS=600")
	api := s.api()
	const clients = 100
	text := strings.Repeat("interest ", 40)
	s.vllm.Script(fakeserver.Behaviour{Text: text, Pause: 20 * time.Millisecond})
	var all sync.WaitGroup
	for range clients {
		all.Go(func() {
			told, c := api.stream(body{"message": "speak"}).rest()
			require.Equal(t, c.Response, told)
			require.Equal(t, text, told)
		})
	}
	all.Wait()
}
