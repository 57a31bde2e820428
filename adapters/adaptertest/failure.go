package adaptertest

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teller/adapters/adaptertest/fakeserver"
	"teller/llm"
)

// failureCase is a provider that fails, and what the adapter must call it.
type failureCase struct {
	script     fakeserver.Behaviour
	codes      []llm.Code
	retryAfter time.Duration
}

func failureCases() map[string]failureCase {
	fails := func(f fakeserver.Failure, code llm.Code) failureCase {
		return failureCase{script: fakeserver.Behaviour{Failure: f, Detail: leaked}, codes: []llm.Code{code}}
	}
	later := func(c failureCase, after time.Duration, date bool) failureCase {
		c.script.RetryAfter, c.script.RetryAfterDate, c.retryAfter = after, date, after
		return c
	}
	raw := func(status int, contentType, body string, codes ...llm.Code) failureCase {
		return failureCase{script: fakeserver.Behaviour{Raw: &fakeserver.Raw{Status: status, ContentType: contentType, Body: body}}, codes: codes}
	}
	const html = "<!doctype html><html><head><title>502</title></head><body>" + leaked + "</body></html>"
	return map[string]failureCase{
		"invalid request":        fails(fakeserver.InvalidRequest, llm.InvalidRequest),
		"context too long":       fails(fakeserver.ContextTooLong, llm.ContextTooLong),
		"unauthorized":           fails(fakeserver.Unauthorized, llm.Unauthenticated),
		"forbidden":              fails(fakeserver.Forbidden, llm.Unauthenticated),
		"model not found":        fails(fakeserver.ModelNotFound, llm.NotFound),
		"rate limited":           fails(fakeserver.RateLimited, llm.RateLimited),
		"rate limited, seconds":  later(fails(fakeserver.RateLimited, llm.RateLimited), 7*time.Second, false),
		"rate limited, date":     later(fails(fakeserver.RateLimited, llm.RateLimited), 90*time.Second, true),
		"quota used up":          fails(fakeserver.InsufficientQuota, llm.RateLimited),
		"server error":           fails(fakeserver.ServerError, llm.Unavailable),
		"unavailable":            fails(fakeserver.Unavailable, llm.Unavailable),
		"unavailable, seconds":   later(fails(fakeserver.Unavailable, llm.Unavailable), 3*time.Second, false),
		"gateway timeout":        fails(fakeserver.GatewayTimeout, llm.Timeout),
		"blocked prompt":         {script: fakeserver.Behaviour{Blocked: true, Detail: leaked}, codes: []llm.Code{llm.Refused}},
		"blocked reply":          {script: fakeserver.Behaviour{Filtered: true}, codes: []llm.Code{llm.Refused}},
		"empty reply":            {script: fakeserver.Behaviour{Empty: true}, codes: []llm.Code{llm.EmptyReply}},
		"no reply":               {script: fakeserver.Behaviour{NoChoice: true}, codes: []llm.Code{llm.EmptyReply}},
		"reset connection":       {script: fakeserver.Behaviour{Reset: true}, codes: []llm.Code{llm.Unavailable}},
		"html":                   raw(200, "text/html", html, llm.BadReply),
		"html of a gateway":      raw(502, "text/html", html, llm.Unavailable),
		"html not found":         raw(404, "text/html", html, llm.NotFound),
		"html rate limit":        raw(429, "text/html", html, llm.RateLimited),
		"html forbidden":         raw(403, "text/html", html, llm.Unauthenticated),
		"garbage":                raw(200, "application/json", "\x00\x01"+leaked+"\xff\xfe", llm.BadReply),
		"garbage error":          raw(500, "application/json", "\x00\x01"+leaked+"\xff\xfe", llm.Unavailable),
		"garbage bad request":    raw(400, "application/json", leaked, llm.InvalidRequest),
		"truncated choice":       raw(200, "application/json", `{"id":"1","choices":[{"index":0,"message":{"role":"assistant","content":"`+leaked, llm.BadReply),
		"truncated candidate":    raw(200, "application/json", `[{"candidates":[{"content":{"role":"model","parts":[{"text":"`+leaked+`"}]}}]}`, llm.BadReply),
		"truncated error":        raw(500, "application/json", `{"error":{"message":"`+leaked, llm.Unavailable),
		"trailing garbage":       raw(200, "application/json", `{"choices":[]}<html>`+leaked, llm.BadReply),
		"empty body":             raw(200, "application/json", "", llm.BadReply),
		"empty error":            raw(503, "", "", llm.Unavailable),
		"null":                   raw(200, "application/json", "null", llm.BadReply, llm.EmptyReply),
		"number":                 raw(200, "application/json", "4711", llm.BadReply),
		"string":                 raw(200, "application/json", `"`+leaked+`"`, llm.BadReply),
		"empty object":           raw(200, "application/json", "{}", llm.BadReply, llm.EmptyReply),
		"empty array":            raw(200, "application/json", "[]", llm.BadReply, llm.EmptyReply),
		"wrong types":            raw(200, "application/json", `{"choices":"`+leaked+`","candidates":4711,"usageMetadata":[],"usage":"x"}`, llm.BadReply),
		"wrong types in a array": raw(200, "application/json", `[{"candidates":"`+leaked+`"}]`, llm.BadReply),
		"huge":                   raw(200, "application/json", `{"choices":[{"message":{"content":"`+strings.Repeat("a", 9<<20)+`"}}]}`, llm.BadReply),
		"huge error":             raw(500, "text/plain", strings.Repeat("a", 9<<20), llm.BadReply, llm.Unavailable),
		"error of status 200":    raw(200, "application/json", `{"error":{"code":503,"message":"`+leaked+`","status":"UNAVAILABLE"}}`, llm.Unavailable, llm.EmptyReply, llm.BadReply),
		"cut body": {codes: []llm.Code{llm.Unavailable}, script: fakeserver.Behaviour{Raw: &fakeserver.Raw{
			ContentType: "application/json", Header: map[string]string{"Content-Length": "1000"}, Body: `{"choices":[]}`,
		}}},
	}
}

