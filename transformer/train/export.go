package train

import (
	"fmt"

	"teller/transformer"
	"teller/transformer/safetensors"
)

// export cuts the flat parameters into the tensors of a Hugging Face Llama, in bfloat16: at this size the rounding costs no
// accuracy that one can measure, and the file is half as large.
func export(c transformer.Config, params []parameter, flat []float32) ([]safetensors.Tensor, error) {
	byName := map[string][]float32{}
	for _, p := range params {
		byName[p.name] = p.view(flat)
	}
	values := map[string][]float32{
		"model.embed_tokens.weight": byName["embed"],
		"model.norm.weight":         byName["norm"],
	}
	if c.Ngrams != nil {
		values["teller.ngrams.weight"], values["teller.ngrams_proj.weight"] = byName["ngrams"], byName["ngrams_proj"]
	}
	h := headsOf(c)
	for i := range c.NumHiddenLayers {
		from, to := fmt.Sprintf("layers.%d.", i), fmt.Sprintf("model.layers.%d.", i)
		q, kv := h.query*h.dim*c.HiddenSize, h.kv*h.dim*c.HiddenSize
		qkv, gateUp, half := byName[from+"qkv"], byName[from+"gate_up"], c.IntermediateSize*c.HiddenSize
		for name, v := range map[string][]float32{
			"input_layernorm": byName[from+"attention_norm"], "post_attention_layernorm": byName[from+"mlp_norm"],
			"self_attn.q_proj": qkv[:q], "self_attn.k_proj": qkv[q : q+kv], "self_attn.v_proj": qkv[q+kv:],
			"self_attn.o_proj": byName[from+"o"],
			"mlp.gate_proj":    gateUp[:half], "mlp.up_proj": gateUp[half:], "mlp.down_proj": byName[from+"down"],
		} {
			values[to+name+".weight"] = v
		}
	}
	var tensors []safetensors.Tensor
	for _, spec := range c.Tensors() {
		t, err := safetensors.New(spec.Name, safetensors.BF16, spec.Shape, values[spec.Name])
		if err != nil {
			return nil, err
		}
		tensors = append(tensors, t)
	}
	return tensors, nil
}
