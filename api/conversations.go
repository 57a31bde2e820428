package api

import (
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

// transcriptResponse is the body of GET /api/v1/conversations/:id.
type transcriptResponse struct {
	ConversationID string           `json:"conversation_id"`
	Turns          []transcriptTurn `json:"turns"`
	DroppedTurns   int              `json:"dropped_turns"` // the oldest, no longer kept
}

type transcriptTurn struct {
	TurnID       string    `json:"turn_id"`
	At           time.Time `json:"at"`
	Message      string    `json:"message"`
	Response     string    `json:"response"`
	ModelVersion string    `json:"model_version"`
	Confidence   *float64  `json:"confidence"`
	FinishReason string    `json:"finish_reason"`
	FallbackFrom string    `json:"fallback_from,omitempty"`
}

func (s *server) transcript(c *gin.Context) {
	id := c.Param("id")
	if p := checkConversationID(id); p != nil {
		writeError(c, p)
		return
	}
	t, err := s.Turns.Transcript(c.Request.Context(), tenant, id)
	if err != nil {
		writeError(c, err)
		return
	}
	out := transcriptResponse{ConversationID: id, Turns: make([]transcriptTurn, len(t.Turns)), DroppedTurns: t.Dropped}
	for i, turn := range t.Turns {
		out.Turns[i] = transcriptTurn{
			TurnID:       turn.Answer.TurnID,
			At:           turn.At,
			Message:      turn.Message,
			Response:     turn.Answer.Completion.Text,
			ModelVersion: turn.Answer.Model,
			Confidence:   turn.Answer.Completion.Confidence,
			FinishReason: string(turn.Answer.Completion.FinishReason),
			FallbackFrom: turn.Answer.FallbackFrom,
		}
	}
	c.JSON(http.StatusOK, out)
}

func (s *server) erase(c *gin.Context) {
	id := c.Param("id")
	p := checkConversationID(id)
	if p != nil {
		writeError(c, p)
		return
	}
	if err := s.Turns.Erase(c.Request.Context(), tenant, id); err != nil {
		writeError(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}