// failures are the cases in which the provider fails.
func (s suite) failures(t *testing.T) {
	s.need(t, HTTP)
	for name, c := range failureCases() {
		t.Run(name, func(t *testing.T) {
			sub := s.New(t)
			c.script.Times = 1
			sub.Provider.Script(c.script)
			_, err := sub.Model.Complete(testContext(t), ask(prompt), nil)
			retryAfter := sub.requireError(t, err, c.codes...)
			require.InDelta(t, c.retryAfter.Seconds(), retryAfter.Seconds(), 2)
			require.Equal(t, 1, sub.Provider.Calls(), "retries are not the adapter's")

			out, err := sub.Model.Complete(testContext(t), ask("What is a bank?"), nil)
			require.NoError(t, err, "a failure does no harm to the next call")
			require.Equal(t, fakeserver.DefaultText, out.Text)
		})
	}
	t.Run("redirect", func(t *testing.T) {
		sub := s.New(t)
		strayed := make(chan struct{}, 1)
		other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { strayed <- struct{}{} }))
		defer other.Close()
		sub.Provider.Script(fakeserver.Behaviour{Raw: &fakeserver.Raw{
			Status: http.StatusTemporaryRedirect, Header: map[string]string{"Location": other.URL},
		}})
		_, err := sub.Model.Complete(testContext(t), ask(prompt), nil)
		sub.requireError(t, err, llm.NotConfigured)
		_, err = sub.Model.Check(testContext(t))
		sub.requireError(t, err, llm.NotConfigured)
		require.Empty(t, strayed, "the key went to another host")
	})
	t.Run("down", func(t *testing.T) {
		sub := s.New(t)
		require.NoError(t, sub.Provider.Close())
		_, err := sub.Model.Complete(testContext(t), ask(prompt), nil)
		sub.requireError(t, err, llm.Unavailable)
	})
}
