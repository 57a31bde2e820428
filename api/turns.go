package api

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"teller/stream"
)

const lastEventHeader = "Last-Event-ID"

// turnState is a turn that is not answered yet.
type turnState struct {
	Status string `json:"status"`
	TurnID string `json:"turn_id"`
}

// readTurn answers GET /api/v1/turns/{id}.
func (s *server) readTurn(c *gin.Context) {
	id := c.Param("id")
	from, resumes, p := lastEvent(c, id)
	if p != nil {
		writeError(c, p)
		return
	}
	found, err := s.Turns.Find(c.Request.Context(), tenant(c), id)
	switch {
	case err != nil:
		writeError(c, err)
	case resumes || acceptsEvents(c):
		to := &turnEvents{events: events{c: c}, turn: id}
		if !found.Ended && to.KeepAlive() != nil { // the turn is there: its client need not wait to learn that
			return
		}
		_, _ = s.follow(c, s.Streams.Find(id, from), from, to, found.Answer) // a failure has been told
	case !found.Ended:
		c.Header("Retry-After", "1")
		c.JSON(http.StatusAccepted, turnState{Status: "running", TurnID: id})
	default:
		answer, err := found.Answer(c.Request.Context())
		if err != nil {
			writeError(c, err)
			return
		}
		c.JSON(http.StatusOK, chatResponseOf(answer, nil))
	}
}

// lastEvent reads where a client that comes back had arrived. resumes is false for one that does not say.
func lastEvent(c *gin.Context, turn string) (from stream.Position, resumes bool, p *problem) {
	values := c.Request.Header.Values(lastEventHeader)
	if len(values) == 0 {
		return from, false, nil
	}
	of, from, err := stream.ParseEventID(values[0])
	switch {
	case len(values) > 1 || err != nil:
		return from, false, invalid(lastEventHeader, "Last-Event-ID must be the id of the last event that you got of this turn, <turn id>:<offset>.<checksum>, as it came")
	case of != turn:
		return from, false, invalid(lastEventHeader, "the Last-Event-ID is of another turn")
	}
	return from, true, nil
}
