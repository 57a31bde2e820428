package stream

import (
	"container/list"
	"crypto/rand"
	"crypto/subtle"
	"sort"
	"sync"
	"time"

	"teller/llm"
)

// The bounds on what a Hub keeps. A reply is 1 MiB at most and seldom over 10 KiB.
const (
	maxTurnBytes = 512 << 10 // of one turn; the rest of a longer reply comes with its result
	maxHubBytes  = 64 << 20  // of all turns
	// keepEnded is how long a turn's text stays after its end, for a client that lost its connection.
	keepEnded = time.Minute
)

// Hub keeps the pieces of the replies that clients of this process wait for. It is safe for concurrent use and holds
// no goroutine.
type Hub struct {
	address string

	mu     sync.Mutex
	topics map[string]*topic
	ended  *list.List // of *topic: those that may go when memory is short, the longest ended first
	bytes  int
	closed bool
}

// topic is one turn's reply, as far as it has come.
type topic struct {
	turn   string
	token  string
	expiry *time.Timer
	ended  *list.Element // nil while the turn runs
	gone   bool          // no longer in the hub: nothing is added

	attempt    int64
	next       int  // the sequence number that the attempt's next frame has
	broken     bool // a frame of the attempt is lost: what follows it is of no use
	generation int  // counts how often the text began anew
	text       []byte
	probs      []prob
	bytes      int
	changed    chan struct{} // closed at the next change, and replaced
}

// prob is a token's log-probability; end is where the piece that it came with ends.
type prob struct {
	end int
	llm.TokenLogProb
}

// NewHub makes a hub that workers reach at address, where Handler is served.
func NewHub(address string) *Hub {
	return &Hub{address: address, topics: map[string]*topic{}, ended: list.New()}
}

// Close forgets everything. Readers wait on for the results of their turns.
func (h *Hub) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	for _, t := range h.topics {
		h.remove(t)
	}
}

// Announce opens a turn's stream, or joins it when this process has it already: two requests with one
// Idempotency-Key read the same. The stream ends with end, or after lifetime at the latest. end tells whether the turn was
// answered: a turn that failed and is tried again under its id begins a stream of its own.
func (h *Hub) Announce(turn string, lifetime time.Duration) (to Target, r *Reader, end func(answered bool)) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t, ok := h.topics[turn]
	if !ok {
		t = &topic{turn: turn, token: rand.Text(), changed: make(chan struct{})}
		t.expiry = time.AfterFunc(lifetime+keepEnded, func() { h.expire(t) })
		if h.closed {
			h.remove(t)
		} else {
			h.topics[turn] = t
		}
	} else if t.ended == nil {
		t.expiry.Reset(lifetime + keepEnded)
	}
	return Target{Address: h.address, Turn: turn, Token: t.token}, h.reader(t, Position{}), func(answered bool) { h.end(t, answered) }
}

// Find gives a reader of a turn's stream that goes on from a position; nil when this process has no such stream.
func (h *Hub) Find(turn string, from Position) *Reader {
	h.mu.Lock()
	defer h.mu.Unlock()
	t, ok := h.topics[turn]
	if !ok {
		return nil
	}
	return h.reader(t, from)
}

func (h *Hub) reader(t *topic, from Position) *Reader {
	return &Reader{hub: h, topic: t, generation: t.generation, at: from, unsure: from.Offset > 0}
}

func (h *Hub) end(t *topic, answered bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case t.gone || t.ended != nil:
	case !answered:
		h.remove(t)
	default:
		t.ended = h.ended.PushBack(t)
		t.expiry.Reset(keepEnded)
	}
}

func (h *Hub) expire(t *topic) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.remove(t)
}

func (h *Hub) remove(t *topic) {
	if t.gone {
		return
	}
	t.gone = true
	t.expiry.Stop()
	if t.ended != nil {
		h.ended.Remove(t.ended)
	}
	h.bytes -= t.bytes
	if h.topics[t.turn] == t {
		delete(h.topics, t.turn)
	}
}

