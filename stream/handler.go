package stream

import (
	"bufio"
	"encoding/json"
	"net/http"
	"time"
)

const (
	path = "/v1/frames"
	// maxFrameBytes bounds a frame as JSON.
	maxFrameBytes = 1 << 20
	// silentWithin is how long a connection without a frame stays. Workers close theirs earlier, so that no frame
	// meets a connection that is just being closed.
	silentWithin = 2 * idleWithin
	maxSenders   = 1024
)

// Handler is what workers push to: POST /v1/frames with frames as JSON, one a line, for as long as the worker likes. It
// belongs on a listener that only workers reach; what lets a frame in is its turn's token.
func (h *Hub) Handler() http.Handler {
	senders := make(chan struct{}, maxSenders)
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
		select {
		case senders <- struct{}{}:
			defer func() { <-senders }()
		default:
			http.Error(w, "too many connections", http.StatusServiceUnavailable)
			return
		}
		control := http.NewResponseController(w)
		lines := bufio.NewScanner(r.Body)
		lines.Buffer(nil, maxFrameBytes)
		for {
			// A server whose connections know no deadlines does without.
			_ = control.SetReadDeadline(time.Now().Add(silentWithin))
			if !lines.Scan() {
				break
			}
			var f Frame
			if err := json.Unmarshal(lines.Bytes(), &f); err != nil {
				http.Error(w, "a line is not a frame", http.StatusBadRequest)
				return
			}
			h.Deliver(f)
		}
		if lines.Err() != nil {
			http.Error(w, "the frames broke off", http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	return mux
}
