package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"teller/llm"
	"teller/turns"
	"teller/workflows"
)

// chatRequest is the body of POST /api/v1/chat.
type chatRequest struct {
	Message        string   `json:"message"`
	ConversationID *string  `json:"conversation_id"`
	Context        string   `json:"context"`
	Model          *string  `json:"model"`
	MaxTokens      *int     `json:"max_tokens"`
	Temperature    *float64 `json:"temperature"`
}

// chatResponse is its answer.
type chatResponse struct {
	Response         string    `json:"response"`
	LatencyMs        int64     `json:"latency_ms"`
	ModelVersion     string    `json:"model_version"` // the configured model that answered
	Served           string    `json:"served,omitempty"`
	Confidence       *float64  `json:"confidence"`
	ConfidenceReason string    `json:"confidence_reason,omitempty"` // why confidence is null
	ConversationID   *string   `json:"conversation_id"`
	TurnID           string    `json:"turn_id"`
	Usage            chatUsage `json:"usage"`
	FinishReason     string    `json:"finish_reason"`
	FallbackFrom     string    `json:"fallback_from,omitempty"`
}

type chatUsage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

// tenant is whose turns all are until callers have keys.
const tenant = "default"

const maxCompletionTokens = 32768

// check refuses what no model should be asked.
func (r *chatRequest) check(maxMessageBytes int) *problem {
	if strings.TrimSpace(r.Message) == "" {
		return invalid("message", "message is required and must hold more than white space")
	}
	if p := checkText("message", r.Message, maxMessageBytes); p != nil {
		return p
	}
	if p := checkText("context", r.Context, maxMessageBytes); p != nil {
		return p
	}
	if r.ConversationID != nil {
		if p := checkConversationID(*r.ConversationID); p != nil {
			return p
		}
	}
	if r.MaxTokens != nil && (*r.MaxTokens < 1 || *r.MaxTokens > maxCompletionTokens) {
		return invalid("max_tokens", fmt.Sprintf("max_tokens must be from 1 to %d", maxCompletionTokens))
	}
	if r.Temperature != nil && (*r.Temperature < 0 || *r.Temperature > 2) {
		return invalid("temperature", "temperature must be from 0 to 2")
	}
	return nil
}

// chat answers POST /api/v1/chat.
func (s *server) chat(c *gin.Context) {
	var req chatRequest
	p := decode(c, &req)
	if p == nil {
		p = req.check(s.MaxMessageBytes)
	}
	key := ""
	if p == nil {
		key, p = idempotencyKey(c)
	}
	timeout := s.TurnTimeout
	if p == nil {
		timeout, p = turnTimeout(c, s.TurnTimeout)
	}
	if p != nil {
		writeError(c, p)
		return
	}
	in, p := s.turn(req, key, timeout)
	if p != nil {
		writeError(c, p)
		return
	}

	started := time.Now()
	var answer workflows.Answer
	var err error
	durable := key != ""
	if req.ConversationID != nil {
		answer, err = s.Turns.Converse(c.Request.Context(), *req.ConversationID, in, durable)
	} else {
		answer, err = s.Turns.Ask(c.Request.Context(), in, durable)
	}
	if err != nil {
		p := problemOf(err)
		s.Metrics.Turn(in.Route[0].Model, p.code, false, time.Since(started))
		s.Log.Warn("turn failed", "turn", in.ID, "model", in.Route[0].Model, "error", err, "request_id", c.GetString(requestIDKey))
		writeError(c, p)
		return
	}
	usage := answer.Completion.Usage
	s.Metrics.Turn(answer.Model, "ok", answer.FallbackFrom != "", time.Since(started))
	s.Metrics.Tokens(answer.Model, usage.PromptTokens, usage.CompletionTokens)
	c.JSON(http.StatusOK, chatResponse{
		Response:         answer.Completion.Text,
		LatencyMs:        answer.LatencyMs,
		ModelVersion:     answer.Model,
		Served:           answer.Completion.Served,
		Confidence:       answer.Completion.Confidence,
		ConfidenceReason: answer.Completion.NoConfidence,
		ConversationID:   req.ConversationID,
		TurnID:           answer.TurnID,
		Usage:            chatUsage{usage.PromptTokens, usage.CompletionTokens, usage.PromptTokens + usage.CompletionTokens},
		FinishReason:     string(answer.Completion.FinishReason),
		FallbackFrom:     answer.FallbackFrom,
	})
}

// turn makes the workflow's input of a valid request.
func (s *server) turn(req chatRequest, key string, timeout time.Duration) (workflows.TurnInput, *problem) {
	in := workflows.TurnInput{
		ID:      uuid.NewString(),
		Nonce:   uuid.NewString(),
		Digest:  digest(req),
		Tenant:  tenant,
		Timeout: timeout,
		Options: llm.Options{Temperature: req.Temperature},
	}
	if req.Context != "" {
		in.Messages = append(in.Messages, llm.Message{Role: llm.System, Text: req.Context})
	}
	in.Messages = append(in.Messages, llm.Message{Role: llm.User, Text: req.Message})
	if req.MaxTokens != nil {
		in.MaxTokens = *req.MaxTokens
	}
	spreadBy := in.ID
	if key != "" {
		in.ID = turns.Hash("turn", tenant, key)
	}
	if req.ConversationID != nil {
		spreadBy = *req.ConversationID
	}
	names := plan(s.Routes.Route(), spreadBy)
	if req.Model != nil {
		names = []string{*req.Model}
	}
	for i, name := range names {
		target, ok := s.target(name)
		switch {
		case ok:
			in.Route = append(in.Route, target)
		case req.Model != nil:
			return in, &problem{status: http.StatusNotFound, kind: invalidRequestType, code: "model_not_found", param: "model",
				message: "there is no such model; GET /models lists them"}
		default:
			// The route of a store that other processes share may name a model that this one lacks.
			s.Log.Error("the route names a model that is not configured here", "model", name, "place", i)
		}
	}
	if len(in.Route) == 0 {
		return in, &problem{status: http.StatusServiceUnavailable, kind: serverErrorType, code: "not_configured",
			message: "no model of the route is configured here; POST /model/switch/{model_version} changes the route, GET /models lists the models"}
	}
	return in, nil
}

// digest tells two requests apart that come with the same Idempotency-Key.
func digest(req chatRequest) string {
	text, err := json.Marshal(req)
	if err != nil {
		panic(err) // a struct of strings and numbers that came from JSON
	}
	return turns.Hash("request", string(text))
}
