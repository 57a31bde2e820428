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
	maxQueued   = 4096             // frames that wait for one API process
	batchBytes  = 32 << 10         // frames that go out in one write
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
	queue   chan []byte
	epoch   int       // counts how often frames were lost
	resumes time.Time // nothing is sent before then
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
	frame := Frame{Turn: to.Turn, Token: to.Token, Attempt: attempt}
	epoch, lost := 0, false
	return func(d llm.Delta) {
		if lost {
			return
		}
		frame.Delta = d
		line, err := json.Marshal(frame)
		if err != nil || len(line) >= maxFrameBytes {
			lost = true
			return
		}
		sent, ok := p.offer(to.Address, append(line, '\n'))
		if !ok || (frame.Sequence > 0 && sent != epoch) {
			lost = true
			return
		}
		epoch = sent
		frame.Sequence++
	}
}

// offer queues a line, and gives the link's epoch.
func (p *Pusher) offer(address string, line []byte) (epoch int, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ctx.Err() != nil {
		return 0, false
	}
	l, known := p.links[address]
	if !known {
		l = &link{url: "http://" + address + path, queue: make(chan []byte, maxQueued)}
		p.links[address] = l
		p.ends.Go(func() { p.run(address, l) })
	}
	if time.Now().Before(l.resumes) {
		return l.epoch, false
	}
	select {
	case l.queue <- line:
		return l.epoch, true
	default:
		return l.epoch, false
	}
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
			l.drop()
			p.log.Debug("the pieces of replies do not reach an API process", "address", address, "error", err)
		}
		p.mu.Unlock()
	}
}

// drop empties the queue.
func (l *link) drop() {
	for {
		select {
		case <-l.queue:
		default:
			return
		}
	}
}

// connect makes a connection for the next frame and keeps it while frames come. It gives nil when none came for a while.
func (p *Pusher) connect(l *link) error {
	idle := time.NewTimer(idleWithin)
	defer idle.Stop()
	var line []byte
	select {
	case line = <-l.queue:
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
		frames.Close() // whoever sends waits for the next frame before it looks at its context
		<-ended
	}()
	var batch bytes.Buffer
	for {
		batch.Reset()
		for batch.Write(line); batch.Len() < batchBytes; batch.Write(line) {
			select {
			case line = <-l.queue:
				continue
			default:
			}
			break
		}
		stuck := time.AfterFunc(writeWithin, cancel)
		_, err := frames.Write(batch.Bytes())
		stuck.Stop()
		if err != nil {
			return err
		}
		idle.Reset(idleWithin)
		select {
		case line = <-l.queue:
		case <-ended:
			return errEnded
		case <-idle.C:
			frames.Close()
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
