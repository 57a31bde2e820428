package adapters_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/adapters"
	"teller/adapters/adaptertest/geminiserver"
	"teller/adapters/adaptertest/openaiserver"
	"teller/config"
	"teller/llm"
)

func TestRegistry(t *testing.T) {
	vllmServer, err := openaiserver.Start("127.0.0.1:0", "base", "lora-a", "lora-b")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, vllmServer.Close()) })
	geminiServer, err := geminiserver.Start("127.0.0.1:0", "gemini-2.5-flash")
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, geminiServer.Close()) })
	models := []config.Model{
		{Name: "custom", Kind: config.Transformer, Path: t.TempDir()}, // a folder without weights
		{Name: "qlora", Kind: config.VLLM, BaseURL: vllmServer.URL(), Model: "lora-a"},
		{Name: "qlora-b", Kind: config.VLLM, BaseURL: vllmServer.URL(), Model: "lora-b"},
		{Name: "gemini", Kind: config.Gemini, BaseURL: geminiServer.URL(), APIKey: "k", Model: "gemini-2.5-flash"},
		{Name: "old-gemini", Kind: config.Gemini, BaseURL: geminiServer.URL(), APIKey: "k", Model: "gemini-2.5-flash", SDK: config.SDKGenerativeAIGo},
		{Name: "no-key", Kind: config.Gemini, Model: "gemini-2.5-flash"},
	}

	registry, err := adapters.New(models, config.VLLM, config.Gemini)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, registry.Close()) })
	require.Equal(t, []string{"qlora", "qlora-b", "gemini", "old-gemini", "no-key"}, registry.Names())
	for name, served := range map[string]string{
		"qlora": "lora-a", "qlora-b": "lora-b", "gemini": "gemini-2.5-flash", "old-gemini": "gemini-2.5-flash",
	} {
		model, err := registry.Model(name)
		require.NoError(t, err)
		out, err := model.Complete(t.Context(), llm.Request{Messages: []llm.Message{{Role: llm.User, Text: "What is a bank?"}}}, nil)
		require.NoError(t, err, name)
		require.Equal(t, served, out.Served)
	}

	_, err = registry.Model("custom")
	requireCode(t, err, llm.NotFound) // another worker's
	_, err = registry.Model("")
	requireCode(t, err, llm.NotFound)
	noKey, err := registry.Model("no-key")
	require.NoError(t, err, "a model without its key is listed")
	_, err = noKey.Check(t.Context())
	requireCode(t, err, llm.NotConfigured)

	all, err := adapters.New(models)
	require.NoError(t, err, "weights are loaded when they are asked for")
	require.Len(t, all.Names(), len(models))
	for range 2 {
		_, err = all.Model("custom")
		requireCode(t, err, llm.NotConfigured)
	}
	require.NoError(t, all.Close())
}

// Whoever asks first makes the model; the others wait for the same one.
func TestOneInstance(t *testing.T) {
	registry, err := adapters.New([]config.Model{{Name: "qlora", Kind: config.VLLM}})
	require.NoError(t, err)
	got := make([]llm.Model, 8)
	var group sync.WaitGroup
	for i := range got {
		group.Go(func() { got[i], _ = registry.Model("qlora") })
	}
	group.Wait()
	for _, m := range got {
		require.NotNil(t, m)
		require.Same(t, got[0], m)
	}
	require.NoError(t, registry.Close())
}

func TestRefusedConfiguration(t *testing.T) {
	for name, models := range map[string][]config.Model{
		"no name":      {{Kind: config.VLLM}},
		"twice":        {{Name: "a", Kind: config.VLLM}, {Name: "a", Kind: config.Gemini}},
		"unknown kind": {{Name: "a", Kind: "oracle"}},
		"no kind":      {{Name: "a"}},
	} {
		_, err := adapters.New(models)
		require.Error(t, err, name)
	}
}

func requireCode(t *testing.T, err error, code llm.Code) {
	t.Helper()
	var e *llm.Error
	require.True(t, errors.As(err, &e), "%v", err)
	require.Equal(t, code, e.Code)
	require.NotEmpty(t, e.Message)
}
