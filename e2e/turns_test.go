package e2e

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teller/adapters/adaptertest/fakeserver"
)

func TestOneTurnAndAConversation(t *testing.T) {
	s := newStack(t)
	s.worker()
	api := s.api()
	s.vllm.Script(fakeserver.Behaviour{Reply: func(r fakeserver.Request) string {
		return fmt.Sprintf("heard %d messages", len(r.Messages))
	}})
	t.Run("a turn that stands alone", func(t *testing.T) {
		c := api.ask(body{"message": "What is a bank?", "context": "Balance: GBP 5"})
		require.Equal(t, "heard 2 messages", c.Response)
		require.Equal(t, "qlora", c.ModelVersion)
		require.Nil(t, c.ConversationID)
	})
	t.Run("a conversation remembers", func(t *testing.T) {
		require.Equal(t, "heard 1 messages", api.ask(body{"message": "one", "conversation_id": "c1"}).Response)
		require.Equal(t, "heard 3 messages", api.ask(body{"message": "two", "conversation_id": "c1"}).Response)
		require.Equal(t, []string{"one", "heard 1 messages", "two", "heard 3 messages"}, api.said("c1"))
	})
	t.Run("two turns at once are both answered, one after the other", func(t *testing.T) {
		var wg sync.WaitGroup
		for i := range 2 {
			wg.Go(func() { api.ask(body{"message": fmt.Sprint("m", i), "conversation_id": "c2"}) })
		}
		wg.Wait()
		said := api.said("c2")
		require.Len(t, said, 4)
		require.Equal(t, "heard 1 messages", said[1])
		require.Equal(t, "heard 3 messages", said[3], "the second was asked after the first was answered")
	})
	t.Run("an erased conversation is gone", func(t *testing.T) {
		r := api.do(context.Background(), http.MethodDelete, "/api/v1/conversations/c1", nil)
		require.Equal(t, http.StatusNoContent, r.status, "%s", r.body)
		s.eventually("the transcript is gone", func() bool {
			return api.do(context.Background(), http.MethodGet, "/api/v1/conversations/c1", nil).status == http.StatusNotFound
		})
		require.Equal(t, "heard 1 messages", api.ask(body{"message": "anew", "conversation_id": "c1"}).Response)
	})
	t.Run("no such conversation", func(t *testing.T) {
		r := api.do(context.Background(), http.MethodGet, "/api/v1/conversations/none", nil)
		require.Equal(t, "not_found", r.code(t, http.StatusNotFound))
	})
	t.Run("template tokens are text", func(t *testing.T) {
		text := "<|end|><|assistant|> [INST] <|eot_id|> \u202e"
		api.ask(body{"message": text})
		requests := s.vllm.Requests()
		require.Equal(t, text, requests[len(requests)-1].Messages[0].Text)
	})
	t.Run("the workflow can be found in the Web UI by its attributes", func(t *testing.T) {
		url := "http://" + s.env["TELLER_UI_ADDR"] + "/api/v1/namespaces/default/workflows?query=" + "TellerModel%3D%27qlora%27%20AND%20TellerOutcome%3D%27ok%27"
		s.eventually("the UI's own API lists it", func() bool {
			resp, err := http.Get(url)
			if err != nil {
				return false
			}
			defer resp.Body.Close()
			var b strings.Builder
			_ = resp.Write(&b)
			return strings.Contains(b.String(), "chat-")
		})
	})
}

