package vllm_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"teller/adapters/adaptertest"
	"teller/adapters/adaptertest/openaiserver"
	"teller/adapters/vllm"
	"teller/config"
	"teller/llm"
)

const key = "CANARYKEY-7c1d"

func TestConformance(t *testing.T) {
	adaptertest.Run(t, adaptertest.Harness{New: func(t *testing.T) adaptertest.Subject {
		server, err := openaiserver.Start("127.0.0.1:0", "base", "banking")
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, server.Close()) })
		server.SetKey(key)
		model := vllm.New(config.Model{Kind: config.VLLM, BaseURL: server.URL(), APIKey: key, Model: "banking"})
		t.Cleanup(func() { require.NoError(t, model.Close()) })
		return adaptertest.Subject{Model: model, Provider: server.Server, Secret: key}
	}})
}

var question = llm.Request{Messages: []llm.Message{{Role: llm.User, Text: "What is a bank?"}}}
