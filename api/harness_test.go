package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"teller/api"
	"teller/internal/lockedbuffer"
	"teller/llm"
	"teller/prices"
	"teller/store"
	"teller/stream"
	"teller/telemetry"
	"teller/turns"
	"teller/workflows"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	turnTimeout     = 42 * time.Second
	maxMessageBytes = 32768
)

// fixture is the whole API on a real socket, over fakes of what stands behind it.
type fixture struct {
	url    string
	client *http.Client
	turns  *fakeTurns
	routes *fakeRoutes
	store  *fakeStore
	hub    *stream.Hub
	log    *lockedbuffer.Buffer

	mu    sync.Mutex
	begun []context.Context // of the requests that the server has begun to answer
}

// start serves custom (active, transformer), qlora and gemini, with qlora and custom as fallbacks.
func start(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{
		turns:  &fakeTurns{},
		routes: &fakeRoutes{route: store.Route{Active: "custom", Fallbacks: []string{"qlora", "custom"}, Version: 1}},
		store:  &fakeStore{},
		hub:    stream.NewHub("127.0.0.1:1"),
		log:    &lockedbuffer.Buffer{},
	}
	priced, err := prices.Parse([]byte("[{model: qlora, from: 2026-01-01, per_hour: 1.2}, {model: gemini-2.5-flash, from: 2025-06-17, prompt: 0.3, completion: 2.5}]"))
	require.NoError(t, err)
	handler := api.Handler(api.Deps{
		Turns:   f.turns,
		Streams: f.hub,
		Routes:  f.routes,
		Store:   f.store,
		Models: []api.Model{
			{Name: "custom", Kind: "transformer", Queue: workflows.QueueGPU},
			{Name: "qlora", Kind: "vllm", Queue: workflows.QueueMain},
			{Name: "gemini", Kind: "gemini", Queue: workflows.QueueMain, Served: "gemini-2.5-flash"},
		},
		Prices: priced,
		Benchmark: workflows.BenchmarkInput{Suite: "smoke", Seed: 1, Concurrency: 4, Promote: true,
			Models: []workflows.Target{{Model: "custom", Queue: workflows.QueueGPU}, {Model: "qlora", Queue: workflows.QueueMain}}},
		Metrics:         telemetry.NewMetrics(),
		Log:             slog.New(slog.NewTextHandler(f.log, nil)),
		TurnTimeout:     turnTimeout,
		MaxMessageBytes: maxMessageBytes,
	})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.begun = append(f.begun, r.Context())
		f.mu.Unlock()
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	f.url, f.client = server.URL, server.Client()
	return f
}

// awaitBegun waits until the server has begun n requests in all, and gives the context of the first.
func (f *fixture) awaitBegun(t *testing.T, n int) context.Context {
	t.Helper()
	var first context.Context
	eventually(t, func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.begun) < n {
			return false
		}
		first = f.begun[0]
		return true
	})
	return first
}

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, 30*time.Second, time.Millisecond)
}

// reply is what a caller got.
type reply struct {
	status int
	header http.Header
	body   []byte
}

// do sends a request, and holds the reply against the OpenAPI description. headers are names and values
// in turn.
func (f *fixture) do(t testing.TB, method, path, body string, headers ...string) reply {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, f.url+path, strings.NewReader(body))
	require.NoError(t, err)
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := f.client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	got := reply{status: resp.StatusCode, header: resp.Header}
	got.body, err = io.ReadAll(resp.Body)
	require.NoError(t, err)
	requireDescribed(t, req, body, got)
	return got
}

func (f *fixture) get(t testing.TB, path string) reply {
	t.Helper()
	return f.do(t, http.MethodGet, path, "")
}

// chat posts a body to the chat route as JSON.
func (f *fixture) chat(t testing.TB, body string, headers ...string) reply {
	t.Helper()
	return f.do(t, http.MethodPost, "/api/v1/chat", body, append([]string{"Content-Type", "application/json"}, headers...)...)
}

// submit sends a chat that must be answered, and gives what arrived at the turns.
func (f *fixture) submit(t testing.TB, body string, headers ...string) submission {
	t.Helper()
	got := f.chat(t, body, headers...)
	require.Equal(t, http.StatusOK, got.status, "%s", got.body)
	all := f.turns.submitted()
	return all[len(all)-1]
}

