package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teller/llm"
	"teller/store"
	"teller/workflows"
)

func TestModelsAreListed(t *testing.T) {
	f := start(t)
	f.routes.set(store.Route{Active: "qlora", Fallbacks: []string{"custom"}, Split: map[string]int{"qlora": 90, "gemini": 10}})
	f.turns.check = func(_ context.Context, targets []workflows.Target) ([]workflows.Health, error) {
		found := healthy(targets)
		found[2] = workflows.Health{Model: "gemini", Code: llm.NotConfigured, Reason: "GOOGLE_API_KEY is not set"}
		return found, nil
	}
	f.get(t, "/models").requireJSON(t, `{"active_model":"qlora","fallbacks":["custom"],"split":{"qlora":90,"gemini":10},"models":[
		{"name":"custom","kind":"transformer","queue":"teller-gpu","active":false,"health":"healthy","device":"cpu","version":"v-custom"},
		{"name":"qlora","kind":"vllm","queue":"teller","active":true,"health":"healthy","device":"cpu","version":"v-qlora",
			"price":{"usd_per_hour":1.2,"from":"2026-01-01"}},
		{"name":"gemini","kind":"gemini","queue":"teller","active":false,"health":"unavailable","code":"not_configured","reason":"GOOGLE_API_KEY is not set",
			"price":{"prompt_usd_per_million":0.3,"completion_usd_per_million":2.5,"from":"2025-06-17"}}]}`)
	require.Equal(t, [][]workflows.Target{{{Model: "custom", Queue: "teller-gpu"}, {Model: "qlora", Queue: "teller"}, {Model: "gemini", Queue: "teller"}}}, f.turns.checked())
}

func TestModelsShowTheirLastBenchmark(t *testing.T) {
	f := start(t)
	rows := f.keep(t)
	last := func() map[string]any {
		var listed struct {
			Models []struct {
				Name          string
				LastBenchmark any `json:"last_benchmark"`
			}
		}
		got := f.get(t, "/models")
		require.Equal(t, http.StatusOK, got.status, "%s", got.body)
		require.NoError(t, json.Unmarshal(got.body, &listed))
		out := map[string]any{}
		for _, m := range listed.Models {
			out[m.Name] = m.LastBenchmark
		}
		return out
	}
	require.Equal(t, map[string]any{"custom": nil, "qlora": nil, "gemini": nil}, last())

	at := time.Date(2026, 3, 1, 3, 0, 0, 0, time.UTC)
	endRun(t, rows, keepRun(t, rows, "r1", at, 4, 3))
	only := keepRun(t, rows, "r2", at.Add(time.Hour), 4, 4)
	delete(only.Models, "gemini")
	endRun(t, rows, only)
	keepRun(t, rows, "r3", at.Add(2*time.Hour), 4, 1) // goes on
	require.Equal(t, map[string]any{
		"custom": map[string]any{"run_id": "r2", "suite": "own", "ended_at": "2026-03-01T04:01:00Z", "cases": 4.0, "status": "ok", "accuracy": 1.0, "avg_latency_ms": 20.0},
		"qlora":  map[string]any{"run_id": "r2", "suite": "own", "ended_at": "2026-03-01T04:01:00Z", "cases": 0.0, "status": "unavailable", "accuracy": nil, "avg_latency_ms": nil},
		"gemini": map[string]any{"run_id": "r1", "suite": "own", "ended_at": "2026-03-01T03:01:00Z", "cases": 4.0, "status": "ok", "accuracy": 0.0, "avg_latency_ms": 20.0},
	}, last())

	f.store.Store = noKeys{}
	require.Equal(t, map[string]any{"custom": nil, "qlora": nil, "gemini": nil}, last(), "health is shown while the store is away")
}

// heldCheck is a check that stands until it is released, and then fails if its caller has gone.
func heldCheck() (check func(context.Context, []workflows.Target) ([]workflows.Health, error), release func()) {
	held := make(chan struct{})
	return func(ctx context.Context, targets []workflows.Target) ([]workflows.Health, error) {
		<-held
		if _, bounded := ctx.Deadline(); !bounded {
			return nil, errors.New("a check must have a bound")
		}
		return healthy(targets), ctx.Err()
	}, func() { close(held) }
}

func TestManyCallersShareOneCheck(t *testing.T) {
	const callers = 50
	f := start(t)
	var release func()
	f.turns.check, release = heldCheck()
	var all sync.WaitGroup
	statuses := make([]int, callers)
	for i := range callers {
		all.Go(func() { statuses[i] = f.get(t, "/models").status })
	}
	f.awaitBegun(t, callers)
	release()
	all.Wait()
	for _, status := range statuses {
		require.Equal(t, http.StatusOK, status)
	}
	require.Len(t, f.turns.checked(), 1)
	require.Equal(t, http.StatusOK, f.get(t, "/models").status)
	require.Len(t, f.turns.checked(), 1, "the check stands for a while")
}

func TestACheckOutlivesItsFirstCaller(t *testing.T) {
	f := start(t)
	var release func()
	f.turns.check, release = heldCheck()
	ctx, hangUp := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url+"/models", nil)
		if err == nil {
			var resp *http.Response
			if resp, err = f.client.Do(req); err == nil {
				resp.Body.Close()
			}
		}
		first <- err
	}()
	eventually(t, func() bool { return len(f.turns.checked()) == 1 })
	second := make(chan int, 1)
	go func() {
		defer close(second)
		second <- f.get(t, "/models").status
	}()
	served := f.awaitBegun(t, 2)

	hangUp()
	require.ErrorIs(t, <-first, context.Canceled)
	<-served.Done() // the server has seen it
	release()
	require.Equal(t, http.StatusOK, <-second)
	require.Len(t, f.turns.checked(), 1)
}