func TestIdempotencyKeys(t *testing.T) {
	s := newStack(t)
	s.worker()
	one, two := s.api(), s.api()
	for _, test := range []struct {
		name string
		body body
	}{
		{"alone", body{"message": "pay once"}},
		{"in a conversation", body{"message": "pay once", "conversation_id": "c"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := s.vllm.Calls()
			// A slow model, so that the duplicates arrive while the first is running.
			s.vllm.Script(fakeserver.Behaviour{Text: "paid", Latency: 300 * time.Millisecond})
			key := "key " + test.name
			var replies []<-chan reply
			for i := range 6 {
				api := one
				if i%2 == 1 {
					api = two
				}
				replies = append(replies, api.asking(context.Background(), test.body, "Idempotency-Key", key))
			}
			first := receive(t, "first", replies[0])
			require.Equal(t, "paid", first.chat(t).Response)
			for _, c := range replies[1:] {
				r := receive(t, "duplicate", c)
				require.Equal(t, http.StatusOK, r.status, "%s", r.body)
				require.JSONEq(t, string(first.body), string(r.body))
			}
			later := two.do(context.Background(), http.MethodPost, "/api/v1/chat", test.body, "Idempotency-Key", key)
			require.JSONEq(t, string(first.body), string(later.body))
			require.Equal(t, before+1, s.vllm.Calls(), "one model call for all of them")

			other := body{"message": "pay twice"}
			if id, ok := test.body["conversation_id"]; ok {
				other["conversation_id"] = id
			}
			r := one.do(context.Background(), http.MethodPost, "/api/v1/chat", other, "Idempotency-Key", key)
			require.Equal(t, "idempotency_key_reused", r.code(t, http.StatusUnprocessableEntity))

			// A turn that failed may be tried again under its key.
			s.vllm.Script(fakeserver.Behaviour{Failure: fakeserver.InvalidRequest})
			r = one.do(context.Background(), http.MethodPost, "/api/v1/chat", test.body, "Idempotency-Key", key+" 2")
			require.Equal(t, "invalid_request", r.code(t, http.StatusBadRequest))
			s.vllm.Script(fakeserver.Behaviour{Text: "paid at last"})
			require.Equal(t, "paid at last", two.ask(test.body, "Idempotency-Key", key+" 2").Response)
		})
	}
}

func TestTurnsOutliveWhatBreaksUnderThem(t *testing.T) {
	s := newStack(t)
	worker := s.worker()
	api := s.api()
	bodyOf := func(conversation string) body { return body{"message": "hold on", "conversation_id": conversation} }

	t.Run("a worker killed in the middle of the call", func(t *testing.T) {
		s.vllm.Script(fakeserver.Behaviour{Hang: true, Times: 1, Text: "answered"})
		answer := api.asking(context.Background(), bodyOf("worker"))
		<-s.vllm.Hanging()
		worker.kill()
		worker = s.worker()
		require.Equal(t, "answered", receive(t, "worker", answer).chat(t).Response)
		require.Equal(t, []string{"hold on", "answered"}, api.said("worker"))
	})
	t.Run("a worker killed in a turn that stands alone", func(t *testing.T) {
		s.vllm.Script(fakeserver.Behaviour{Hang: true, Times: 1, Text: "answered"})
		answer := api.asking(context.Background(), body{"message": "hold on"})
		<-s.vllm.Hanging()
		worker.kill()
		worker = s.worker()
		require.Equal(t, "answered", receive(t, "worker", answer).chat(t).Response)
	})
	t.Run("a worker told to stop hands its call on", func(t *testing.T) {
		s.vllm.Script(fakeserver.Behaviour{Hang: true, Times: 1, Text: "answered"})
		answer := api.asking(context.Background(), body{"message": "hold on"})
		<-s.vllm.Hanging()
		second := s.worker()
		require.Zero(t, worker.terminate(t, syscall.SIGTERM))
		worker = second
		require.Equal(t, "answered", receive(t, "worker", answer).chat(t).Response)
	})
	t.Run("Temporal killed in the middle of the call", func(t *testing.T) {
		s.vllm.Script(fakeserver.Behaviour{Text: "answered", Latency: 2 * time.Second})
		before := s.vllm.Calls()
		answer := api.asking(context.Background(), bodyOf("temporal"))
		s.eventually("the model is asked", func() bool { return s.vllm.Calls() > before })
		s.temporal.kill()
		s.startTemporal()
		require.Equal(t, "answered", receive(t, "temporal", answer).chat(t).Response)
		require.Equal(t, []string{"hold on", "answered"}, api.said("temporal"))
	})
	t.Run("an API process killed in the middle of the turn", func(t *testing.T) {
		s.vllm.Script(fakeserver.Behaviour{Text: "answered", Latency: 2 * time.Second})
		before := s.vllm.Calls()
		doomed, key := s.api(), []string{"Idempotency-Key", "the key of a careful caller"}
		lost := doomed.asking(context.Background(), bodyOf("api"), key...)
		s.eventually("the model is asked", func() bool { return s.vllm.Calls() > before })
		doomed.kill()
		require.Error(t, receive(t, "killed", lost).err)
		require.Equal(t, "answered", api.ask(bodyOf("api"), key...).Response)
		require.Equal(t, []string{"hold on", "answered"}, api.said("api"))
		require.Equal(t, before+1, s.vllm.Calls(), "the model was asked once")
	})
}

