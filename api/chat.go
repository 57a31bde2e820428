package api

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"

	"teller/llm"
	"teller/store"
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
	Choices        []string `json:"choices"`
	Stream         bool     `json:"stream"`
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
	OmittedTurns     int       `json:"omitted_turns,omitempty"` // the conversation's oldest, which the model was not told
	Choice           string    `json:"choice,omitempty"`        // the response again, of a request with choices
	// ChoiceProbabilities are those of the request's choices, in their order.
	ChoiceProbabilities []float64 `json:"choice_probabilities,omitempty"`
}

type chatUsage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

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
	if p := checkChoices(r.Choices); p != nil {
		return p
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
	in, p := s.turn(c, req.question(), key, timeout)
	if p != nil {
		writeError(c, p)
		return
	}

	t := submission{in: in, conversation: req.ConversationID, durable: key != ""}
	if req.Stream {
		s.stream(c, t, &turnEvents{events: events{c: c}, turn: in.ID, conversation: req.ConversationID})
		return
	}
	answer, err := s.submit(c, c.Request.Context(), t)
	if err != nil {
		writeError(c, err)
		return
	}
	c.JSON(http.StatusOK, chatResponseOf(answer, req.ConversationID))
}

// chatResponseOf is the body that tells of an answer. conversation is what the caller of this request calls it; nil when
// the request does not say.
func chatResponseOf(answer workflows.Answer, conversation *string) chatResponse {
	usage := answer.Completion.Usage
	if conversation == nil && answer.Conversation != "" {
		conversation = &answer.Conversation
	}
	body := chatResponse{
		Response:         answer.Completion.Text,
		LatencyMs:        answer.LatencyMs,
		ModelVersion:     answer.Model,
		Served:           answer.Completion.Served,
		Confidence:       answer.Completion.Confidence,
		ConfidenceReason: answer.Completion.NoConfidence,
		ConversationID:   conversation,
		TurnID:           answer.TurnID,
		Usage:            chatUsage{usage.PromptTokens, usage.CompletionTokens, usage.PromptTokens + usage.CompletionTokens},
		FinishReason:     string(answer.Completion.FinishReason),
		FallbackFrom:     answer.FallbackFrom,
		OmittedTurns:     answer.Completion.OmittedMessages / 2, // a turn is a question and its reply

		ChoiceProbabilities: answer.Completion.ChoiceProbabilities,
	}
	if answer.Completion.Chosen {
		body.Choice = answer.Completion.Text
	}
	return body
}

// question is a valid request of either route.
type question struct {
	digest       string  // tells it from another one with the same Idempotency-Key
	conversation string  // "" for a turn that stands alone
	model        *string // the one to ask; nil for the route
	messages     []llm.Message
	options      llm.Options
}

func (r *chatRequest) question() question {
	q := question{digest: digest(*r), model: r.Model, options: llm.Options{Temperature: r.Temperature, Choices: r.Choices}}
	if r.ConversationID != nil {
		q.conversation = *r.ConversationID
	}
	if r.MaxTokens != nil {
		q.options.MaxTokens = *r.MaxTokens
	}
	if r.Context != "" {
		q.messages = append(q.messages, llm.Message{Role: llm.System, Text: r.Context})
	}
	q.messages = append(q.messages, llm.Message{Role: llm.User, Text: r.Message})
	return q
}

// turn makes the workflow's input of a question.
func (s *server) turn(c *gin.Context, q question, key string, timeout time.Duration) (workflows.TurnInput, *problem) {
	in := workflows.TurnInput{
		ID:           turns.NewID(tenant(c), q.conversation, key),
		Nonce:        uuid.NewString(),
		Digest:       q.digest,
		Tenant:       tenant(c),
		Timeout:      timeout,
		Conversation: q.conversation,
		Messages:     q.messages,
		Options:      q.options,
	}
	if p := s.claim(c, key, in); p != nil {
		return in, p
	}
	names := plan(s.Routes.Route(), cmp.Or(q.conversation, in.ID))
	if q.model != nil {
		names = []string{*q.model}
	}
	for i, name := range names {
		target, ok := s.target(name)
		switch {
		case ok:
			in.Route = append(in.Route, target)
		case q.model != nil:
			return in, noModel("model")
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

// claim ties an Idempotency-Key to its turn, whatever conversation, route or process it comes through: the same key with
// another request is a mistake of the caller's. While the store cannot be reached, the turn's id still holds within its
// conversation.
func (s *server) claim(c *gin.Context, key string, in workflows.TurnInput) *problem {
	if key == "" {
		return nil
	}
	first, err := s.Store.ClaimKey(c.Request.Context(), in.Tenant, key, store.Claim{TurnID: in.ID, Digest: in.Digest})
	if err != nil {
		s.Log.Error("an idempotency key was not claimed", "error", err, "request_id", c.GetString(requestIDKey))
		return nil
	}
	if first.Digest != in.Digest {
		return problemOf(turns.ErrOtherRequest)
	}
	return nil
}

// digest tells two requests apart that come with the same Idempotency-Key. How the reply is to come is no part of
// what was asked.
func digest(req chatRequest) string {
	req.Stream = false
	text, err := json.Marshal(req)
	if err != nil {
		panic(err) // a struct of strings and numbers that came from JSON
	}
	return turns.Hash("request", string(text))
}