// apiError is the one shape of every error.
type apiError struct {
	Message string
	Type    string
	Param   any // a string, or nil for null
	Code    string
}

// requireError holds the reply against the exact shape, and gives the error.
func (r reply) requireError(t testing.TB, status int, code string) apiError {
	t.Helper()
	require.Equal(t, status, r.status, "%s", r.body)
	require.Equal(t, "application/json; charset=utf-8", r.header.Get("Content-Type"))
	var all map[string]map[string]any
	require.NoError(t, json.Unmarshal(r.body, &all), "%s", r.body)
	require.Len(t, all, 1, "%s", r.body)
	detail := all["error"]
	require.Len(t, detail, 4, "%s", r.body)
	require.Contains(t, detail, "param")
	e := apiError{Param: detail["param"]}
	e.Message, _ = detail["message"].(string)
	e.Type, _ = detail["type"].(string)
	e.Code, _ = detail["code"].(string)
	require.NotEmpty(t, e.Message, "%s", r.body)
	require.Less(t, len(e.Message), 500, "%s", r.body)
	require.Equal(t, code, e.Code, "%s", r.body)
	return e
}

// requireJSON holds the reply against a JSON text, member by member.
func (r reply) requireJSON(t testing.TB, want string) {
	t.Helper()
	require.Equal(t, http.StatusOK, r.status, "%s", r.body)
	require.JSONEq(t, want, string(r.body))
}

// submission is a turn as it arrived.
type submission struct {
	conversation string // "" for a turn that stands alone
	in           workflows.TurnInput
	durable      bool
}

// fakeTurns answers each turn with its route's first model, unless a test says otherwise.
type fakeTurns struct {
	answer     func(workflows.TurnInput) (workflows.Answer, error)
	transcript func(id string) (workflows.Transcript, error)
	erase      func(id string) error
	find       func(tenant, id string) (turns.Found, error)
	live       func(context.Context, submission) (workflows.Answer, error) // answers with the caller's context
	check      func(context.Context, []workflows.Target) ([]workflows.Health, error)
	ping       func() error

	mu     sync.Mutex
	turns  []submission
	checks [][]workflows.Target

	benchmarks []workflows.BenchmarkInput
}

func (f *fakeTurns) submitted() []submission {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]submission(nil), f.turns...)
}

// drain gives what was submitted since it was last called.
func (f *fakeTurns) drain() []submission {
	f.mu.Lock()
	defer f.mu.Unlock()
	turns := f.turns
	f.turns = nil
	return turns
}

func (f *fakeTurns) checked() [][]workflows.Target {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([][]workflows.Target(nil), f.checks...)
}

func (f *fakeTurns) Ask(ctx context.Context, in workflows.TurnInput, durable bool) (workflows.Answer, error) {
	return f.take(ctx, submission{in: in, durable: durable})
}

func (f *fakeTurns) Converse(ctx context.Context, conversation string, in workflows.TurnInput, durable bool) (workflows.Answer, error) {
	return f.take(ctx, submission{conversation, in, durable})
}

func (f *fakeTurns) take(ctx context.Context, s submission) (workflows.Answer, error) {
	f.mu.Lock()
	f.turns = append(f.turns, s)
	f.mu.Unlock()
	if f.live != nil {
		return f.live(ctx, s)
	}
	if f.answer != nil {
		return f.answer(s.in)
	}
	return answered(s.in), nil
}

// answered is an ordinary answer by the first model of the route.
func answered(in workflows.TurnInput) workflows.Answer {
	confidence := 0.5
	return workflows.Answer{TurnID: in.ID, Digest: in.Digest, Model: in.Route[0].Model, StartedAt: time.Unix(1772442847, 0), LatencyMs: 412, Completion: llm.Completion{
		Text: "A bank keeps deposits safe.", FinishReason: llm.FinishStop, Served: "custom-5d41402a", Confidence: &confidence,
		Usage: llm.Usage{PromptTokens: 11, CompletionTokens: 24},
	}}
}

func (f *fakeTurns) Transcript(_ context.Context, _, id string) (workflows.Transcript, error) {
	return f.transcript(id)
}

func (f *fakeTurns) Erase(_ context.Context, _, id string) error { return f.erase(id) }

