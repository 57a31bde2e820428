package transformer_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/transformer"
	"teller/transformer/transformertest"
)

func TestConfigKeepsHuggingFaceKeys(t *testing.T) {
	cfg := transformertest.Config()
	data, err := json.Marshal(cfg)
	require.NoError(t, err)
	for _, key := range []string{
		"architectures", "model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers",
		"num_attention_heads", "num_key_value_heads", "head_dim", "max_position_embeddings", "rms_norm_eps",
		"rope_theta", "tie_word_embeddings", "bos_token_id", "eos_token_id",
	} {
		require.Contains(t, string(data), `"`+key+`":`)
	}
	again, err := transformer.ParseConfig(data)
	require.NoError(t, err)
	require.Equal(t, cfg, again)

	again, err = transformer.ParseConfig([]byte(strings.Replace(string(data), `"head_dim":12`, `"torch_dtype":"float32","hidden_act":"silu","rope_scaling":null`, 1)))
	require.NoError(t, err)
	require.Equal(t, 12, again.HeadDim, "hidden_size / num_attention_heads unless the file says")
}

func TestParseConfigRefuses(t *testing.T) {
	good, err := json.Marshal(transformertest.Config())
	require.NoError(t, err)
	for _, c := range []struct{ name, old, new, want string }{
		{"truncated", `"}`, ``, "unexpected end"},
		{"text for a number", `"hidden_size":48`, `"hidden_size":"48"`, "hidden_size"},
		{"another architecture", `"model_type":"llama"`, `"model_type":"gpt2"`, "gpt2"},
		{"another activation", `"model_type"`, `"hidden_act":"gelu","model_type"`, "gelu"},
		{"biases", `"model_type"`, `"attention_bias":true,"model_type"`, "bias"},
		{"scaled RoPE", `"model_type"`, `"rope_scaling":{"type":"llama3"},"model_type"`, "rope_scaling"},
		{"no size", `"hidden_size":48`, `"hidden_size":0`, "hidden_size is 0"},
		{"absurd size", `"hidden_size":48`, `"hidden_size":9000000000000000000`, "hidden_size"},
		{"negative layers", `"num_hidden_layers":2`, `"num_hidden_layers":-2`, "num_hidden_layers"},
		{"absurd window", `"max_position_embeddings":128`, `"max_position_embeddings":1000000`, "max_position_embeddings"},
		{"heads that do not share evenly", `"num_key_value_heads":2`, `"num_key_value_heads":3`, "multiple"},
		{"odd head", `"head_dim":12`, `"head_dim":13`, "even"},
		{"no epsilon", `"rms_norm_eps":0.00001`, `"rms_norm_eps":0`, "rms_norm_eps"},
		{"no theta", `"rope_theta":10000`, `"rope_theta":0`, "rope_theta"},
		{"a head of its own", `"tie_word_embeddings":true`, `"tie_word_embeddings":false`, "tie_word_embeddings"},
		{"an end outside", `"eos_token_id":2`, `"eos_token_id":280`, "eos_token_id"},
		{"a begin outside", `"bos_token_id":1`, `"bos_token_id":-1`, "bos_token_id"},
		{"too many parameters", `"hidden_size":48,"intermediate_size":96,"num_hidden_layers":2`,
			`"hidden_size":131072,"intermediate_size":131072,"num_hidden_layers":1024`, "parameters"},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := string(good)
			if c.name == "truncated" {
				data = data[:len(data)/2]
			} else {
				require.Contains(t, data, c.old)
				data = strings.Replace(data, c.old, c.new, 1)
			}
			_, err := transformer.ParseConfig([]byte(data))
			require.ErrorContains(t, err, c.want)
		})
	}
	cfg := transformertest.Config()
	cfg.RMSNormEps = math.NaN()
	require.ErrorContains(t, cfg.Validate(), "rms_norm_eps")
}

func TestConfigCountsParameters(t *testing.T) {
	cfg := transformertest.Config()
	sum := 0
	for _, spec := range cfg.Tensors() {
		n := 1
		for _, extent := range spec.Shape {
			n *= extent
		}
		sum += n
	}
	require.Equal(t, sum, cfg.Parameters())
}
