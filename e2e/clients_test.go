package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sashabaranov/go-openai"
	"github.com/stretchr/testify/require"

	"teller/adapters/adaptertest/fakeserver"
)

// usage is what all of the clients are told.
type usage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

const keepsMoney = "A bank keeps money safe."

// Other people's clients, as they come from their registries, work with the gateway.
func TestOpenAIsClients(t *testing.T) {
	s := newStack(t)
	s.worker()
	api := s.api()
	plain := fakeserver.Behaviour{Reply: func(r fakeserver.Request) string {
		if strings.Contains(r.Messages[len(r.Messages)-1].Text, "JSON") {
			return `{"intent":"lost_card"}`
		}
		return keepsMoney
	}}
	logProb := -0.25
	plain.LogProb = &logProb
	plain.Pause = 50 * time.Millisecond // pieces that wait for one another go out together
	beginsAnew := plain
	beginsAnew.Break, beginsAnew.Pieces, beginsAnew.Times = fakeserver.BreakReset, 2, 1
	s.vllm.Script(plain)

	t.Run("npm openai", func(t *testing.T) {
		var got struct {
			Models []string
			Model  struct{ ID string }
			Whole  struct {
				ID, Object, Model string
				Choices           []struct {
					Message      struct{ Role, Content string }
					FinishReason string `json:"finish_reason"`
					LogProbs     struct{ Content []struct{ Token string } }
				}
				Usage  usage
				Teller struct {
					TurnID string `json:"turn_id"`
				}
			}
			Streamed struct {
				Text   string
				Pieces int
				Finish string
				Usage  usage
			}
			Accumulated string
			Parsed      struct{ Intent string }
			Unsupported struct {
				Class, Code, Param string
				Status             int
			}
			Unknown struct {
				Class, Code, Param string
				Status             int
			}
		}
		node(t, "openai.mjs", api, &got)
		require.Equal(t, []string{"auto", "custom", "qlora", "gemini"}, got.Models)
		require.Equal(t, "qlora", got.Model.ID)
		require.Equal(t, "qlora", got.Whole.Model)
		require.Equal(t, "chatcmpl-"+got.Whole.Teller.TurnID, got.Whole.ID)
		require.Equal(t, keepsMoney, got.Whole.Choices[0].Message.Content)
		require.Equal(t, "stop", got.Whole.Choices[0].FinishReason)
		require.NotEmpty(t, got.Whole.Choices[0].LogProbs.Content)
		require.Positive(t, got.Whole.Usage.TotalTokens)
		require.Equal(t, keepsMoney, got.Streamed.Text)
		require.Greater(t, got.Streamed.Pieces, 1)
		require.Equal(t, "stop", got.Streamed.Finish)
		require.Equal(t, got.Whole.Usage, got.Streamed.Usage)
		require.Equal(t, keepsMoney, got.Accumulated)
		require.Equal(t, "lost_card", got.Parsed.Intent)
		require.Equal(t, "BadRequestError", got.Unsupported.Class)
		require.Equal(t, "tools", got.Unsupported.Param)
		require.Equal(t, "NotFoundError", got.Unknown.Class)
		require.Equal(t, "model_not_found", got.Unknown.Code)
	})
	t.Run("npm openai, a reply that begins anew", func(t *testing.T) {
		s.vllm.Script(beginsAnew)
		defer s.vllm.Script(plain)
		var got struct {
			Failure struct{ Class, Code, Message string }
		}
		node(t, "openai.mjs", api, &got, "reset")
		require.Equal(t, "APIError", got.Failure.Class)
		require.Equal(t, "stream_reset", got.Failure.Code)
		requireTurn(t, api, got.Failure.Message)
	})
	t.Run("npm ai", func(t *testing.T) {
		var got struct {
			Whole struct {
				Text, Finish, ID, Model string
				Usage                   struct{ TotalTokens int }
			}
			Streamed struct {
				Text, Finish string
				Pieces       int
				Usage        struct{ TotalTokens int }
				Errors       []string
			}
			Parsed  struct{ Intent string }
			Unknown struct {
				Name, Message string
				Status        int
			}
		}
		node(t, "ai.mjs", api, &got)
		require.Equal(t, keepsMoney, got.Whole.Text)
		require.Equal(t, "stop", got.Whole.Finish)
		require.Contains(t, got.Whole.ID, "chatcmpl-")
		require.Equal(t, "qlora", got.Whole.Model)
		require.Positive(t, got.Whole.Usage.TotalTokens)
		require.Empty(t, got.Streamed.Errors)
		require.Equal(t, keepsMoney, got.Streamed.Text)
		require.Greater(t, got.Streamed.Pieces, 1)
		require.Equal(t, "stop", got.Streamed.Finish)
		require.Equal(t, got.Whole.Usage, got.Streamed.Usage)
		require.Equal(t, "lost_card", got.Parsed.Intent)
		require.Equal(t, "AI_APICallError", got.Unknown.Name)
		require.Equal(t, http.StatusNotFound, got.Unknown.Status)
		require.Contains(t, got.Unknown.Message, "there is no such model")
	})
	t.Run("npm ai, a reply that begins anew", func(t *testing.T) {
		s.vllm.Script(beginsAnew)
		defer s.vllm.Script(plain)
		var got struct {
			Text   string
			Errors []string
		}
		node(t, "ai.mjs", api, &got, "reset")
		require.Len(t, got.Errors, 1)
		require.NotEqual(t, keepsMoney+keepsMoney, got.Text)
		requireTurn(t, api, got.Errors[0])
	})
	t.Run("go-openai", func(t *testing.T) {
		cfg := openai.DefaultConfig("none")
		cfg.BaseURL = api.url + "/v1"
		client := openai.NewClientWithConfig(cfg)
		ask := openai.ChatCompletionRequest{Model: "auto", Messages: []openai.ChatCompletionMessage{{Role: "user", Content: "What is a bank?"}}}
		models, err := client.ListModels(t.Context())
		require.NoError(t, err)
		require.Len(t, models.Models, 4)
		whole, err := client.CreateChatCompletion(t.Context(), ask)
		require.NoError(t, err)
		require.Equal(t, keepsMoney, whole.Choices[0].Message.Content)

		read := func() (text string, used *openai.Usage, err error) {
			stream, err := client.CreateChatCompletionStream(t.Context(), ask)
			require.NoError(t, err)
			defer stream.Close()
			for {
				chunk, err := stream.Recv()
				if errors.Is(err, io.EOF) {
					return text, used, nil
				}
				if err != nil {
					return text, used, err
				}
				if len(chunk.Choices) > 0 {
					text += chunk.Choices[0].Delta.Content
				}
				if chunk.Usage != nil {
					used = chunk.Usage
				}
			}
		}
		ask.StreamOptions = &openai.StreamOptions{IncludeUsage: true}
		text, used, err := read()
		require.NoError(t, err)
		require.Equal(t, keepsMoney, text)
		require.Equal(t, whole.Usage.TotalTokens, used.TotalTokens)

		s.vllm.Script(beginsAnew)
		defer s.vllm.Script(plain)
		text, _, err = read()
		var failed *openai.APIError
		require.ErrorAs(t, err, &failed)
		require.Equal(t, "stream_reset", failed.Code)
		require.NotContains(t, text, keepsMoney)
		requireTurn(t, api, failed.Message)

		ask.StreamOptions, ask.Tools = nil, []openai.Tool{{Type: openai.ToolTypeFunction, Function: &openai.FunctionDefinition{Name: "f"}}}
		_, err = client.CreateChatCompletion(t.Context(), ask)
		require.ErrorAs(t, err, &failed)
		require.Equal(t, http.StatusBadRequest, failed.HTTPStatusCode)
		require.Equal(t, "tools", *failed.Param)
	})
}

