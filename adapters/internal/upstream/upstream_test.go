package upstream

import (
	"context"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"teller/llm"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRetryAfter(t *testing.T) {
	received := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	date := func(d time.Duration) string { return received.Add(d).Format(http.TimeFormat) }
	for name, c := range map[string]struct {
		header map[string]string
		want   time.Duration
	}{
		"none":                  {nil, 0},
		"seconds":               {map[string]string{"Retry-After": "7"}, 7 * time.Second},
		"spaces":                {map[string]string{"Retry-After": " 7 "}, 7 * time.Second},
		"fraction":              {map[string]string{"Retry-After": "1.5"}, 1500 * time.Millisecond},
		"milliseconds":          {map[string]string{"Retry-After-Ms": "250"}, 250 * time.Millisecond},
		"milliseconds win":      {map[string]string{"Retry-After-Ms": "1250", "Retry-After": "2"}, 1250 * time.Millisecond},
		"date":                  {map[string]string{"Retry-After": date(time.Minute)}, time.Minute},
		"date in the past":      {map[string]string{"Retry-After": date(-time.Minute)}, 0},
		"date by their clock":   {map[string]string{"Retry-After": date(time.Hour), "Date": date(time.Hour - time.Minute)}, time.Minute},
		"RFC 850 date":          {map[string]string{"Retry-After": received.Add(time.Minute).Format("Monday, 02-Jan-06 15:04:05 MST")}, time.Minute},
		"negative":              {map[string]string{"Retry-After": "-5"}, 0},
		"zero":                  {map[string]string{"Retry-After": "0"}, 0},
		"words":                 {map[string]string{"Retry-After": "soon"}, 0},
		"not a number":          {map[string]string{"Retry-After": "NaN"}, 0},
		"endless":               {map[string]string{"Retry-After": "1e308"}, MaxRetryAfter},
		"infinite":              {map[string]string{"Retry-After": "inf"}, MaxRetryAfter},
		"date of another age":   {map[string]string{"Retry-After": "Fri, 31 Dec 9999 23:59:59 GMT"}, MaxRetryAfter},
		"overflowing exponents": {map[string]string{"Retry-After-Ms": "1e999"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			header := http.Header{}
			for k, v := range c.header {
				header.Set(k, v)
			}
			require.Equal(t, c.want, RetryAfter(header, received))
		})
	}
}

func TestCodeOf(t *testing.T) {
	for status, want := range map[int]llm.Code{
		100: llm.BadReply, 200: llm.BadReply, 301: llm.NotConfigured, 307: llm.NotConfigured, 400: llm.InvalidRequest,
		401: llm.Unauthenticated, 402: llm.RateLimited, 403: llm.Unauthenticated, 404: llm.NotFound, 408: llm.Timeout,
		413: llm.ContextTooLong, 418: llm.InvalidRequest, 422: llm.InvalidRequest, 429: llm.RateLimited, 499: llm.Unavailable,
		500: llm.Unavailable, 502: llm.Unavailable, 503: llm.Unavailable, 504: llm.Timeout, 529: llm.Unavailable, 999: llm.Unavailable,
	} {
		require.Equal(t, want, CodeOf(status), status)
	}
}

func TestLabel(t *testing.T) {
	require.Equal(t, ", rate_limit_exceeded, BadRequestError", Label("rate_limit_exceeded", "", "BadRequestError"))
	require.Empty(t, Label("two words", "sk-4711", "http://host", strings.Repeat("a", 49), "\n"))
}

func TestConfidence(t *testing.T) {
	for mean, want := range map[float64]float64{0: 1, 1e-6: 1, -1: math.Exp(-1), -9999: math.SmallestNonzeroFloat64} {
		got, reason := Confidence(mean)
		require.NotNil(t, got)
		require.Equal(t, want, *got)
		require.Empty(t, reason)
	}
	for _, mean := range []float64{1, math.Inf(1), math.NaN()} {
		got, reason := Confidence(mean)
		require.Nil(t, got)
		require.NotEmpty(t, reason)
	}
}

// exchange makes one call and gives what it failed with.
func exchange(t *testing.T, client *http.Client, url string) (*Call, *llm.Error) {
	t.Helper()
	ctx, call := Begin(t.Context())
	defer call.End()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("{}"))
	require.NoError(t, err)
	resp, err := client.Do(req)
	if err == nil {
		require.NoError(t, resp.Body.Close())
	}
	failed := call.Failure("the server", err)
	return call, failed
}

