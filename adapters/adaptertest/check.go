package adaptertest

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teller/adapters/adaptertest/fakeserver"
	"teller/llm"
)

// checks are the cases of llm.Model.Check.
func (s suite) checks(t *testing.T) {
	t.Run("healthy", func(t *testing.T) {
		sub := s.New(t)
		status, err := sub.Model.Check(testContext(t))
		require.NoError(t, err)
		require.NotEmpty(t, status.Version)
		require.NotEmpty(t, status.Device)
		if sub.Provider != nil {
			require.Equal(t, "remote", status.Device)
			require.Equal(t, http.MethodGet, sub.lastRequest(t).Method, "a check costs no token")
		}
	})
	t.Run("canceled before", func(t *testing.T) {
		s.need(t, HTTP)
		sub := s.New(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := sub.Model.Check(ctx)
		sub.requireError(t, err, llm.Canceled)
	})
	t.Run("missing model", func(t *testing.T) {
		s.need(t, HTTP)
		sub := s.New(t)
		sub.Provider.SetModels("another")
		_, err := sub.Model.Check(testContext(t))
		sub.requireError(t, err, llm.NotFound)
		_, err = sub.Model.Complete(testContext(t), ask(prompt), nil)
		sub.requireError(t, err, llm.NotFound)
	})
	t.Run("wrong key", func(t *testing.T) {
		s.need(t, HTTP)
		sub := s.New(t)
		sub.Provider.SetKey("another")
		_, err := sub.Model.Check(testContext(t))
		sub.requireError(t, err, llm.Unauthenticated)
		_, err = sub.Model.Complete(testContext(t), ask(prompt), nil)
		sub.requireError(t, err, llm.Unauthenticated)
	})
	t.Run("down", func(t *testing.T) {
		s.need(t, HTTP)
		sub := s.New(t)
		require.NoError(t, sub.Provider.Close())
		_, err := sub.Model.Check(testContext(t))
		sub.requireError(t, err, llm.Unavailable)
	})
	t.Run("hang", func(t *testing.T) {
		s.need(t, HTTP)
		sub := s.New(t)
		sub.Provider.Script(fakeserver.Behaviour{Hang: true})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, err := sub.Model.Check(ctx)
		sub.requireError(t, err, llm.Timeout)
	})
	for name, c := range map[string]failureCase{
		"html":         {script: fakeserver.Behaviour{Raw: &fakeserver.Raw{ContentType: "text/html", Body: "<html>" + leaked}}, codes: []llm.Code{llm.BadReply}},
		"garbage":      {script: fakeserver.Behaviour{Raw: &fakeserver.Raw{Body: leaked + "\xff"}}, codes: []llm.Code{llm.BadReply}},
		"wrong types":  {script: fakeserver.Behaviour{Raw: &fakeserver.Raw{Body: `{"data":4711,"name":[]}`}}, codes: []llm.Code{llm.BadReply}},
		"server error": {script: fakeserver.Behaviour{Failure: fakeserver.ServerError, Detail: leaked}, codes: []llm.Code{llm.Unavailable}},
		"unavailable":  {script: fakeserver.Behaviour{Failure: fakeserver.Unavailable, Detail: leaked}, codes: []llm.Code{llm.Unavailable}},
		"reset":        {script: fakeserver.Behaviour{Reset: true}, codes: []llm.Code{llm.Unavailable}},
	} {
		t.Run(name, func(t *testing.T) {
			s.need(t, HTTP)
			sub := s.New(t)
			sub.Provider.Script(c.script)
			_, err := sub.Model.Check(testContext(t))
			sub.requireError(t, err, c.codes...)
			require.Equal(t, 1, sub.Provider.Calls(), "retries are not the adapter's")
		})
	}
}
