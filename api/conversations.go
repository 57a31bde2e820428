package api

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"teller/store"
	"teller/turns"
)

// conversationsResponse is the body of GET /api/v1/conversations.
type conversationsResponse struct {
	Conversations []store.Conversation `json:"conversations"` // the one that was last answered first
	Next          string               `json:"next_cursor,omitempty"`
}

const (
	conversationsPage    = 20
	maxConversationsPage = 100
)

// conversations lists the caller's tenant's, a page at a time.
func (s *server) conversations(c *gin.Context) {
	limit := conversationsPage
	if text := c.Query("limit"); text != "" {
		var err error
		if limit, err = strconv.Atoi(text); err != nil || limit < 1 || limit > maxConversationsPage {
			writeError(c, invalid("limit", fmt.Sprintf("limit must be from 1 to %d", maxConversationsPage)))
			return
		}
	}
	page, next, err := s.Store.Conversations(c.Request.Context(), tenant(c), c.Query("cursor"), limit)
	switch {
	case errors.Is(err, store.ErrBadCursor):
		writeError(c, invalid("cursor", "cursor must be the next_cursor of an earlier page"))
	case err != nil:
		writeError(c, s.storeDown(c, err))
	default:
		c.JSON(http.StatusOK, conversationsResponse{page, next})
	}
}

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
	t, err := s.Turns.Transcript(c.Request.Context(), tenant(c), id)
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
	erased := s.Turns.Erase(c.Request.Context(), tenant(c), id)
	if erased != nil && !errors.Is(erased, turns.ErrNoConversation) {
		writeError(c, erased)
		return
	}
	// The row goes even when Temporal has forgotten the conversation already: after its retention only the row is left.
	if err := s.Store.ForgetConversation(c.Request.Context(), tenant(c), id); err != nil {
		writeError(c, s.storeDown(c, err))
		return
	}
	if erased != nil {
		writeError(c, erased)
		return
	}
	c.Status(http.StatusNoContent)
}