func TestAFailedCheckIsNotKept(t *testing.T) {
	f := start(t)
	f.turns.check = func(context.Context, []workflows.Target) ([]workflows.Health, error) {
		return nil, &llm.Error{Code: llm.Unavailable, Message: "the workflow service cannot be reached"}
	}
	f.get(t, "/models").requireError(t, http.StatusServiceUnavailable, "unavailable")
	f.turns.check = nil
	require.Equal(t, http.StatusOK, f.get(t, "/models").status)
}

func TestSwitch(t *testing.T) {
	before := store.Route{Active: "custom", Fallbacks: []string{"qlora", "custom"}, Split: map[string]int{"custom": 70, "gemini": 30}, Version: 4}
	unhealthy := func(_ context.Context, targets []workflows.Target) ([]workflows.Health, error) {
		return []workflows.Health{{Model: targets[0].Model, Code: llm.NoWorker, Reason: "no worker took the call in time"}}, nil
	}
	for _, c := range []struct {
		name, path string
		check      func(context.Context, []workflows.Target) ([]workflows.Health, error)
		want       string
		active     string
		split      map[string]int
		reason     string
		unchecked  bool
	}{
		{name: "to another model", path: "/model/switch/qlora", want: `{"status":"switched","active_model":"qlora"}`, active: "qlora"},
		{name: "to the active one ends the split", path: "/model/switch/custom", want: `{"status":"switched","active_model":"custom"}`, active: "custom"},
		{name: "all of the conversations", path: "/model/switch/qlora?percent=100", want: `{"status":"switched","active_model":"qlora"}`, active: "qlora"},
		{name: "a share of them", path: "/model/switch/qlora?percent=20", want: `{"status":"switched","active_model":"custom","split":{"qlora":20,"custom":80}}`,
			active: "custom", split: map[string]int{"qlora": 20, "custom": 80}},
		{name: "a share for the active one", path: "/model/switch/custom?percent=20", want: `{"status":"switched","active_model":"custom"}`, active: "custom"},
		{name: "with a reason", path: "/model/switch/qlora?reason=it+knows+loans%2C+%E2%9C%93", want: `{"status":"switched","active_model":"qlora"}`,
			active: "qlora", reason: "it knows loans, ✓"},
		{name: "by force", path: "/model/switch/gemini?force=true", check: unhealthy, want: `{"status":"switched","active_model":"gemini"}`, active: "gemini", unchecked: true},
		{name: "not by force", path: "/model/switch/gemini?force=false", want: `{"status":"switched","active_model":"gemini"}`, active: "gemini"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := start(t)
			f.turns.check = c.check
			f.routes.set(before)
			f.do(t, http.MethodPost, c.path, "").requireJSON(t, c.want)
			after := f.routes.Route()
			require.Equal(t, c.active, after.Active)
			require.Equal(t, c.split, after.Split)
			require.Equal(t, before.Fallbacks, after.Fallbacks)
			changes := f.routes.changed()
			require.Len(t, changes, 1)
			require.Equal(t, "api", changes[0].Actor)
			require.Equal(t, c.reason, changes[0].Reason)
			if c.unchecked {
				require.Empty(t, f.turns.checked())
			} else {
				require.Len(t, f.turns.checked(), 1)
			}
		})
	}
	t.Run("the next turn goes there", func(t *testing.T) {
		f := start(t)
		require.Equal(t, "custom", f.submit(t, `{"message":"hello"}`).in.Route[0].Model)
		f.do(t, http.MethodPost, "/model/switch/gemini", "")
		require.Equal(t, "gemini", f.submit(t, `{"message":"hello"}`).in.Route[0].Model)
	})
	t.Run("unknown", func(t *testing.T) {
		f := start(t)
		e := f.do(t, http.MethodPost, "/model/switch/gpt-5?force=true", "").requireError(t, http.StatusNotFound, "model_not_found")
		require.Equal(t, "model_version", e.Param)
		require.Contains(t, e.Message, "GET /models lists them")
		require.Empty(t, f.routes.changed())
	})
	t.Run("unhealthy", func(t *testing.T) {
		f := start(t)
		f.turns.check = unhealthy
		e := f.do(t, http.MethodPost, "/model/switch/custom", "").requireError(t, http.StatusConflict, "no_worker")
		require.Equal(t, "invalid_request_error", e.Type)
		require.Equal(t, "model_version", e.Param)
		require.Equal(t, "custom does not answer now: no worker took the call in time (?force=true switches all the same)", e.Message)
		require.Empty(t, f.routes.changed())
	})
	t.Run("the store is down", func(t *testing.T) {
		f := start(t)
		f.routes.failure = errors.New(canary)
		got := f.do(t, http.MethodPost, "/model/switch/qlora", "")
		e := got.requireError(t, http.StatusServiceUnavailable, "unavailable")
		require.Equal(t, "the store cannot be reached: nothing was switched", e.Message)
		require.Equal(t, "2", got.header.Get("Retry-After"))
		got.requireNoCanary(t)
		require.Contains(t, f.log.String(), canary)
	})
}