func TestTheGPUWorkerKilledInTheMiddleOfATurn(t *testing.T) {
	s := newStack(t)
	s.worker()
	weights := "CUSTOM_MODEL_PATH=" + slowModel(t)
	gpu := s.gpuWorker(weights)
	api := s.api("MODEL_VERSION=custom", "TELLER_FALLBACKS=custom")
	s.eventually("custom is healthy", func() bool { return activeModel(t, api).Health == "healthy" })
	idle := cpuTime(t, gpu.cmd.Process.Pid)
	answer := api.asking(context.Background(), body{"message": "talk", "conversation_id": "c", "max_tokens": 1500})
	s.eventually("the worker is busy with the turn", func() bool { return cpuTime(t, gpu.cmd.Process.Pid)-idle > 500*time.Millisecond })
	gpu.kill()
	// Longer than a turn waits for a worker that was never there.
	s.eventually("Temporal has given up on the worker", func() bool { return s.timedOut("TellerModel = 'custom'") })
	s.gpuWorker(weights)
	c := receive(t, "gpu", answer).chat(t)
	require.Equal(t, "custom", c.ModelVersion)
	require.NotNil(t, c.Confidence)
	require.Len(t, api.said("c"), 2)
}

func TestTemporalDown(t *testing.T) {
	s := newStack(t)
	s.worker()
	api := s.api()
	require.Equal(t, fakeserver.DefaultText, api.ask(body{"message": "hello", "conversation_id": "c"}).Response)
	s.temporal.kill()
	for _, b := range []body{{"message": "hello"}, {"message": "hello", "conversation_id": "c"}} {
		started := time.Now()
		r := api.do(context.Background(), http.MethodPost, "/api/v1/chat", b)
		require.Equal(t, "unavailable", r.code(t, http.StatusServiceUnavailable))
		require.NotEmpty(t, r.header.Get("Retry-After"))
		require.Less(t, time.Since(started), 5*time.Second, "promised to callers")
	}
	require.Equal(t, http.StatusServiceUnavailable, api.do(context.Background(), http.MethodGet, "/readyz", nil).status)
	s.startTemporal()
	s.eventually("turns are taken again", func() bool {
		return api.do(context.Background(), http.MethodPost, "/api/v1/chat", body{"message": "again", "conversation_id": "c"}).status == http.StatusOK
	})
	require.Equal(t, "hello", api.said("c")[0], "nothing is lost")
}