func (f *fakeTurns) Find(_ context.Context, tenant, id string) (turns.Found, error) {
	return f.find(tenant, id)
}

func (f *fakeTurns) Check(ctx context.Context, targets []workflows.Target) ([]workflows.Health, error) {
	f.mu.Lock()
	f.checks = append(f.checks, targets)
	f.mu.Unlock()
	if f.check != nil {
		return f.check(ctx, targets)
	}
	return healthy(targets), nil
}

func healthy(targets []workflows.Target) []workflows.Health {
	found := make([]workflows.Health, len(targets))
	for i, target := range targets {
		found[i] = workflows.Health{Model: target.Model, Healthy: true, Status: llm.Status{Device: "cpu", Version: "v-" + target.Model}}
	}
	return found
}

// StartBenchmark remembers what was started.
func (f *fakeTurns) StartBenchmark(_ context.Context, name string, in workflows.BenchmarkInput) (string, bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.benchmarks = append(f.benchmarks, in)
	return "run-" + name, len(f.benchmarks) > 1, nil
}

func (f *fakeTurns) Ping(context.Context) error {
	if f.ping != nil {
		return f.ping()
	}
	return nil
}

// fakeRoutes keeps the route in memory.
type fakeRoutes struct {
	failure error

	mu      sync.Mutex
	route   store.Route
	changes []store.Change
}

func (f *fakeRoutes) Route() store.Route {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.route
}

func (f *fakeRoutes) set(r store.Route) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.route = r
}

func (f *fakeRoutes) changed() []store.Change {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([]store.Change(nil), f.changes...)
}

func (f *fakeRoutes) SwitchRoute(_ context.Context, change store.Change) (store.Route, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.failure != nil {
		return store.Route{}, f.failure
	}
	if err := change.Edit(&f.route); err != nil {
		return store.Route{}, err
	}
	f.changes = append(f.changes, change)
	f.route.Version++
	return f.route, nil
}

// fakeStore has no keys and no rows, unless a test puts a real store in its place.
type fakeStore struct {
	api.Store
	failure error
}

func (f *fakeStore) Ping(context.Context) error { return f.failure }

func (f *fakeStore) HasKeys(ctx context.Context) (bool, error) {
	if f.Store == nil {
		return false, f.failure
	}
	return f.Store.HasKeys(ctx)
}

func (f *fakeStore) ClaimKey(ctx context.Context, tenant, key string, c store.Claim) (store.Claim, error) {
	if f.Store == nil {
		return c, f.failure
	}
	return f.Store.ClaimKey(ctx, tenant, key, c)
}

func (f *fakeStore) ForgetConversation(ctx context.Context, tenant, id string) error {
	if f.Store == nil {
		return f.failure
	}
	return f.Store.ForgetConversation(ctx, tenant, id)
}

func (f *fakeStore) Runs(ctx context.Context, suiteHash string, endedOnly bool, limit int) ([]store.BenchmarkRun, error) {
	if f.Store == nil {
		return nil, f.failure
	}
	return f.Store.Runs(ctx, suiteHash, endedOnly, limit)
}

// keep puts a real store of the test's own behind the API.
func (f *fixture) keep(t testing.TB) *store.Store {
	t.Helper()
	rows, err := store.Open(t.Context(), store.Config{DataDir: t.TempDir()})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, rows.Close()) })
	f.store.Store = rows
	return rows
}

// downStore is a store that nobody reaches.
type downStore struct{ api.Store }

var errDown = errors.New("connection refused")

func (downStore) HasKeys(context.Context) (bool, error) { return false, errDown }
func (downStore) Authenticate(context.Context, string) (store.Key, error) {
	return store.Key{}, errDown
}
func (downStore) Spend(context.Context, string, int, int, time.Time) (store.Spent, error) {
	return store.Spent{}, errDown
}
func (downStore) ClaimKey(context.Context, string, string, store.Claim) (store.Claim, error) {
	return store.Claim{}, errDown
}
func (downStore) SumUsage(context.Context, store.UsageQuery) ([]store.UsageSum, error) {
	return nil, errDown
}
func (downStore) Conversations(context.Context, string, string, int) ([]store.Conversation, string, error) {
	return nil, "", errDown
}
func (downStore) ForgetConversation(context.Context, string, string) error { return errDown }
