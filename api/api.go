// Package api is the HTTP surface: it decodes and validates, picks the route, hands the turn on, and
// writes what came back. It reaches models only through turns and never imports an adapter.
package api

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"teller/llm"
	"teller/prices"
	"teller/store"
	"teller/stream"
	"teller/telemetry"
	"teller/turns"
	"teller/workflows"
)

// Turns carries a turn to its answer.
type Turns interface {
	Ask(ctx context.Context, in workflows.TurnInput, durable bool) (workflows.Answer, error)
	Converse(ctx context.Context, conversationID string, in workflows.TurnInput, durable bool) (workflows.Answer, error)
	Transcript(ctx context.Context, tenant, conversationID string) (workflows.Transcript, error)
	Erase(ctx context.Context, tenant, conversationID string) error
	Find(ctx context.Context, tenant, turnID string) (turns.Found, error)
	Check(ctx context.Context, targets []workflows.Target) ([]workflows.Health, error)
	StartBenchmark(ctx context.Context, name string, in workflows.BenchmarkInput) (runID string, joined bool, err error)
	Ping(ctx context.Context) error
}

// Routes says which models answer, and changes it.
type Routes interface {
	Route() store.Route
	SwitchRoute(ctx context.Context, change store.Change) (store.Route, error)
}

// Store is the durable rows.
type Store interface {
	Keys
	Ping(ctx context.Context) error
	ClaimKey(ctx context.Context, tenant, key string, c store.Claim) (store.Claim, error)
	SumUsage(ctx context.Context, q store.UsageQuery) ([]store.UsageSum, error)
	Conversations(ctx context.Context, tenant, cursor string, limit int) (page []store.Conversation, next string, err error)
	ForgetConversation(ctx context.Context, tenant, id string) error
	KeepSuite(ctx context.Context, hash, name string, cases []json.RawMessage) error
	Suite(ctx context.Context, hash string) (name string, cases int, err error)
	SuiteCases(ctx context.Context, hash string, positions []int) ([]json.RawMessage, error)
	Run(ctx context.Context, id string) (store.BenchmarkRun, error)
	Runs(ctx context.Context, suiteHash string, endedOnly bool, limit int) ([]store.BenchmarkRun, error)
	Results(ctx context.Context, runID, model string) iter.Seq2[store.CaseRow, error]
	Recorded(ctx context.Context, runID string) (map[string]int, error)
}

// Model is a configured model as the API shows it.
type Model struct {
	Name   string
	Kind   string
	Queue  string // the task queue on which it is called
	Served string // the provider's model id; prices stand under it or the name
	// HistoryBytes bounds what is sent of a conversation's earlier turns; 0 where the model's window is not configured.
	HistoryBytes int
}

// Deps is what the API stands on. All fields are required.
type Deps struct {
	Turns   Turns
	Streams *stream.Hub
	Routes  Routes
	Store   Store
	Models  []Model
	Prices  *prices.Table
	Metrics *telemetry.Metrics
	Log     *slog.Logger

	Benchmark       workflows.BenchmarkInput // what POST /benchmark/run starts, where its caller says nothing else
	TurnTimeout     time.Duration            // of a turn whose caller names none
	MaxMessageBytes int                      // of a message, and of a context
}

//go:embed openapi.yaml
var openapi []byte

