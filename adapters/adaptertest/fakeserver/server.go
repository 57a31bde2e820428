package fakeserver

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// logged is how many of the latest requests a server keeps, so that a long benchmark does not grow it.
const logged = 1000

// Server is a fake provider without a wire format. It is safe for concurrent use.
type Server struct {
	http    *http.Server
	address string
	served  chan struct{} // closed when http has returned

	hanging chan struct{}
	gone    chan struct{}
	resume  chan struct{}

	mu        sync.Mutex
	behaviour Behaviour
	faults    int // calls that the faults of behaviour still hold for; -1: every call
	models    []string
	key       string
	window    int
	requests  []Request
	calls     int
}

// New makes a server that serves the named models.
func New(models ...string) *Server {
	return &Server{
		models:  models,
		faults:  -1,
		hanging: make(chan struct{}, logged),
		gone:    make(chan struct{}, logged),
		resume:  make(chan struct{}, logged),
	}
}

// Start serves handler on address, such as "127.0.0.1:0", until Close.
func (s *Server) Start(address string, handler http.Handler) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	s.http = &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	s.address = listener.Addr().String()
	s.served = make(chan struct{})
	go func() {
		defer close(s.served)
		_ = s.http.Serve(listener) // always http.ErrServerClosed, from Close
	}()
	return nil
}

// Close ends the server and every call it is in.
func (s *Server) Close() error {
	if s.http == nil {
		return nil
	}
	err := s.http.Close()
	<-s.served
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

// Address is the host and port that the server listens on.
func (s *Server) Address() string { return s.address }

// Script sets what happens to the calls from now on.
func (s *Server) Script(b Behaviour) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.behaviour = b
	s.faults = -1
	if b.Times > 0 {
		s.faults = b.Times
	}
}

// SetModels sets which models the provider serves.
func (s *Server) SetModels(models ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.models = models
}

// SetKey makes the provider refuse every call without this key. Empty takes any.
func (s *Server) SetKey(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key = key
}

// SetWindow sets the context window in tokens (words). 0 is no limit.
func (s *Server) SetWindow(tokens int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.window = tokens
}

// Models lists what the provider serves.
func (s *Server) Models() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.models)
}

// Requests gives the latest calls, oldest first, at most 1000.
func (s *Server) Requests() []Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

// Calls counts every call since the start.
func (s *Server) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// Hanging gives one value for each call that Hang has taken hold of, and for each stream that has stalled.
func (s *Server) Hanging() <-chan struct{} { return s.hanging }

// Gone gives one value for each call whose client went away before it was answered.
func (s *Server) Gone() <-chan struct{} { return s.gone }

// Begin logs the call, applies the script's faults, and gives what else to do: the behaviour, with
// Failure set where the script, the key, the models or the window ask for one. done tells that the
// call is over and nothing more may be written. generate tells a call for a completion from a check.
func (s *Server) Begin(w http.ResponseWriter, r *http.Request, call Request, key string, generate bool) (b Behaviour, done bool) {
	b = s.admit(call, key, generate)
	if b.Latency > 0 {
		timer := time.NewTimer(b.Latency)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			s.signal(s.gone)
			return b, true
		}
	}
	switch {
	case b.Hang:
		s.signal(s.hanging)
		<-r.Context().Done()
		s.signal(s.gone)
		return b, true
	case b.Reset:
		reset(w)
		return b, true
	case b.Raw != nil:
		b.Raw.write(w)
		return b, true
	}
	return b, false
}

func (s *Server) admit(call Request, key string, generate bool) Behaviour {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	if len(s.requests) == logged {
		s.requests = slices.Delete(s.requests, 0, 1)
	}
	s.requests = append(s.requests, call)

	b := s.behaviour
	switch {
	case s.faults > 0:
		s.faults--
	case s.faults == 0:
		b = b.afterFaults()
	}
	if b.Failure != "" || b.Raw != nil || b.Hang || b.Reset {
		return b
	}
	switch {
	case s.key != "" && key != s.key:
		b.Failure = Unauthorized
	case call.Model != "" && !slices.Contains(s.models, call.Model):
		b.Failure = ModelNotFound
	case generate && s.window > 0 && call.PromptTokens() > s.window:
		b.Failure = ContextTooLong
	}
	return b
}

func (s *Server) signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // nobody has looked for a thousand calls
	}
}

func (raw *Raw) write(w http.ResponseWriter) {
	for k, v := range raw.Header {
		w.Header().Set(k, v)
	}
	if raw.ContentType != "" {
		w.Header().Set("Content-Type", raw.ContentType)
	}
	if raw.Status != 0 {
		w.WriteHeader(raw.Status)
	}
	_, _ = io.WriteString(w, raw.Body) // the client may have left
}

// reset drops the connection with a TCP reset instead of an orderly end.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // without it Close is orderly, which the client reads as end of file
	}
	_ = conn.Close()
}

// ReadBody reads the request's body to its end, which also lets net/http notice a client that leaves.
func ReadBody(r *http.Request) ([]byte, error) {
	return io.ReadAll(http.MaxBytesReader(nil, r.Body, 64<<20))
}

// Wait waits for one value of c, such as Hanging gives, or for the end of ctx.
func Wait(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// SetRetryAfter sets b's Retry-After header, if it has one.
func (b Behaviour) SetRetryAfter(h http.Header) {
	switch {
	case b.RetryAfter <= 0:
	case b.RetryAfterDate:
		h.Set("Retry-After", time.Now().Add(b.RetryAfter).UTC().Format(http.TimeFormat))
	default:
		h.Set("Retry-After", seconds(b.RetryAfter))
	}
}
