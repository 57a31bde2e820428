package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/gin-gonic/gin"

	"teller/benchmark"
	"teller/prices"
	"teller/store"
	"teller/workflows"
)

// modelsResponse is the body of GET /models.
type modelsResponse struct {
	Active    string         `json:"active_model"`
	Fallbacks []string       `json:"fallbacks"`
	Split     map[string]int `json:"split,omitempty"` // percent of conversations
	Models    []modelStatus  `json:"models"`
}

type modelStatus struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	Queue   string `json:"queue"`
	Active  bool   `json:"active"`
	Health  string `json:"health"` // "healthy" or "unavailable"
	Code    string `json:"code,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Device  string `json:"device,omitempty"`
	Version string `json:"version,omitempty"`
	// Price holds today; nil where the table of prices does not know the model.
	Price *modelPrice `json:"price,omitempty"`
	// LastBenchmark is the latest run that has ended and had the model in it; nil before the first.
	LastBenchmark *lastBenchmark `json:"last_benchmark,omitempty"`
}

// modelPrice is in US dollars: by tokens, or by the hour of the hardware that serves the model.
type modelPrice struct {
	PromptPerMillion     *float64 `json:"prompt_usd_per_million,omitempty"`
	CompletionPerMillion *float64 `json:"completion_usd_per_million,omitempty"`
	PerHour              *float64 `json:"usd_per_hour,omitempty"`
	From                 string   `json:"from"` // the day from which it holds, in UTC
}

func priceOf(p prices.Price) *modelPrice {
	out := &modelPrice{From: p.From.Format(time.DateOnly)}
	if p.PerHour > 0 {
		out.PerHour = &p.PerHour
	} else {
		out.PromptPerMillion, out.CompletionPerMillion = &p.Prompt, &p.Completion
	}
	return out
}

// lastBenchmark is a model's part of a run in a few figures.
type lastBenchmark struct {
	RunID   string    `json:"run_id"`
	Suite   string    `json:"suite"`
	EndedAt time.Time `json:"ended_at"`
	Cases   int       `json:"cases"`
	trendFigure
}

// lastBenchmarks finds the latest run of each model among the latest of all. A model's health is shown without them, too.
func (s *server) lastBenchmarks(c *gin.Context) map[string]*lastBenchmark {
	rows, err := s.Store.Runs(c.Request.Context(), "", true, trendRuns)
	if err != nil {
		s.Log.Warn("models are listed without their benchmarks", "error", err, "request_id", c.GetString(requestIDKey))
		return nil
	}
	slices.SortStableFunc(rows, func(a, b store.BenchmarkRun) int { return b.EndedAt.Compare(a.EndedAt) })
	found := map[string]*lastBenchmark{}
	for _, row := range rows {
		if len(found) == len(s.Models) {
			break
		}
		var run benchmark.Run
		if json.Unmarshal(row.Summary, &run) != nil {
			continue // a newer program's
		}
		for name, m := range run.Models {
			if _, ok := s.target(name); ok && found[name] == nil {
				found[name] = &lastBenchmark{row.ID, row.Suite, row.EndedAt, m.Cases, trendFigure{m.Status, m.Accuracy.Value, m.AverageLatencyMS}}
			}
		}
	}
	return found
}

func (s *server) models(c *gin.Context) {
	targets := make([]workflows.Target, len(s.Models))
	for i, m := range s.Models {
		targets[i] = workflows.Target{Model: m.Name, Queue: m.Queue}
	}
	found, err := s.health.check(c.Request.Context(), targets)
	if err != nil {
		writeError(c, err)
		return
	}
	route, measured := s.Routes.Route(), s.lastBenchmarks(c)
	out := modelsResponse{Active: route.Active, Fallbacks: route.Fallbacks, Split: route.Split, Models: make([]modelStatus, 0, len(s.Models))}
	for i, m := range s.Models {
		status := modelStatus{Name: m.Name, Kind: m.Kind, Queue: m.Queue, Active: m.Name == route.Active, Health: "unavailable",
			Code: string(found[i].Code), Reason: found[i].Reason, Device: found[i].Status.Device, Version: found[i].Status.Version}
		if found[i].Healthy {
			status.Health = "healthy"
		}
		if price, ok := s.Prices.Find(m.Name, m.Served, time.Now()); ok {
			status.Price = priceOf(price)
		}
		status.LastBenchmark = measured[m.Name]
		out.Models = append(out.Models, status)
	}
	c.JSON(http.StatusOK, out)
}

// switchModel answers POST /model/switch/:model_version. With ?percent=N it sends that share of the
// conversations to the model and leaves the rest with the active one; without, the model becomes
// active and a split ends. ?force=true switches to a model that does not answer now.
func (s *server) switchModel(c *gin.Context) {
	name := c.Param("model_version")
	target, ok := s.target(name)
	if !ok {
		writeError(c, noModel("model_version"))
		return
	}
	percent, p := percentQuery(c)
	force, err := strconv.ParseBool(c.DefaultQuery("force", "false"))
	if err != nil && p == nil {
		p = invalid("force", "force must be true or false")
	}
	reason := c.Query("reason")
	if p == nil {
		p = checkReason(reason)
	}
	if p != nil {
		writeError(c, p)
		return
	}
	if !force {
		found, err := s.Turns.Check(c.Request.Context(), []workflows.Target{target})
		if err != nil {
			writeError(c, err)
			return
		}
		if !found[0].Healthy {
			writeError(c, &problem{status: http.StatusConflict, kind: invalidRequestType, code: string(found[0].Code), param: "model_version",
				message: fmt.Sprintf("%s does not answer now: %s (?force=true switches all the same)", name, found[0].Reason)})
			return
		}
	}
	route, err := s.Routes.SwitchRoute(c.Request.Context(), store.Change{
		Actor: actor(c), Reason: reason, Edit: func(r *store.Route) error { shift(r, name, percent); return nil }})
	if err != nil {
		s.Log.Error("route not switched", "model", name, "error", err)
		writeError(c, &problem{status: http.StatusServiceUnavailable, kind: serverErrorType, code: "unavailable", message: "the store cannot be reached: nothing was switched"})
		return
	}
	s.Log.Info("route switched", "active", route.Active, "split", route.Split, "version", route.Version)
	body := gin.H{"status": "switched", "active_model": route.Active}
	if len(route.Split) > 0 {
		body["split"] = route.Split
	}
	c.JSON(http.StatusOK, body)
}

// shift sends percent of the conversations to the model: all of them makes it active.
func shift(r *store.Route, name string, percent int) {
	if percent == 100 || name == r.Active {
		r.Active, r.Split = name, nil
		return
	}
	r.Split = map[string]int{name: percent, r.Active: 100 - percent}
}

const maxReasonBytes = 1000

// checkReason refuses what a database cannot keep.
func checkReason(reason string) *problem {
	if !utf8.ValidString(reason) {
		return invalid("reason", "reason must be valid UTF-8")
	}
	return checkText("reason", reason, maxReasonBytes)
}

func percentQuery(c *gin.Context) (int, *problem) {
	text, given := c.GetQuery("percent")
	if !given {
		return 100, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > 100 {
		return 0, invalid("percent", "percent must be a whole number from 1 to 100")
	}
	return n, nil
}