// node runs a script of clients/ against the API and reads what it prints.
func node(t *testing.T, script string, api *apiProc, into any, args ...string) {
	t.Helper()
	program, err := exec.LookPath("node")
	if err != nil {
		t.Skip("Node is not installed: 'make test' installs it where it may (root and apt)")
	}
	dir, err := filepath.Abs("clients")
	require.NoError(t, err)
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err != nil {
		t.Skip("the clients are not installed: 'npm ci' in e2e/clients does that, and 'make test' where it can")
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, append([]string{script}, args...)...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "BASE_URL="+api.url)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s%s", out, stderr.String())
	require.NoError(t, json.Unmarshal(out, into), "%s%s", out, stderr.String())
}

// requireTurn fetches the turn that the message of an error names: it went on although its stream could not.
func requireTurn(t *testing.T, api *apiProc, message string) {
	t.Helper()
	_, rest, _ := strings.Cut(message, "GET ")
	path, _, _ := strings.Cut(rest, " ")
	require.Contains(t, path, "/api/v1/turns/", message)
	require.Eventually(t, func() bool {
		r := api.do(context.Background(), http.MethodGet, path, nil)
		return r.status == http.StatusOK && r.chat(t).Response == keepsMoney
	}, patience, 20*time.Millisecond, "the turn is answered")
}
