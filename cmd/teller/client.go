package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"syscall"
	"time"

	"teller/config"
)

// remote is the API as the commands reach it. Its address and key come from the environment, like all settings.
type remote struct {
	url  string // without a slash at its end
	key  string
	http *http.Client
}

// newRemote reads TELLER_API_URL, or else TELLER_API_ADDR, and TELLER_API_KEY.
func newRemote() (*remote, error) {
	cfg, err := config.Load() // reads .env too
	if err != nil {
		return nil, err
	}
	url := strings.TrimRight(cfg.APIURL, "/")
	if url == "" {
		url = "http://" + dialable(cfg.APIAddr)
	}
	return &remote{url: url, key: cfg.APIKey, http: &http.Client{}}, nil
}

// apiError is what the API says is wrong.
type apiError struct {
	Status     int
	RetryAfter string
	Message    string `json:"message"`
	Code       string `json:"code"`
}

func (e *apiError) Error() string {
	text := e.Message
	switch {
	case e.Status == http.StatusUnauthorized:
		text += " (TELLER_API_KEY is where this command looks for it)"
	case e.RetryAfter != "":
		text += fmt.Sprintf(" (try again in %s s)", e.RetryAfter)
	}
	return text
}

// call sends a request and gives its answer, which the caller closes. in is sent as JSON unless it is nil. A status that is no
// success is an *apiError.
func (r *remote) call(ctx context.Context, method, path string, in any, headers ...string) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		data, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(data)
	}
	req, err := http.NewRequestWithContext(ctx, method, r.url+path, body)
	if err != nil {
		return nil, err
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.key != "" {
		req.Header.Set("Authorization", "Bearer "+r.key)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := r.http.Do(req)
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return nil, fmt.Errorf("nothing answers at %s: is Teller running ('make run')? TELLER_API_URL names another address", r.url)
	case err != nil:
		return nil, err
	case resp.StatusCode >= 200 && resp.StatusCode < 300:
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, errorOf(resp.StatusCode, resp.Header.Get("Retry-After"), resp.Body)
}

// errorOf reads an error in the API's one shape.
func errorOf(status int, retryAfter string, body io.Reader) error {
	var shape struct {
		Error apiError `json:"error"`
	}
	data, err := io.ReadAll(io.LimitReader(body, 1<<20))
	if err == nil {
		err = json.Unmarshal(data, &shape)
	}
	if err != nil || shape.Error.Message == "" {
		return fmt.Errorf("the answer has status %d and is none of Teller's: TELLER_API_URL may name something else", status)
	}
	shape.Error.Status, shape.Error.RetryAfter = status, retryAfter
	return &shape.Error
}

// get reads a JSON answer into out.
func (r *remote) get(ctx context.Context, path string, out any) error {
	return r.json(ctx, http.MethodGet, path, nil, out)
}

// json sends in and reads the JSON answer into out, unless they are nil.
func (r *remote) json(ctx context.Context, method, path string, in, out any) error {
	resp, err := r.call(ctx, method, path, in)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if out == nil {
		return nil
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("the answer of %s is not the JSON that Teller sends: %w", r.url+path, err)
	}
	return nil
}

// modelsShown are the models as GET /models lists them.
type modelsShown struct {
	Active    string         `json:"active_model"`
	Fallbacks []string       `json:"fallbacks"`
	Split     map[string]int `json:"split,omitempty"`
	Models    []modelShown   `json:"models"`
}

type modelShown struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	Queue   string `json:"queue"`
	Active  bool   `json:"active"`
	Health  string `json:"health"`
	Code    string `json:"code,omitempty"`
	Reason  string `json:"reason,omitempty"`
	Device  string `json:"device,omitempty"`
	Version string `json:"version,omitempty"`

	Price         map[string]any `json:"price,omitempty"`
	LastBenchmark *struct {
		RunID    string   `json:"run_id"`
		Suite    string   `json:"suite"`
		EndedAt  string   `json:"ended_at"`
		Cases    int      `json:"cases"`
		Status   string   `json:"status"`
		Accuracy *float64 `json:"accuracy"`
		Latency  *float64 `json:"avg_latency_ms"`
	} `json:"last_benchmark,omitempty"`
}

// benchmarkText is the model's last benchmark in a few words.
func (m modelShown) benchmarkText() string {
	switch b := m.LastBenchmark; {
	case b == nil:
		return "-"
	case b.Accuracy == nil:
		return b.Status
	default:
		return fmt.Sprintf("%.1f%% of %d (%s)", 100**b.Accuracy, b.Cases, b.Suite)
	}
}

// modelNames lists the models for completion, within a moment that nobody notices.
func modelNames() []string {
	r, err := newRemote()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 500*time.Millisecond)
	defer cancel()
	var shown modelsShown
	if r.get(ctx, "/models", &shown) != nil {
		return nil
	}
	names := make([]string, len(shown.Models))
	for i, m := range shown.Models {
		names[i] = m.Name
	}
	return names
}

// asAPIError tells whether err is what the API said.
func asAPIError(err error, to **apiError) bool { return errors.As(err, to) }
