package openaiserver_test

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teller/adapters/adaptertest/fakeserver"
	"teller/adapters/adaptertest/openaiserver"
)

// post sends a body as any OpenAI client would.
func post(t *testing.T, url, body string) (int, string, http.Header) {
	t.Helper()
	resp, err := http.Post(url+"/chat/completions", "application/json", strings.NewReader(body))
	require.NoError(t, err)
	got, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode, string(got), resp.Header
}

func TestScript(t *testing.T) {
	server, err := openaiserver.Start("127.0.0.1:0", "banking")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	t.Cleanup(http.DefaultClient.CloseIdleConnections)

	_, err = openaiserver.Start(server.Address(), "banking")
	require.Error(t, err, "the address is taken")

	const body = `{"model":"banking","messages":[{"role":"user","content":"one two three"}],"max_tokens":4}`
	server.Script(fakeserver.Behaviour{
		Failure: fakeserver.RateLimited, RetryAfter: 2 * time.Second, Times: 2,
		Reply: func(r fakeserver.Request) string { return "you said " + r.Messages[0].Text },
	})
	for range 2 {
		status, _, header := post(t, server.URL(), body)
		require.Equal(t, http.StatusTooManyRequests, status)
		require.Equal(t, "2", header.Get("Retry-After"))
	}
	status, got, _ := post(t, server.URL(), body)
	require.Equal(t, http.StatusOK, status)
	require.Contains(t, got, `"content":"you said one two"`)
	require.Contains(t, got, `"finish_reason":"length"`)
	require.Contains(t, got, `"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}`)
	require.Equal(t, 3, server.Calls())
	require.Equal(t, 4, *server.Requests()[2].MaxTokens)

	for name, c := range map[string]struct {
		body   string
		status int
	}{
		"unknown model": {`{"model":"x","messages":[{"role":"user","content":"a"}]}`, http.StatusNotFound},
		"no message":    {`{"model":"banking","messages":[]}`, http.StatusBadRequest},
		"no content":    {`{"model":"banking","messages":[{"role":"user"}]}`, http.StatusBadRequest},
		"not JSON":      {`hello`, http.StatusBadRequest},
		"max tokens 0":  {`{"model":"banking","max_tokens":0,"messages":[{"role":"user","content":"a"}]}`, http.StatusBadRequest},
	} {
		status, got, _ := post(t, server.URL(), c.body)
		require.Equal(t, c.status, status, name)
		require.Contains(t, got, `"error"`, name)
	}
	server.SetWindow(2)
	status, got, _ = post(t, server.URL(), body)
	require.Equal(t, http.StatusBadRequest, status)
	require.Contains(t, got, "maximum context length")
}
