package vllm

import (
	"bytes"
	"context"
	"io"
	"net/http"
)

// go-openai leaves a temperature of 0 out of the JSON, and the server then samples with its own default
// of 1. The usual trick, the smallest positive float, is no greedy decoding on vLLM: it raises every
// temperature between 0 and 0.01 to 0.01. So an explicit 0 is put into the body that go-openai made.

type greedyKey struct{}

// withTemperature marks a call whose temperature is exactly 0.
func withTemperature(ctx context.Context, t *float64) context.Context {
	// What float32 rounds to 0 is dropped too.
	if t != nil && float32(*t) == 0 {
		return context.WithValue(ctx, greedyKey{}, true)
	}
	return ctx
}

// doer sends go-openai's requests, with the temperature of a marked call restored.
type doer struct{ client *http.Client }

func (d doer) Do(req *http.Request) (*http.Response, error) {
	if greedy, _ := req.Context().Value(greedyKey{}).(bool); greedy && req.Body != nil {
		body, err := io.ReadAll(req.Body)
		if err != nil {
			return nil, err
		}
		body = bytes.Replace(body, []byte("{"), []byte(`{"temperature":0,`), 1)
		req.Body = io.NopCloser(bytes.NewReader(body))
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
		req.ContentLength = int64(len(body))
	}
	return d.client.Do(req)
}
