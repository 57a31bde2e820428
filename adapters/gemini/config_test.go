package gemini_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/adapters/gemini"
	"teller/config"
	"teller/llm"
)

func TestConfiguration(t *testing.T) {
	for name, c := range map[string]struct {
		cfg     config.Model
		message string
	}{
		"no key":              {config.Model{Model: "gemini-2.5-flash"}, "GOOGLE_API_KEY"},
		"a line end in a key": {config.Model{APIKey: "CANARY\n", Model: "gemini-2.5-flash"}, "GOOGLE_API_KEY"},
		"no model":            {config.Model{APIKey: key}, "GEMINI_MODEL"},
		"a path as model":     {config.Model{APIKey: key, Model: "../../files"}, "GEMINI_MODEL"},
		"a query as model":    {config.Model{APIKey: key, Model: "gemini?alt=CANARY"}, "GEMINI_MODEL"},
		"no address":          {config.Model{APIKey: key, Model: "gemini-2.5-flash", BaseURL: "CANARYHOST"}, "GEMINI_BASE_URL"},
		"unknown SDK":         {config.Model{APIKey: key, Model: "gemini-2.5-flash", SDK: "CANARY"}, "GEMINI_SDK"},
	} {
		t.Run(name, func(t *testing.T) {
			// What the SDKs would take from the environment instead.
			t.Setenv("GOOGLE_API_KEY", "CANARYENV")
			t.Setenv("GOOGLE_GEMINI_BASE_URL", "http://CANARYHOST")
			model := gemini.New(c.cfg)
			_, completeErr := model.Complete(t.Context(), llm.Request{Messages: []llm.Message{{Role: llm.User, Text: "hello"}}}, nil)
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
