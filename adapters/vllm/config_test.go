package vllm_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/adapters/adaptertest/openaiserver"
	"teller/adapters/vllm"
	"teller/config"
	"teller/llm"
)

func TestConfiguration(t *testing.T) {
	for name, c := range map[string]struct {
		cfg     config.Model
		message string
	}{
		"no address":          {config.Model{Model: "banking"}, "VLLM_BASE_URL"},
		"no model":            {config.Model{BaseURL: "http://127.0.0.1:1"}, "VLLM_MODEL"},
		"no scheme":           {config.Model{BaseURL: "CANARYHOST:8000/v1", Model: "banking"}, "VLLM_BASE_URL"},
		"not http":            {config.Model{BaseURL: "ftp://CANARYHOST/v1", Model: "banking"}, "VLLM_BASE_URL"},
		"no URL":              {config.Model{BaseURL: "http://user:CANARYPASSWORD@%zz", Model: "banking"}, "VLLM_BASE_URL"},
		"a query":             {config.Model{BaseURL: "http://127.0.0.1:1/v1?key=CANARY", Model: "banking"}, "VLLM_BASE_URL"},
		"a line end in a key": {config.Model{BaseURL: "http://127.0.0.1:1", APIKey: "CANARY\n", Model: "banking"}, "VLLM_API_KEY"},
		"OpenAI's o-series":   {config.Model{BaseURL: "http://127.0.0.1:1", Model: "o3-mini"}, "VLLM_MODEL"},
	} {
		t.Run(name, func(t *testing.T) {
			model := vllm.New(c.cfg)
			_, completeErr := model.Complete(t.Context(), question, nil)
			_, checkErr := model.Check(t.Context())
			for _, err := range []error{completeErr, checkErr} {
				var e *llm.Error
				require.True(t, errors.As(err, &e))
				require.Equal(t, llm.NotConfigured, e.Code)
				require.Contains(t, e.Message, c.message)
				require.NotContains(t, err.Error(), "CANARY")
			}
			require.NoError(t, model.Close())
		})
	}
}

// An operator may leave /v1 out, end the address with a slash, or put the server behind a path.
func TestBaseURL(t *testing.T) {
	server, err := openaiserver.Start("127.0.0.1:0", "banking")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Close()) })
	for _, url := range []string{server.URL(), server.URL() + "/", strings.TrimSuffix(server.URL(), "/v1"), strings.TrimSuffix(server.URL(), "v1")} {
		model := vllm.New(config.Model{BaseURL: url, Model: "banking"})
		_, err := model.Complete(t.Context(), question, nil)
		require.NoError(t, err, url)
		status, err := model.Check(t.Context())
		require.NoError(t, err, url)
		require.Equal(t, llm.Status{Version: "banking", Device: "remote"}, status)
		require.NoError(t, model.Close())
	}
	for _, r := range server.Requests() {
		require.Empty(t, r.Header.Get("Authorization"), "a server without a key gets none")
	}
}