// Deliver takes a frame. One that has no business here is dropped in silence: its sender can do nothing about it.
func (h *Hub) Deliver(f Frame) {
	h.mu.Lock()
	defer h.mu.Unlock()
	t, ok := h.topics[f.Turn]
	if !ok || subtle.ConstantTimeCompare([]byte(t.token), []byte(f.Token)) != 1 || f.Attempt < t.attempt || t.ended != nil {
		return
	}
	if f.Attempt > t.attempt {
		if len(t.text) > 0 {
			t.generation++
		}
		h.bytes -= t.bytes
		t.attempt, t.next, t.broken = f.Attempt, 0, false
		t.text, t.probs, t.bytes = nil, nil, 0
	}
	size := sizeOf(f.Delta)
	if f.Sequence != t.next || t.broken || !h.fits(t, size) {
		t.broken = true
		return
	}
	t.next++
	t.text = append(t.text, f.Delta.Text...)
	for _, p := range f.Delta.LogProbs {
		t.probs = append(t.probs, prob{len(t.text), p})
	}
	t.bytes += size
	h.bytes += size
	close(t.changed)
	t.changed = make(chan struct{})
}

// fits makes room for more of a turn; false when there is none.
func (h *Hub) fits(t *topic, size int) bool {
	if t.bytes+size > maxTurnBytes {
		return false
	}
	for h.bytes+size > maxHubBytes {
		oldest := h.ended.Front()
		if oldest == nil {
			return false
		}
		h.remove(oldest.Value.(*topic))
	}
	return true
}

// sizeOf is roughly what a piece takes in memory.
func sizeOf(d llm.Delta) int {
	size := len(d.Text)
	for _, p := range d.LogProbs {
		size += 64 + len(p.Token)
		for _, q := range p.Top {
			size += 48 + len(q.Token)
		}
	}
	return size
}

// Open gives the function that takes an attempt's pieces: what a Pusher does across processes, as calls within one.
func (h *Hub) Open(to Target, attempt int64) func(llm.Delta) {
	sequence := 0
	return func(d llm.Delta) {
		h.Deliver(Frame{Turn: to.Turn, Token: to.Token, Attempt: attempt, Sequence: sequence, Delta: d})
		sequence++
	}
}

// Reader reads one turn's stream from a place of its own. It serves one goroutine.
type Reader struct {
	hub        *Hub
	topic      *topic
	generation int
	at         Position
	unsure     bool // at was reached on another connection: whether this text leads there is yet to be seen
}

// Event is what a reader finds: a piece, or that the text begins anew.
type Event struct {
	Reset bool
	Delta llm.Delta
}

// Read gives the next event, all that has come since the last one joined. When there is none yet, ok is false
// and changed is closed once it may be worth to read again.
func (r *Reader) Read() (e Event, ok bool, changed <-chan struct{}) {
	r.hub.mu.Lock()
	defer r.hub.mu.Unlock()
	t := r.topic
	anew := r.generation != t.generation
	r.generation = t.generation
	switch {
	case r.unsure && len(t.text) < r.at.Offset:
		return e, false, t.changed
	case r.unsure:
		_, goesOn := r.at.Rest(string(t.text))
		r.unsure = false
		anew = !goesOn
	}
	if anew && r.at.Offset > 0 {
		r.at = Position{}
		return Event{Reset: true}, true, nil
	}
	if len(t.text) == r.at.Offset {
		return e, false, t.changed
	}
	e.Delta.Text = string(t.text[r.at.Offset:])
	for _, p := range t.probs[sort.Search(len(t.probs), func(i int) bool { return t.probs[i].end > r.at.Offset }):] {
		e.Delta.LogProbs = append(e.Delta.LogProbs, p.TokenLogProb)
	}
	r.at = r.at.After(e.Delta.Text)
	return e, true, nil
}
