package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teller/llm"
	"teller/stream"
	"teller/turns"
	"teller/workflows"
)

// event is a server-sent event.
type event struct{ id, name, data string }

// eventsOf reads a whole stream as a client does. Comments are left out.
func eventsOf(t testing.TB, body string) (all []event) {
	t.Helper()
	for block := range strings.SplitSeq(body, "\n\n") {
		var e event
		for line := range strings.Lines(block) {
			field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ":")
			switch field {
			case "id":
				e.id = value
			case "event":
				e.name = value
			case "data":
				e.data += value
			}
		}
		if e != (event{}) {
			all = append(all, e)
		}
	}
	return all
}

// shown says what a stream told: pieces, "|" for a reset; then how it ended.
func shown(t testing.TB, all []event) (text, last string) {
	t.Helper()
	for i, e := range all {
		switch e.name {
		case "delta":
			var d struct{ Text string }
			require.NoError(t, json.Unmarshal([]byte(e.data), &d))
			text += d.Text
		case "reset":
			require.JSONEq(t, "{}", e.data)
			text += "|"
		case "done", "error":
			require.Len(t, all, i+1, "nothing follows the end")
			last = e.data
		default:
			require.Fail(t, "unknown event", e.name)
		}
	}
	return text, last
}

// say makes turns tell pieces as they come, then answer with the text.
func (f *fixture) say(pieces []string, text string, failure error) {
	f.turns.live = func(_ context.Context, s submission) (workflows.Answer, error) {
		tell := f.hub.Open(*s.in.Stream, 1)
		for i, piece := range pieces {
			if piece == "|" { // another attempt
				tell = f.hub.Open(*s.in.Stream, int64(i+2))
				continue
			}
			tell(llm.Delta{Text: piece})
		}
		a := answered(s.in)
		a.Completion.Text = text
		return a, failure
	}
}

func TestAStreamedReply(t *testing.T) {
	for _, c := range []struct {
		name   string
		pieces []string
		text   string
		joined string
	}{
		{"as it comes", []string{"A bank ", "keeps ", "money."}, "A bank keeps money.", "A bank keeps money."},
		{"a model that does not stream", nil, "A bank keeps money.", "A bank keeps money."},
		{"a stream that broke off", []string{"A bank "}, "A bank keeps money.", "A bank keeps money."},
		{"any character", []string{"Grüße \n\r\n", "\x00\u2028残高", "<|end|>&"}, "Grüße \n\r\n\x00\u2028残高<|end|>&", "Grüße \n\r\n\x00\u2028残高<|end|>&"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := start(t)
			f.say(c.pieces, c.text, nil)
			got := f.chat(t, `{"message":"hello","stream":true,"conversation_id":"chat-1"}`)
			require.Equal(t, http.StatusOK, got.status)
			require.Equal(t, "text/event-stream", got.header.Get("Content-Type"))
			require.Equal(t, "no-store, no-transform", got.header.Get("Cache-Control"))
			require.Equal(t, "no", got.header.Get("X-Accel-Buffering"))
			all := eventsOf(t, string(got.body))
			text, last := shown(t, all)
			require.Equal(t, c.joined, text)

			at := stream.Position{}
			for _, e := range all[:len(all)-1] {
				turn, next, err := stream.ParseEventID(e.id)
				require.NoError(t, err)
				require.Equal(t, f.turns.submitted()[0].in.ID, turn)
				require.Greater(t, next.Offset, at.Offset)
				at = next
			}
			require.Equal(t, stream.Position{}.After(c.text), at)

			f.turns.live = nil
			f.turns.answer = func(in workflows.TurnInput) (workflows.Answer, error) {
				a := answered(in)
				a.TurnID, a.Completion.Text = f.turns.submitted()[0].in.ID, c.text
				return a, nil
			}
			whole := f.chat(t, `{"message":"hello","conversation_id":"chat-1"}`)
			require.JSONEq(t, string(whole.body), last, "the end is the body of the reply that is not streamed")
			require.Nil(t, f.turns.submitted()[1].in.Stream, "who waits for the whole reads nothing meanwhile")
		})
	}
}