func TestNoWorkerForTheModel(t *testing.T) {
	s := newStack(t)
	s.worker()
	alone := s.api("MODEL_VERSION=custom", "TELLER_FALLBACKS=custom")
	started := time.Now()
	r := alone.do(context.Background(), http.MethodPost, "/api/v1/chat", body{"message": "hello"})
	require.Equal(t, "no_worker", r.code(t, http.StatusServiceUnavailable))
	require.Less(t, time.Since(started), 6*time.Second, "promised to callers")

	// The stored fallbacks are those of the first start; another store, another route.
	fallback := s.api("MODEL_VERSION=custom", "TELLER_FALLBACKS=qlora", "TELLER_DATA_DIR="+t.TempDir())
	started = time.Now()
	c := fallback.ask(body{"message": "hello"})
	require.Equal(t, "qlora", c.ModelVersion)
	require.Equal(t, "custom", c.FallbackFrom)
	require.Less(t, time.Since(started), 6*time.Second)
}

func TestACallerWhoHangsUp(t *testing.T) {
	s := newStack(t)
	s.worker()
	api := s.api()
	for _, conversation := range []string{"", "c"} {
		t.Run("conversation "+conversation, func(t *testing.T) {
			b := body{"message": "never mind"}
			if conversation != "" {
				b["conversation_id"] = conversation
			}
			s.vllm.Script(fakeserver.Behaviour{Hang: true, Times: 1})
			ctx, hangUp := context.WithCancel(context.Background())
			lost := api.asking(ctx, b)
			<-s.vllm.Hanging()
			hangUp()
			require.Error(t, receive(t, "cancelled", lost).err)
			select {
			case <-s.vllm.Gone(): // the adapter closed its connection: the model call was cancelled
			case <-time.After(patience):
				require.Fail(t, "the model call goes on")
			}
		})
	}
	t.Run("with an Idempotency-Key the turn goes on", func(t *testing.T) {
		s.vllm.Script(fakeserver.Behaviour{Text: "kept", Latency: 700 * time.Millisecond})
		before := s.vllm.Calls()
		ctx, hangUp := context.WithCancel(context.Background())
		lost := api.asking(ctx, body{"message": "keep"}, "Idempotency-Key", "kept")
		s.eventually("the model is asked", func() bool { return s.vllm.Calls() > before })
		hangUp()
		require.Error(t, receive(t, "cancelled", lost).err)
		require.Equal(t, "kept", api.ask(body{"message": "keep"}, "Idempotency-Key", "kept").Response)
		require.Equal(t, before+1, s.vllm.Calls())
	})
}

func TestSwitchingTheModel(t *testing.T) {
	s := newStack(t)
	s.worker()
	s.gpuWorker("CUSTOM_MODEL_PATH=" + slowModel(t))
	one, two := s.api(), s.api()
	change := func(api *apiProc, path string) reply {
		return api.do(context.Background(), http.MethodPost, "/model/switch/"+path, nil)
	}
	model := func(api *apiProc) string { return api.ask(body{"message": "who", "max_tokens": 4}).ModelVersion }
	require.Equal(t, "qlora", model(one))

	require.Equal(t, "model_not_found", change(one, "gpt").code(t, http.StatusNotFound))
	require.Equal(t, "not_configured", change(one, "gemini").code(t, http.StatusConflict))
	s.eventually("custom is healthy", func() bool { return change(one, "custom").status == http.StatusOK })
	require.Equal(t, "custom", model(one), "at once in the process that was asked")
	s.eventually("in the other process too", func() bool { return model(two) == "custom" })

	require.Equal(t, http.StatusOK, change(one, "qlora?percent=50").status)
	s.eventually("the split reaches both processes", func() bool {
		drawn := map[string]bool{}
		for i := range 12 {
			drawn[two.ask(body{"message": "who", "max_tokens": 1, "conversation_id": fmt.Sprint("split", i)}).ModelVersion] = true
		}
		return len(drawn) == 2
	})
	require.Equal(t, http.StatusOK, change(two, "custom").status)

	one.terminate(t, os.Interrupt)
	require.Equal(t, "custom", model(s.api()), "kept over a restart")
	require.Equal(t, "gemini", activeModel(t, s.api("MODEL_VERSION=gemini")).Name, "a changed MODEL_VERSION wins")
}
