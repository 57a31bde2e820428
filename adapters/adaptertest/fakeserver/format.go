package fakeserver

import (
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// seconds gives d in whole seconds, rounded up, as Retry-After wants it.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}

// WriteJSON sends v with the status.
func WriteJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may have left
}

// Sentence joins a failure's own words with the script's detail.
func (b Behaviour) Sentence(words string) string {
	if b.Detail == "" {
		return words
	}
	return words + " " + b.Detail
}