func TestAReplyThatBeginsAnewIsNeverDoubled(t *testing.T) {
	for _, c := range []struct {
		name   string
		pieces []string
		text   string
	}{
		{"a second attempt", []string{"A bank ", "|", "A bank ", "keeps money."}, "A bank keeps money."},
		{"the result is another text", []string{"A bank "}, "Banks keep money."},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := start(t)
			// The first piece is read before the rest is said: else nobody would need a reset.
			begun, anew := make(chan struct{}), make(chan struct{})
			f.turns.live = func(_ context.Context, s submission) (workflows.Answer, error) {
				tell := f.hub.Open(*s.in.Stream, 1)
				for i, piece := range c.pieces {
					if piece == "|" {
						tell = f.hub.Open(*s.in.Stream, 2)
						continue
					}
					tell(llm.Delta{Text: piece})
					if i == 0 {
						<-begun
					}
				}
				if len(c.pieces) > 1 {
					<-anew
				}
				a := answered(s.in)
				a.Completion.Text = c.text
				return a, nil
			}
			resp := f.open(t, t.Context(), `{"message":"hello","stream":true}`)
			defer resp.Body.Close()
			lines := bufio.NewReader(resp.Body)
			first := readEvent(t, lines)
			require.Equal(t, `{"text":"A bank "}`, first.data)
			close(begun)
			second := readEvent(t, lines)
			require.Equal(t, "reset", second.name)
			_, at, err := stream.ParseEventID(second.id)
			require.NoError(t, err)
			require.Zero(t, at)
			close(anew)
			rest, err := io.ReadAll(lines)
			require.NoError(t, err)
			text, last := shown(t, eventsOf(t, string(rest)))
			require.Equal(t, c.text, text)
			require.Contains(t, last, c.text)
		})
	}
}

// open posts to the chat route and gives the response, whose body is still to be read.
func (f *fixture) open(t testing.TB, ctx context.Context, body string, headers ...string) *http.Response {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url+"/api/v1/chat", strings.NewReader(body))
	require.NoError(t, err)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := f.client.Do(req)
	require.NoError(t, err)
	return resp
}

func readEvent(t testing.TB, from *bufio.Reader) event {
	t.Helper()
	var block strings.Builder
	for {
		line, err := from.ReadString('\n')
		require.NoError(t, err)
		block.WriteString(line)
		if line != "\n" {
			continue
		}
		if all := eventsOf(t, block.String()); len(all) > 0 { // else it was a comment
			return all[0]
		}
		block.Reset()
	}
}

func TestAStreamThatFails(t *testing.T) {
	failure := &llm.Error{Code: llm.RateLimited, Message: "slow down", RetryAfter: 7 * time.Second}
	t.Run("before its first piece it has a status", func(t *testing.T) {
		f := start(t)
		f.say(nil, "", failure)
		got := f.chat(t, `{"message":"hello","stream":true}`)
		require.Equal(t, "slow down", got.requireError(t, http.StatusTooManyRequests, "rate_limited").Message)
		require.Equal(t, "7", got.header.Get("Retry-After"))
		require.Empty(t, got.header.Get("X-Accel-Buffering"))
	})
	t.Run("afterwards it has an event", func(t *testing.T) {
		f := start(t)
		begun := make(chan struct{})
		f.turns.live = func(_ context.Context, s submission) (workflows.Answer, error) {
			f.hub.Open(*s.in.Stream, 1)(llm.Delta{Text: "A bank "})
			<-begun
			return workflows.Answer{}, failure
		}
		resp := f.open(t, t.Context(), `{"message":"hello","stream":true}`)
		defer resp.Body.Close()
		lines := bufio.NewReader(resp.Body)
		readEvent(t, lines)
		close(begun)
		last := readEvent(t, lines)
		require.Equal(t, "error", last.name)
		require.JSONEq(t, `{"error":{"message":"slow down","type":"rate_limit_error","param":null,"code":"rate_limited"}}`, last.data)
		_, err := lines.ReadByte()
		require.ErrorIs(t, err, io.EOF)
	})
	t.Run("a bad request has a status", func(t *testing.T) {
		f := start(t)
		f.chat(t, `{"message":"","stream":true}`).requireError(t, http.StatusBadRequest, "invalid_request")
		require.Empty(t, f.turns.submitted())
	})
	t.Run("a defect is a failure like any other", func(t *testing.T) {
		f := start(t)
		f.turns.live = func(context.Context, submission) (workflows.Answer, error) { panic("CANARY") }
		got := f.chat(t, `{"message":"hello","stream":true}`)
		got.requireError(t, http.StatusInternalServerError, "internal")
		require.NotContains(t, string(got.body), "CANARY")
	})
}

