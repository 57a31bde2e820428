// Package stream carries the pieces of a reply from the worker that gets them from a model to the API process whose
// client waits for them, beside the workflow and its result. A Pusher in the worker sends frames; a Hub in the API
// process keeps what came, for any number of readers; a Follower tells one client what it lacks.
//
// The stream is best effort and the workflow's result is the truth: whatever is slow, lost or too large is dropped and
// never waited for, and the result fills it in. The package knows no Temporal and no web framework.
package stream

import (
	"encoding/hex"
	"errors"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"unicode/utf8"

	"teller/llm"
)

// Target says where the pieces of a turn's reply go. It travels in the turn's input.
type Target struct {
	Address string `json:"address"` // host:port of the API process that holds the client
	Turn    string `json:"turn"`    // the turn's id
	Token   string `json:"token"`   // what lets a frame in; it serves for this turn only
}

// Frame is a piece of a turn's reply on its way.
type Frame struct {
	Turn  string `json:"turn"`
	Token string `json:"token"`
	// Attempt grows from one attempt at the turn to the next. A later one's pieces replace those of the earlier.
	Attempt int64 `json:"attempt"`
	// Sequence counts the attempt's frames from 0, so that a lost one is noticed.
	Sequence int       `json:"sequence"`
	Delta    llm.Delta `json:"delta"`
}

// Position is how much of a reply's text a reader has, with a checksum of it: so that any process that knows a text
// can tell whether it goes on from there. The zero value is the text's beginning.
type Position struct {
	Offset int    // in bytes
	Sum    uint32 // CRC-32C of the text up to Offset
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// After gives the position behind text, which stands at p.
func (p Position) After(text string) Position {
	return Position{Offset: p.Offset + len(text), Sum: crc32.Update(p.Sum, castagnoli, []byte(text))}
}

// Rest gives what text holds behind p. ok is false when text does not begin with what was read up to p.
func (p Position) Rest(text string) (rest string, ok bool) {
	if p.Offset > len(text) || (p.Offset < len(text) && !utf8.RuneStart(text[p.Offset])) {
		return "", false
	}
	if (Position{}).After(text[:p.Offset]) != p {
		return "", false
	}
	return text[p.Offset:], true
}

// EventID names a position in a turn's reply as a client keeps it: <turn>:<offset>.<checksum>.
func EventID(turn string, p Position) string {
	return fmt.Sprintf("%s:%d.%08x", turn, p.Offset, p.Sum)
}

// errEventID is the reason that ParseEventID gives.
var errEventID = errors.New("it is not <turn id>:<offset>.<checksum>")

// ParseEventID reads what EventID has written.
func ParseEventID(id string) (turn string, p Position, err error) {
	turn, place, _ := strings.Cut(id, ":")
	offset, sum, _ := strings.Cut(place, ".")
	n, err := strconv.ParseUint(offset, 10, 31)
	digits, sumErr := hex.DecodeString(sum)
	if turn == "" || err != nil || sumErr != nil || len(digits) != 4 {
		return "", p, errEventID
	}
	p = Position{Offset: int(n), Sum: uint32(digits[0])<<24 | uint32(digits[1])<<16 | uint32(digits[2])<<8 | uint32(digits[3])}
	if EventID(turn, p) != id { // "007", capitals
		return "", p, errEventID
	}
	return turn, p, nil
}
