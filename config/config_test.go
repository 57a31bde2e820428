package config_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teller/config"
)

func TestNothingSetStartsTheThreeModels(t *testing.T) {
	c, err := config.Parse(nil)
	require.NoError(t, err)
	require.Equal(t, "127.0.0.1:8000", c.APIAddr)
	require.Equal(t, "custom", c.ModelVersion)
	require.Equal(t, []string{"qlora", "custom"}, c.Fallbacks)
	require.Equal(t, time.Minute, c.TurnTimeout)
	require.Equal(t, []config.Model{
		{Name: "custom", Kind: config.Transformer, Device: "auto"},
		{Name: "qlora", Kind: config.VLLM, Model: "banking"},
		{Name: "gemini", Kind: config.Gemini, Model: "gemini-2.5-flash", SDK: config.SDKGenAI},
	}, c.Models)
}

func TestFurtherModelsTakeTheirKindsSettings(t *testing.T) {
	c, err := config.Parse(map[string]string{
		"VLLM_BASE_URL": "http://127.0.0.1:9000/v1",
		"VLLM_MODEL":    "adapter-a",
		"TELLER_MODELS": "qlora-b:vllm, custom.small:transformer, qlora-c:vllm",

		"VLLM_CONTEXT_TOKENS__QLORA_C": "4096",
		"VLLM_MODEL__QLORA_B":          "adapter-b",
		"VLLM_CONTEXT_TOKENS":          "8192",
		"GEMINI_CONTEXT_TOKENS":        "1048576",
		"TELLER_SPLIT":                 "qlora=80, qlora-b=20",
		"GEMINI_API_KEY":               "key",
		"TELLER_TURN_TIMEOUT":          "5s",
		"CUSTOM_MODEL_PATH":            "",
		"CUSTOM_DEVICE":                "cpu",
		"CUSTOM_DEVICE__CUSTOM_SMALL":  "opencl:1",
		"TELLER_FALLBACKS":             "gemini",
		"MODEL_VERSION":                " qlora-b ",
		"TELLER_WORKER_SLOTS":          "7",
		"CUSTOM_MODEL_PATH__X":         "ignored",
		"SOMETHING_ELSE_ENTIRELY":      "ignored",
	})
	require.NoError(t, err)
	require.Equal(t, config.Model{Name: "qlora-b", Kind: config.VLLM, BaseURL: "http://127.0.0.1:9000/v1", Model: "adapter-b", ContextTokens: 8192}, c.Models[3])
	require.Equal(t, config.Model{Name: "custom.small", Kind: config.Transformer, Device: "opencl:1"}, c.Models[4])
	require.Equal(t, 4096, c.Models[5].ContextTokens)
	require.Equal(t, 1<<20, c.Models[2].ContextTokens)
	require.Equal(t, map[string]int{"qlora": 80, "qlora-b": 20}, c.Split)
	require.Equal(t, "key", c.Models[2].APIKey)
	require.Equal(t, "qlora-b", c.ModelVersion)
}

func TestWrongValuesNameTheirVariable(t *testing.T) {
	for variable, value := range map[string]string{
		"TELLER_API_ADDR":          "8000",
		"TELLER_UI_ADDR":           "127.0.0.1:99999",
		"MODEL_VERSION":            "gpt",
		"TELLER_FALLBACKS":         "custom,gpt",
		"TELLER_SPLIT":             "custom=80,gemini=10",
		"TELLER_TURN_TIMEOUT":      "soon",
		"TELLER_CONVERSATION_IDLE": "1ms",
		"TELLER_MAX_MESSAGE_BYTES": "9999999",
		"TELLER_GPU_SLOTS":         "none",
		"TELLER_WORKER_SLOTS":      "0",
		"BENCHMARK_JUDGE":          "gpt",
		"TELLER_LOG_LEVEL":         "loud",
		"TELLER_LOG_FORMAT":        "xml",
		"TELLER_MODELS":            "a b:vllm",
		"CUSTOM_DEVICE":            "opencl:first",
		"VLLM_BASE_URL":            "ftp://host",
		"GEMINI_SDK":               "rest",
		"VLLM_CONTEXT_TOKENS":      "255",
		"GEMINI_CONTEXT_TOKENS":    "1M",
	} {
		t.Run(variable, func(t *testing.T) {
			_, err := config.Parse(map[string]string{variable: value})
			require.ErrorContains(t, err, variable+":")
		})
	}
	t.Run("of one model", func(t *testing.T) {
		_, err := config.Parse(map[string]string{"TELLER_MODELS": "qlora-b:vllm", "VLLM_CONTEXT_TOKENS__QLORA_B": "many"})
		require.ErrorContains(t, err, `VLLM_CONTEXT_TOKENS: the window of model "qlora-b"`)
	})
	t.Run("the route's name", func(t *testing.T) {
		_, err := config.Parse(map[string]string{"TELLER_MODELS": "auto:vllm"})
		require.ErrorContains(t, err, "TELLER_MODELS:")
	})
	t.Run("all at once", func(t *testing.T) {
		_, err := config.Parse(map[string]string{"TELLER_LOG_LEVEL": "loud", "TELLER_GPU_SLOTS": "x", "MODEL_VERSION": "y"})
		for _, variable := range []string{"TELLER_LOG_LEVEL", "TELLER_GPU_SLOTS", "MODEL_VERSION"} {
			require.ErrorContains(t, err, variable+":")
		}
	})
}