func TestAClientThatLeavesItsStream(t *testing.T) {
	for _, durable := range []bool{false, true} {
		t.Run(fmt.Sprintf("durable %v", durable), func(t *testing.T) {
			f := start(t)
			ended := make(chan error, 1)
			var turn string
			f.turns.live = func(ctx context.Context, s submission) (workflows.Answer, error) {
				turn = s.in.ID
				f.hub.Open(*s.in.Stream, 1)(llm.Delta{Text: "A bank "})
				<-ctx.Done()
				ended <- ctx.Err()
				return workflows.Answer{}, ctx.Err()
			}
			headers := []string{}
			if durable {
				headers = []string{"Idempotency-Key", "order 17"}
			}
			ctx, hangUp := context.WithCancel(t.Context())
			resp := f.open(t, ctx, `{"message":"hello","stream":true}`, headers...)
			defer resp.Body.Close()
			readEvent(t, bufio.NewReader(resp.Body))
			hangUp()
			select {
			case err := <-ended:
				require.ErrorIs(t, err, context.Canceled)
			case <-time.After(30 * time.Second):
				require.Fail(t, "the turn does not learn that its client is gone")
			}
			if durable {
				require.NotNil(t, f.hub.Find(turn, stream.Position{}), "who comes back reads on")
				return
			}
			eventually(t, func() bool { return f.hub.Find(turn, stream.Position{}) == nil })
		})
	}
}