func TestTransportFailures(t *testing.T) {
	client := NewClient(nil)
	defer client.CloseIdleConnections()
	speaks := func(t *testing.T, bytes string) string {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		done := make(chan struct{})
		go func() {
			defer close(done)
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 4096))
			_, _ = io.WriteString(conn, bytes)
			_ = conn.Close()
		}()
		t.Cleanup(func() { require.NoError(t, listener.Close()); <-done })
		return "http://" + listener.Addr().String() + "/CANARYPATH"
	}
	secure := httptest.NewTLSServer(http.NotFoundHandler())
	secure.Config.ErrorLog = nil
	defer secure.Close()
	for name, c := range map[string]struct {
		url  func(*testing.T) string
		code llm.Code
	}{
		"refused":             {func(*testing.T) string { return "http://127.0.0.1:1/CANARYPATH" }, llm.Unavailable},
		"no such host":        {func(*testing.T) string { return "http://canary.invalid/CANARYPATH" }, llm.Unavailable},
		"not HTTP":            {func(t *testing.T) string { return speaks(t, "SSH-2.0-CANARY\r\n") }, llm.BadReply},
		"a malformed header":  {func(t *testing.T) string { return speaks(t, "HTTP/1.1 200 OK\r\nCANARY\r\n\r\n") }, llm.BadReply},
		"closed":              {func(t *testing.T) string { return speaks(t, "") }, llm.Unavailable},
		"cut body":            {func(t *testing.T) string { return speaks(t, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nCANARY") }, llm.Unavailable},
		"unknown certificate": {func(*testing.T) string { return secure.URL + "/CANARYPATH" }, llm.Unavailable},
		"TLS to plain HTTP": {func(t *testing.T) string {
			return strings.Replace(speaks(t, "HTTP/1.1 400 Bad Request\r\n\r\n"), "http:", "https:", 1)
		}, llm.Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			url := c.url(t)
			call, e := exchange(t, client, url)
			require.NotNil(t, e)
			require.Equal(t, c.code, e.Code, "%v", e)
			require.NotContains(t, e.Error(), "CANARY")
			require.NotContains(t, e.Message, "127.0.0.1")
			require.NotContains(t, e.Message, "canary.invalid")
			require.Zero(t, call.Status())
		})
	}
}

// An SDK that tries again gets no second attempt, and does not wait for it either.
func TestOneAttempt(t *testing.T) {
	calls := 0
	client := NewClientFor(roundTrip(func(*http.Request) (*http.Response, error) {
		calls++
		return &http.Response{StatusCode: 503, Body: io.NopCloser(strings.NewReader("busy"))}, nil
	}), http.Header{"X-Key": {"k"}})
	ctx, call := Begin(t.Context())
	defer call.End()
	for range 2 {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://host.invalid/", nil)
		require.NoError(t, err)
		if resp, err := client.Do(req); err == nil {
			require.NoError(t, resp.Body.Close())
		}
		require.ErrorIs(t, ctx.Err(), context.Canceled, "an SDK's pause would last")
	}
	require.Equal(t, 1, calls)
	require.Equal(t, 503, call.Status())
	require.Equal(t, "busy", string(call.Body()))
	require.Nil(t, call.Failure("the server", nil), "the exchange is complete")

	_, err := client.Get("http://host.invalid/")
	require.ErrorIs(t, err, errNoCall, "every request belongs to a call")
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