// Handler gives the whole surface.
func Handler(d Deps) http.Handler {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.HandleMethodNotAllowed = true
	// A redirect has no body in our shape, and few clients follow it with a POST.
	r.RedirectTrailingSlash = false
	// Forwarded-for headers are a caller's word until somebody configures a proxy.
	_ = r.SetTrustedProxies(nil) // nil cannot fail
	s := &server{Deps: d, health: newHealthCache(d.Turns), keyring: newKeyring(d.Store)}
	r.Use(s.observe, s.recover, sameOrigin)
	r.NoRoute(func(c *gin.Context) {
		writeError(c, notFound("there is no such route; GET /openapi.yaml describes all of them"))
	})
	r.NoMethod(func(c *gin.Context) {
		writeError(c, &problem{status: http.StatusMethodNotAllowed, kind: invalidRequestType, code: "method_not_allowed",
			message: "this route takes only " + c.Writer.Header().Get("Allow")})
	})

	known := r.Group("", s.authenticate)
	known.POST("/api/v1/chat", s.limit, s.chat)
	known.POST("/v1/chat/completions", s.limit, s.complete)
	known.GET("/v1/models", s.openAIModels)
	known.GET("/v1/models/:id", s.openAIModel)
	known.GET("/api/v1/turns/:id", s.readTurn)
	known.GET("/api/v1/conversations", s.conversations)
	known.GET("/api/v1/conversations/:id", s.transcript)
	known.DELETE("/api/v1/conversations/:id", s.erase)
	known.GET("/api/v1/usage", s.usage)
	known.GET("/models", s.models)
	known.POST("/model/switch/:model_version", s.admin, s.switchModel)
	known.GET("/benchmark/summary", s.benchmarkSummary)
	known.GET("/benchmark/runs", s.benchmarkRuns)
	known.GET("/benchmark/runs/:id", s.benchmarkRun)
	known.POST("/benchmark/run", s.admin, s.runBenchmark)
	r.GET("/livez", func(c *gin.Context) { c.JSON(http.StatusOK, gin.H{"status": "ok"}) })
	r.GET("/readyz", s.ready)
	r.GET("/metrics", gin.WrapH(d.Metrics.Handler()))
	r.GET("/openapi.yaml", func(c *gin.Context) { c.Data(http.StatusOK, "application/yaml", openapi) })
	return r
}

type server struct {
	Deps
	health  *healthCache
	keyring *keyring
}

// target gives a model's task queue; false for one that is not configured.
func (s *server) target(name string) (workflows.Target, bool) {
	for _, m := range s.Models {
		if m.Name == name {
			return workflows.Target{Model: m.Name, Queue: m.Queue, HistoryBytes: m.HistoryBytes}, true
		}
	}
	return workflows.Target{}, false
}

// observe gives each request an id of our own and counts it.
func (s *server) observe(c *gin.Context) {
	started := time.Now()
	c.Set(requestIDKey, uuid.NewString())
	c.Header("x-request-id", c.GetString(requestIDKey))
	c.Next()
	method, route := c.Request.Method, c.FullPath()
	if route == "" {
		// Any word can stand as a method: it must not make a metric of its own.
		method, route = "none", "none"
	}
	s.Metrics.Request(method, route, strconv.Itoa(c.Writer.Status()), time.Since(started))
	s.Log.Debug("request", "method", method, "route", route, "status", c.Writer.Status(),
		"ms", time.Since(started).Milliseconds(), "request_id", c.GetString(requestIDKey))
}

const requestIDKey = "request_id"

func (s *server) recover(c *gin.Context) {
	defer func() {
		if r := recover(); r != nil {
			if err, ok := r.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(r) // net/http cuts the connection
			}
			s.Log.Error("panic", "error", r, "request_id", c.GetString(requestIDKey), "stack", string(debug.Stack()))
			writeError(c, &llm.Error{Code: llm.Internal, Message: "an unexpected error; the log has it under this request id"})
		}
	}()
	c.Next()
}

// crossOrigin recognises what a browser sends for a page of another site.
var crossOrigin = http.NewCrossOriginProtection()

// sameOrigin refuses such requests on routes that change something: without keys, loopback is what
// protects the API, and any page that is open on the same machine reaches loopback.
func sameOrigin(c *gin.Context) {
	if crossOrigin.Check(c.Request) != nil {
		writeError(c, &problem{status: http.StatusForbidden, kind: invalidRequestType, code: "cross_origin",
			message: "pages of other sites may not call this route from a browser"})
	}
}

// ready answers 200 when a turn could be taken.
func (s *server) ready(c *gin.Context) {
	for _, part := range []struct {
		name string
		ping func(context.Context) error
	}{{"temporal", s.Turns.Ping}, {"store", s.Store.Ping}} {
		ctx, cancel := context.WithTimeout(c.Request.Context(), 2*time.Second)
		err := part.ping(ctx)
		cancel()
		if err != nil {
			s.Log.Warn("not ready", "part", part.name, "error", err)
			writeError(c, &llm.Error{Code: llm.Unavailable, Message: fmt.Sprintf("%s cannot be reached", part.name)})
			return
		}
	}
	c.JSON(http.StatusOK, gin.H{"status": "ready"})
}