// A client that takes nothing from its connection holds up itself only: the turn ends, and so does the request.
func TestAClientThatStopsReading(t *testing.T) {
	f := start(t)
	f.turns.live = func(_ context.Context, s submission) (workflows.Answer, error) {
		if s.in.Stream == nil {
			return answered(s.in), nil
		}
		tell := f.hub.Open(*s.in.Stream, 1)
		for range 400 {
			tell(llm.Delta{Text: strings.Repeat("x", 1000)})
		}
		a := answered(s.in)
		a.Completion.Text = strings.Repeat("x", 1<<20)
		return a, nil
	}
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	require.NoError(t, err)
	body := `{"message":"hello","stream":true}`
	_, err = fmt.Fprintf(conn, "POST /api/v1/chat HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	require.NoError(t, err)
	eventually(t, func() bool { return len(f.turns.submitted()) == 1 })
	require.Equal(t, http.StatusOK, f.chat(t, `{"message":"hello"}`).status, "others are served")
	require.NoError(t, conn.Close())
}

func TestReadingATurn(t *testing.T) {
	const id = "7d793037a0760186574b0282f2f435e7"
	found := func(ended bool, a workflows.Answer, err error) func(string, string) (turns.Found, error) {
		return func(tenant, turn string) (turns.Found, error) {
			if tenant != "default" || turn != id {
				return turns.Found{}, turns.ErrNoTurn
			}
			return turns.Found{Ended: ended, Answer: func(context.Context) (workflows.Answer, error) { return a, err }}, nil
		}
	}
	answer := answered(workflows.TurnInput{ID: id, Route: []workflows.Target{{Model: "custom"}}})
	answer.Conversation = "chat-1"
	text := answer.Completion.Text
	const path = "/api/v1/turns/" + id

	t.Run("answered", func(t *testing.T) {
		f := start(t)
		f.turns.find = found(true, answer, nil)
		f.get(t, path).requireJSON(t, `{"response":"A bank keeps deposits safe.","latency_ms":412,"model_version":"custom","served":"custom-5d41402a",
			"confidence":0.5,"conversation_id":"chat-1","turn_id":"`+id+`","usage":{"prompt_tokens":11,"completion_tokens":24,"total_tokens":35},"finish_reason":"stop"}`)
	})
	t.Run("running", func(t *testing.T) {
		f := start(t)
		f.turns.find = found(false, answer, nil)
		got := f.get(t, path)
		require.Equal(t, http.StatusAccepted, got.status)
		require.JSONEq(t, `{"status":"running","turn_id":"`+id+`"}`, string(got.body))
	})
	t.Run("failed", func(t *testing.T) {
		f := start(t)
		f.turns.find = found(true, answer, &llm.Error{Code: llm.Unauthenticated, Message: "wrong key"})
		require.Equal(t, "wrong key", f.get(t, path).requireError(t, http.StatusBadGateway, "unauthenticated").Message)
		f.do(t, http.MethodGet, path, "", "Accept", "text/event-stream").requireError(t, http.StatusBadGateway, "unauthenticated")
	})
	t.Run("not there", func(t *testing.T) {
		f := start(t)
		f.turns.find = found(true, answer, nil)
		f.get(t, path+"0").requireError(t, http.StatusNotFound, "not_found")
		f.do(t, http.MethodGet, path+"0", "", "Accept", "text/event-stream").requireError(t, http.StatusNotFound, "not_found")
	})
	t.Run("Temporal is away", func(t *testing.T) {
		f := start(t)
		f.turns.find = func(string, string) (turns.Found, error) {
			return turns.Found{}, &llm.Error{Code: llm.Unavailable, Message: "away"}
		}
		f.get(t, path).requireError(t, http.StatusServiceUnavailable, "unavailable")
	})
	t.Run("streamed", func(t *testing.T) {
		at := func(n int) string { return stream.EventID(id, stream.Position{}.After(text[:n])) }
		for _, c := range []struct {
			name, last string // "": the header is missing
			want       string
		}{
			{"from the beginning", "", text},
			{"from its beginning", at(0), text},
			{"from the middle", at(7), text[7:]},
			{"from the end", at(len(text)), ""},
			{"from another text", stream.EventID(id, stream.Position{}.After("A shop ")), "|" + text},
			{"from behind the end", stream.EventID(id, stream.Position{}.After(text+"x")), "|" + text},
		} {
			for _, held := range []bool{false, true} { // whether this process still has the stream
				t.Run(fmt.Sprint(c.name, held), func(t *testing.T) {
					f := start(t)
					f.turns.find = found(true, answer, nil)
					if held {
						to, _, end := f.hub.Announce(id, time.Minute)
						f.hub.Open(to, 1)(llm.Delta{Text: text[:12]})
						end(true)
					}
					headers := []string{"Accept", "text/event-stream"}
					if c.last != "" {
						headers = []string{"Last-Event-ID", c.last}
					}
					got := f.do(t, http.MethodGet, path, "", headers...)
					require.Equal(t, http.StatusOK, got.status, "%s", got.body)
					told, last := shown(t, eventsOf(t, string(got.body)))
					require.Equal(t, c.want, told)
					require.JSONEq(t, string(f.get(t, path).body), last)
				})
			}
		}
	})
	t.Run("a stream that goes on", func(t *testing.T) {
		f := start(t)
		to, _, _ := f.hub.Announce(id, time.Minute)
		tell := f.hub.Open(to, 1)
		tell(llm.Delta{Text: "A bank "})
		answered := make(chan struct{})
		f.turns.find = func(string, string) (turns.Found, error) {
			return turns.Found{Answer: func(ctx context.Context) (workflows.Answer, error) {
				select {
				case <-answered:
					return answer, nil
				case <-ctx.Done():
					return workflows.Answer{}, ctx.Err()
				}
			}}, nil
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.url+path, nil)
		require.NoError(t, err)
		req.Header.Set("Last-Event-ID", stream.EventID(id, stream.Position{}.After("A ")))
		resp, err := f.client.Do(req)
		require.NoError(t, err)
		defer resp.Body.Close()
		lines := bufio.NewReader(resp.Body)
		require.Equal(t, `{"text":"bank "}`, readEvent(t, lines).data)
		tell(llm.Delta{Text: "keeps "})
		require.Equal(t, `{"text":"keeps "}`, readEvent(t, lines).data)
		close(answered)
		require.Equal(t, `{"text":"deposits safe."}`, readEvent(t, lines).data)
		require.Equal(t, "done", readEvent(t, lines).name)
	})
	t.Run("a Last-Event-ID that is none", func(t *testing.T) {
		f := start(t)
		f.turns.find = func(string, string) (turns.Found, error) { return turns.Found{}, errors.New("not looked for") }
		for _, last := range []string{"", "x", id, id + ":7", id + ":7.xyz", id + ":-1.00000000", "another:7.00000000", strings.Repeat("9", 10000), "🦊"} {
			e := f.do(t, http.MethodGet, path, "", "Last-Event-ID", last).requireError(t, http.StatusBadRequest, "invalid_request")
			require.Equal(t, "Last-Event-ID", e.Param)
		}
	})
}
