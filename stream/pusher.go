package stream

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"teller/llm"
)

const (
	maxQueued  = 4096      // attempts with something to send to one API process
	maxWaiting = 128 << 10 // bytes of one attempt that wait: as JSON still less than a frame may have
	maxLink    = 16 << 20  // bytes of all attempts that wait for one API process
	batchBytes = 32 << 10  // frames that go out in one write
	// pace is the least time from one write to the next. A model seldom says two words within it; where one does, and where
	// many turns stream at once, they go out together, which is cheaper for both sides. A first word waits for nothing.
	pace        = 2 * time.Millisecond
	dialWithin  = time.Second      // for a connection to be made
	writeWithin = 2 * time.Second  // for a write to be taken
	idleWithin  = 30 * time.Second // without a frame a connection is closed
	// restWithin is how long an API process that could not be reached gets nothing: the turns meanwhile are answered
	// by their results alone.
	restWithin = time.Second
)

// Pusher sends frames to the API processes that wait for them, over one connection each, which carries all turns. It
// never makes a model wait: what cannot be sent at once or queued is dropped. It is safe for concurrent use.
type Pusher struct {
	log    *slog.Logger
	client *http.Client
	ctx    context.Context
	cancel context.CancelFunc
	ends   sync.WaitGroup

	mu    sync.Mutex
	links map[string]*link // by address
}

// link is the way to one API process.
type link struct {
	url     string
	queue   chan *sending
	bytes   int       // that wait
	epoch   int       // counts how often frames were lost
	resumes time.Time // nothing is sent before then
}

// sending is one attempt's pieces on their way. What comes while earlier pieces wait goes out with them.
type sending struct {
	next   Frame // without the pieces
	waits  llm.Delta
	size   int  // of waits
	queued bool // the link has it in its queue
	begun  bool
	epoch  int  // of the link, once begun
	lost   bool // nothing more is sent
}

// NewPusher makes a pusher. Close ends it.
func NewPusher(log *slog.Logger) *Pusher {
	ctx, cancel := context.WithCancel(context.Background())
	return &Pusher{
		log: log, ctx: ctx, cancel: cancel, links: map[string]*link{},
		client: &http.Client{
			Transport: &http.Transport{
				// No proxy: an API process is a neighbour.
				DialContext:       (&net.Dialer{Timeout: dialWithin}).DialContext,
				DisableKeepAlives: true, // a link has its one connection for as long as it lasts
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Close ends all connections. Frames that are under way may be lost.
func (p *Pusher) Close() {
	p.mu.Lock() // no link begins from here on
	p.cancel()
	p.mu.Unlock()
	p.ends.Wait()
}

// Open gives the function that takes the pieces of one attempt, one call at a time. It returns at once, whatever becomes
// of the pieces; after the first that is lost it sends no more of the attempt.
func (p *Pusher) Open(to Target, attempt int64) func(llm.Delta) {
	s := &sending{next: Frame{Turn: to.Turn, Token: to.Token, Attempt: attempt}}
	return func(d llm.Delta) { p.add(to.Address, s, d) }
}

// add queues a piece.
func (p *Pusher) add(address string, s *sending, d llm.Delta) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if s.lost || p.ctx.Err() != nil {
		return
	}
	l, known := p.links[address]
	if !known {
		l = &link{url: "http://" + address + path, queue: make(chan *sending, maxQueued)}
		p.links[address] = l
		p.ends.Go(func() { p.run(address, l) })
	}
	size := sizeOf(d)
	s.lost = s.begun && s.epoch != l.epoch || s.size+size > maxWaiting || l.bytes+size > maxLink || time.Now().Before(l.resumes)
	if s.lost {
		return
	}
	if !s.queued {
		select {
		case l.queue <- s:
		default:
			s.lost = true
			return
		}
	}
	s.begun, s.epoch, s.queued = true, l.epoch, true
	s.waits.Text += d.Text
	s.waits.LogProbs = append(s.waits.LogProbs, d.LogProbs...)
	s.size += size
	l.bytes += size
}

// take gives what waits of an attempt as a line; nil when it cannot be sent.
func (p *Pusher) take(l *link, s *sending) []byte {
	p.mu.Lock()
	frame := s.next
	frame.Delta = s.waits
	l.bytes -= s.size
	s.waits, s.size, s.queued = llm.Delta{}, 0, false
	s.next.Sequence++
	p.mu.Unlock()
	line, err := json.Marshal(frame)
	if err != nil || len(line) >= maxFrameBytes {
		return nil // the hub sees the gap
	}
	return append(line, '\n')
}

// run sends what is queued until nothing came for a while.
func (p *Pusher) run(address string, l *link) {
	for {
		err := p.connect(l)
		p.mu.Lock()
		if p.ctx.Err() != nil || (err == nil && len(l.queue) == 0) {
			delete(p.links, address)
			p.mu.Unlock()
			return
		}
		if err != nil {
			l.epoch++
			l.resumes = time.Now().Add(restWithin)
			p.drop(l)
			p.log.Debug("the pieces of replies do not reach an API process", "address", address, "error", err)
		}
		p.mu.Unlock()
	}
}

// drop empties the queue.
func (p *Pusher) drop(l *link) {
	for {
		select {
		case s := <-l.queue:
			l.bytes -= s.size
			s.waits, s.size, s.queued, s.lost = llm.Delta{}, 0, false, true
		default:
			return
		}
	}
}

// connect makes a connection for the next frame and keeps it while frames come. It gives nil when none came for a while.
func (p *Pusher) connect(l *link) error {
	idle := time.NewTimer(idleWithin)
	defer idle.Stop()
	var next *sending
	select {
	case next = <-l.queue:
	case <-idle.C:
		return nil
	case <-p.ctx.Done():
		return nil
	}
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	body, frames := io.Pipe()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		body.CloseWithError(p.post(ctx, l.url, body))
	}()
	defer func() {
		cancel()
		_ = frames.Close() // whoever sends waits for the next frame before it looks at its context
		<-ended
	}()
	var batch bytes.Buffer
	for {
		batch.Reset()
		for next != nil {
			batch.Write(p.take(l, next))
			next = nil
			if batch.Len() < batchBytes {
				select {
				case next = <-l.queue:
				default:
				}
			}
		}
		stuck := time.AfterFunc(writeWithin, cancel)
		_, err := frames.Write(batch.Bytes())
		stuck.Stop()
		written := time.Now()
		if err != nil {
			return err
		}
		idle.Reset(idleWithin)
		select {
		case next = <-l.queue:
			time.Sleep(pace - time.Since(written))
		case <-ended:
			return errEnded
		case <-idle.C:
			_ = frames.Close() // a pipe's end cannot fail
			<-ended
			return nil
		case <-p.ctx.Done():
			return nil
		}
	}
}

var errEnded = fmt.Errorf("the API process has ended the connection")

// post sends body for as long as it lasts. It gives why it ended.
func (p *Pusher) post(ctx context.Context, url string, body io.Reader) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, body)
	if err != nil {
		return err
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return err
	}
	resp.Body.Close()
	return errEnded
}
