// Package upstream is what the adapters share: a client that makes one bounded exchange per call and
// keeps what it saw, the reading of failures that are HTTP's and not a provider's, and the check of a
// request before any of it. It knows no provider's wire format.
//
// The SDKs lose headers, retry on their own and put bodies and URLs into their errors. So an adapter
// never reads an SDK's error: it starts a Call, lets the SDK work, and reads the exchange.
package upstream

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// MaxBody is the most bytes of a response that are read. A completion of 100,000 tokens with its
// log-probabilities stays below it.
const MaxBody = 8 << 20

// longest ends a call whose context has no deadline, or a far one. It is no http.Client.Timeout, which
// holds a goroutine for each response body that an SDK forgets to close.
const longest = 10 * time.Minute

var (
	errTooLarge = errors.New("the response is larger than 8 MiB")
	errSecond   = errors.New("a call makes one attempt only")
	errNoCall   = errors.New("the request belongs to no call")
)

// Call is one exchange with a provider: what came back, or why nothing did. Its methods are for after
// the SDK has returned.
type Call struct {
	parent  context.Context // the caller's
	cancel  context.CancelFunc
	streams bool

	mu       sync.Mutex
	started  bool
	done     bool // the response is complete
	err      error
	status   int // 0: no response
	header   http.Header
	body     []byte
	received time.Time
	stream   *streamed // the body, while it arrives; nil for one that was read whole
}

type callKey struct{}

// Begin starts a call. The SDK gets the returned context; End frees it.
func Begin(ctx context.Context) (context.Context, *Call) {
	inner, cancel := context.WithTimeout(ctx, longest)
	c := &Call{parent: ctx, cancel: cancel}
	return context.WithValue(inner, callKey{}, c), c
}

// End frees what the call holds.
func (c *Call) End() {
	c.cancel()
	c.mu.Lock()
	stream := c.stream
	c.mu.Unlock()
	if stream != nil {
		_ = stream.body.Close() // it is read, or of no use any more
	}
}

// Status is the response's HTTP status; 0 when no complete response arrived.
func (c *Call) Status() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.done {
		return 0
	}
	return c.status
}

// Header is the response's header.
func (c *Call) Header() http.Header {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.header
}

// Body is the whole body of the response. It is not for error messages.
func (c *Call) Body() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.body
}

// OK tells whether a complete response with a status of success arrived.
func (c *Call) OK() bool {
	return succeeded(c.Status())
}

// NewClient makes an HTTP client for calls started with Begin. It reads whole responses of at most
// MaxBody, makes one attempt per call, follows no redirect (the key would go with it), and sets header
// on every request.
func NewClient(header http.Header) *http.Client {
	return &http.Client{
		Transport: &transport{
			header: header,
			base: &http.Transport{
				Proxy:                  http.ProxyFromEnvironment,
				DialContext:            (&net.Dialer{Timeout: 5 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
				TLSHandshakeTimeout:    5 * time.Second,
				ForceAttemptHTTP2:      true,
				MaxIdleConns:           256,
				MaxIdleConnsPerHost:    128, // one host serves all calls; the default of 2 would redial under load
				IdleConnTimeout:        90 * time.Second,
				MaxResponseHeaderBytes: 64 << 10,
			},
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// NewClientFor is NewClient over another transport.
func NewClientFor(base http.RoundTripper, header http.Header) *http.Client {
	client := NewClient(header)
	client.Transport = &transport{header: header, base: base}
	return client
}

type transport struct {
	base   http.RoundTripper
	header http.Header
}

// RoundTrip makes the call's one attempt and records it.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	c, ok := req.Context().Value(callKey{}).(*Call)
	if !ok {
		return nil, errNoCall
	}
	if !c.start() {
		c.cancel()
		return nil, errSecond
	}
	if len(t.header) > 0 {
		req = req.Clone(req.Context())
		for k, v := range t.header {
			req.Header[k] = v
		}
	}
	resp, err := t.base.RoundTrip(req)
	if err != nil {
		return nil, c.fail(err)
	}
	if c.streams && succeeded(resp.StatusCode) {
		c.begin(resp)
		return resp, nil
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, MaxBody+1))
	_ = resp.Body.Close() // the body is read; nothing hangs on how it closes
	switch {
	case err != nil:
		return nil, c.fail(err)
	case len(body) > MaxBody:
		return nil, c.fail(errTooLarge)
	}
	c.succeed(resp, body)
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	return resp, nil
}

// CloseIdleConnections lets http.Client.CloseIdleConnections through.
func (t *transport) CloseIdleConnections() {
	if base, ok := t.base.(interface{ CloseIdleConnections() }); ok {
		base.CloseIdleConnections()
	}
}

func (c *Call) start() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	first := !c.started
	c.started = true
	return first
}

// fail records why no complete response arrived. It ends the context, because an SDK that retries would
// otherwise sleep first (gax: up to 10 s a time, until the caller's deadline).
func (c *Call) fail(err error) error {
	c.mu.Lock()
	if c.err == nil { // what comes later is what this one led to
		c.err = err
	}
	err = c.err
	c.mu.Unlock()
	c.cancel()
	return err
}

// succeed records the response, whatever its status. A failed one ends the context as in fail.
func (c *Call) succeed(resp *http.Response, body []byte) {
	c.mu.Lock()
	c.status, c.header, c.body, c.received, c.done = resp.StatusCode, resp.Header.Clone(), body, time.Now(), true
	c.mu.Unlock()
	if !succeeded(resp.StatusCode) {
		c.cancel()
	}
}

func succeeded(status int) bool { return status >= 200 && status < 300 }
