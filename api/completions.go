package api

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"teller/api/openai"
	"teller/llm"
	"teller/stream"
	"teller/turns"
	"teller/workflows"
)

// complete answers POST /v1/chat/completions. Its turns stand alone: the client keeps the dialogue.
func (s *server) complete(c *gin.Context) {
	req, p := s.completionRequest(c)
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
	q := question{digest: completionDigest(req), messages: req.Messages, options: req.Options}
	if req.Model != llm.Auto {
		q.model = &req.Model
	}
	in, p := s.turn(c, q, key, timeout)
	if p != nil {
		writeError(c, p)
		return
	}

	t := submission{in: in, durable: key != ""}
	if req.Stream {
		s.stream(c, t, &chunkEvents{
			events: events{c: c},
			turn:   in.ID,
			chunks: openai.Chunks{
				Head:     openai.Head{ID: openai.ID(in.ID), Created: time.Now().Unix(), Model: in.Route[0].Model},
				LogProbs: req.LogProbs, IncludeUsage: req.IncludeUsage,
			},
		})
		return
	}
	answer, err := s.submit(c, c.Request.Context(), t)
	if err != nil {
		writeError(c, err)
		return
	}
	// Turns from before the field was kept have no time.
	head := openai.Head{ID: openai.ID(answer.TurnID), Created: max(answer.StartedAt.Unix(), 0), Model: answer.Model}
	c.JSON(http.StatusOK, openai.NewCompletion(head, answer.Completion, req.LogProbs, tellerOf(answer)))
}

func (s *server) completionRequest(c *gin.Context) (openai.Request, *problem) {
	body, p := readJSON(c)
	if p != nil {
		return openai.Request{}, p
	}
	req, wrong := openai.Parse(body, s.MaxMessageBytes)
	if wrong != nil {
		return openai.Request{}, invalid(wrong.Param, wrong.Message)
	}
	return req, nil
}

// completionDigest is digest for this route: the same Idempotency-Key on the other one is another request.
func completionDigest(req openai.Request) string {
	req.Stream, req.IncludeUsage = false, false
	text, err := json.Marshal(req)
	if err != nil {
		panic(err) // strings and numbers that came from JSON
	}
	return turns.Hash("completion request", string(text))
}

func tellerOf(a workflows.Answer) openai.Teller {
	return openai.Teller{TurnID: a.TurnID, ModelVersion: a.Model, LatencyMs: a.LatencyMs, Confidence: a.Completion.Confidence,
		FallbackFrom: a.FallbackFrom, OmittedMessages: a.Completion.OmittedMessages}
}

// chunkEvents is a turn in OpenAI's chunks. It sends data lines and nothing else, no ids and no comments: clients exist that
// take the latter for the beginning of an error.
type chunkEvents struct {
	events
	turn   string
	chunks openai.Chunks
	said   bool // some of the text is out
}

func (e *chunkEvents) Delta(d llm.Delta, _ stream.Position) error {
	if err := e.begin(); err != nil {
		return err
	}
	e.said = true
	return e.data(e.chunks.Text(d))
}

// Reset says with its *problem that OpenAI's format cannot take a text back. While none is out, there is nothing to take back.
func (e *chunkEvents) Reset() error {
	if !e.said {
		return nil
	}
	return &problem{kind: serverErrorType, code: "stream_reset",
		message: "the reply began anew after some of it had been sent: what was sent counts for nothing; GET /api/v1/turns/" + e.turn + " gives the whole"}
}

// KeepAlive writes a chunk without text.
func (e *chunkEvents) KeepAlive() error {
	if !e.Begun() {
		return e.begin()
	}
	return e.data(e.chunks.Text(llm.Delta{}))
}

func (e *chunkEvents) Done(a workflows.Answer) error {
	extra := tellerOf(a)
	if err := e.begin(); err != nil {
		return err
	}
	if err := e.data(e.chunks.End(a.Completion, extra)); err != nil {
		return err
	}
	if usage, ok := e.chunks.LastUsage(a.Completion, extra); ok {
		if err := e.data(usage); err != nil {
			return err
		}
	}
	return e.write([]byte("data: [DONE]\n\n"))
}

// Fail writes the error in place of a chunk. What ends so has no [DONE].
func (e *chunkEvents) Fail(p *problem) error { return e.data(errorBodyOf(p)) }

// begin sends the chunk with the role, which comes before all others.
func (e *chunkEvents) begin() error {
	if e.Begun() {
		return nil
	}
	return e.data(e.chunks.Role())
}

// data writes a value as one event. The space behind the colon is not needed by the standard, but by some clients.
func (e *chunkEvents) data(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return e.write(append(append([]byte("data: "), text...), "\n\n"...))
}

// openAIModels answers GET /v1/models.
func (s *server) openAIModels(c *gin.Context) {
	c.JSON(http.StatusOK, openai.NewModelList(s.listed()))
}

// openAIModel answers GET /v1/models/{id}.
func (s *server) openAIModel(c *gin.Context) {
	for _, m := range s.listed() {
		if m.ID == c.Param("id") {
			c.JSON(http.StatusOK, m)
			return
		}
	}
	writeError(c, noModel("model"))
}

// listed are the route and the configured models.
func (s *server) listed() []openai.Model {
	all := []openai.Model{openai.NewModel(llm.Auto, "teller")}
	for _, m := range s.Models {
		all = append(all, openai.NewModel(m.Name, m.Kind))
	}
	return all
}
