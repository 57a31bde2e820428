package weights

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"teller/transformer/gguf"
	"teller/transformer/safetensors"
)

// The model of these tests: two layers, four query heads of 8 over two key and value heads.
var config = map[string]any{
	"model_type": "llama", "vocab_size": 40, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
	"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128, "rms_norm_eps": 1e-5, "tie_word_embeddings": false,
}

var small = Architecture{Vocab: 40, Hidden: 32, Intermediate: 64, NumLayers: 2, Heads: 4, KVHeads: 2, HeadDim: 8, Context: 128, RMSEps: 1e-5,
	Rope: Rope{Pairing: Halves, Theta: 10000, Factor: 1}}

// shapes lists the small model's tensors under the names of one format.
func shapes(n names) map[string][]int {
	m := &Model{Architecture: small}
	out := map[string][]int{}
	for _, s := range m.specs(n) {
		out[s.name] = s.shape
	}
	return out
}

func filled(shape []int) []float32 {
	n := 1
	for _, e := range shape {
		n *= e
	}
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(i % 13)
	}
	return out
}

func encoded(t testing.TB, v any) []byte {
	t.Helper()
	data, err := json.Marshal(v)
	require.NoError(t, err)
	return data
}

// stored makes a safetensors file of named shapes.
func stored(t testing.TB, shapes map[string][]int) []byte {
	t.Helper()
	var tensors []safetensors.Tensor
	for name, shape := range shapes {
		tensor, err := safetensors.New(name, safetensors.BF16, shape, filled(shape))
		require.NoError(t, err)
		tensors = append(tensors, tensor)
	}
	var out bytes.Buffer
	require.NoError(t, safetensors.Write(&out, tensors, nil))
	return out.Bytes()
}

// folder is a Hugging Face folder; change alters its configuration and its tensors.
func folder(t testing.TB, change func(config map[string]any, shapes map[string][]int)) fstest.MapFS {
	t.Helper()
	c, s := maps.Clone(config), shapes(huggingFaceNames)
	if change != nil {
		change(c, s)
	}
	return fstest.MapFS{configFile: {Data: encoded(t, c)}, weightsFile: {Data: stored(t, s)}}
}

func TestHuggingFace(t *testing.T) {
	m, err := OpenFS(folder(t, nil))
	require.NoError(t, err)
	require.Equal(t, small, m.Architecture)
	require.Len(t, m.Layers, 2)
	require.Equal(t, []int{16, 32}, m.Layers[1].K.Shape)
	require.Equal(t, []int{32, 64}, m.Layers[0].Down.Shape)
	require.Equal(t, "lm_head.weight", m.Head.Name)
	require.Equal(t, filled([]int{40, 32}), m.Head.Float32s())
	require.Equal(t, 2*40*32+2*(2*6*8*32+3*64*32+2*32)+32, m.Parameters())
	require.Equal(t, 2*m.Parameters(), m.Bytes())
	require.Len(t, m.Fingerprint(), 64)

	t.Run("a tied head", func(t *testing.T) {
		for _, held := range []bool{false, true} {
			m, err := OpenFS(folder(t, func(c map[string]any, s map[string][]int) {
				c["tie_word_embeddings"] = true
				if !held {
					delete(s, "lm_head.weight")
				}
			}))
			require.NoError(t, err)
			require.True(t, m.TiedHead)
			require.Equal(t, m.Embedding, m.Head)
		}
	})
	t.Run("a head size of its own, a window, frequencies of old files", func(t *testing.T) {
		m, err := OpenFS(folder(t, func(c map[string]any, s map[string][]int) {
			c["model_type"], c["head_dim"], c["sliding_window"] = "mistral", 16, 64
			for name, shape := range s {
				switch {
				case bytes.HasSuffix([]byte(name), []byte("o_proj.weight")):
					shape[1] = 64
				case bytes.HasSuffix([]byte(name), []byte("q_proj.weight")):
					shape[0] = 64
				case bytes.HasSuffix([]byte(name), []byte("k_proj.weight")), bytes.HasSuffix([]byte(name), []byte("v_proj.weight")):
					shape[0] = 32
				}
			}
			s["model.layers.0.self_attn.rotary_emb.inv_freq"] = []int{8}
		}))
		require.NoError(t, err)
		require.Equal(t, 16, m.HeadDim)
		require.Equal(t, 64, m.Context)
	})
	t.Run("n-grams", func(t *testing.T) {
		m, err := OpenFS(folder(t, func(c map[string]any, s map[string][]int) {
			c["ngrams"] = map[string]int{"rows": 50, "dim": 6}
			s["teller.ngrams.weight"], s["teller.ngrams_proj.weight"] = []int{50, 6}, []int{32, 6}
		}))
		require.NoError(t, err)
		require.JSONEq(t, `{"rows":50,"dim":6}`, string(m.Ngrams.Config))
		require.Equal(t, []int{50, 6}, m.Ngrams.Table.Shape)
	})
}

func TestHuggingFaceRefuses(t *testing.T) {
	set := func(key string, value any) func(map[string]any, map[string][]int) {
		return func(c map[string]any, _ map[string][]int) { c[key] = value }
	}
	for _, c := range []struct {
		name   string
		change func(map[string]any, map[string][]int)
		want   string
	}{
		{"another family", set("model_type", "gpt2"), `model_type "gpt2"`},
		{"another activation", set("hidden_act", "gelu"), "hidden_act"},
		{"biases", set("attention_bias", true), "attention_bias"},
		{"quantised weights", set("quantization_config", map[string]any{"bits": 4}), "quantization_config"},
		{"part of RoPE", set("partial_rotary_factor", 0.5), "partial_rotary_factor"},
		{"YaRN", set("rope_scaling", map[string]any{"rope_type": "yarn", "factor": 4}), "yarn"},
		{"no layers", set("num_hidden_layers", 0), "layers is 0"},
		{"2^40 layers", set("num_hidden_layers", 1<<40), "layers"},
		{"more layers than tensors", set("num_hidden_layers", 1000), "do not fit"},
		{"a vocabulary of 2^40", set("vocab_size", 1<<40), "vocabulary"},
		{"negative sizes", set("hidden_size", -32), "hidden size is -32"},
		{"no heads", set("num_attention_heads", 0), "query heads is 0"},
		{"heads that do not divide", set("num_key_value_heads", 3), "not a multiple"},
		{"an odd head", set("head_dim", 7), "even"},
		{"an epsilon of 0", set("rms_norm_eps", 0), "epsilon"},
		{"theta of 0", set("rope_theta", 0), "theta"},
		{"a context of 0", set("max_position_embeddings", 0), "context"},
		{"text for a number", set("vocab_size", "40"), "vocab_size"},
		{"llama3 without factors", set("rope_scaling", map[string]any{"rope_type": "llama3"}), "llama3 factor"},
		{"another width", set("intermediate_size", 96), "must be"},
		{"a missing tensor", func(_ map[string]any, s map[string][]int) { delete(s, "model.norm.weight") }, `"model.norm.weight" is missing`},
		{"an extra tensor", func(_ map[string]any, s map[string][]int) { s["model.extra.weight"] = []int{1} }, `"model.extra.weight" is not part`},
		{"a bias", func(_ map[string]any, s map[string][]int) { s["model.layers.0.self_attn.q_proj.bias"] = []int{32} }, "biases"},
		{"an extra layer", func(_ map[string]any, s map[string][]int) { s["model.layers.2.mlp.up_proj.weight"] = []int{64, 32} }, "not part"},
		{"a shape", func(_ map[string]any, s map[string][]int) { s["model.norm.weight"] = []int{33} }, "must be [32]"},
		{"a matrix on its side", func(_ map[string]any, s map[string][]int) { s["model.layers.0.mlp.up_proj.weight"] = []int{32, 64} }, "must be [64 32]"},
		{"n-grams that do not fit", func(c map[string]any, s map[string][]int) {
			c["ngrams"] = map[string]int{}
			s["teller.ngrams.weight"], s["teller.ngrams_proj.weight"] = []int{50, 6}, []int{32, 7}
		}, "n-grams"},
		{"a checksum", set("weights_sha256", "00"), "SHA-256"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, err := OpenFS(folder(t, c.change))
			require.ErrorContains(t, err, c.want)
			require.Nil(t, m)
		})
	}
	t.Run("no config", func(t *testing.T) {
		_, err := OpenFS(fstest.MapFS{})
		require.ErrorContains(t, err, configFile)
	})
	t.Run("no weights", func(t *testing.T) {
		dir := folder(t, nil)
		delete(dir, weightsFile)
		_, err := OpenFS(dir)
		require.ErrorContains(t, err, "neither")
	})
	t.Run("not a number", func(t *testing.T) {
		dir := folder(t, nil)
		data := dir[weightsFile].Data
		data[len(data)-1], data[len(data)-2] = 0x7f, 0xc0
		_, err := OpenFS(dir)
		require.ErrorContains(t, err, "NaN")
	})
}

// sharded cuts the small model into two files with an index.
func sharded(t testing.TB, change func(index map[string]string)) fstest.MapFS {
	t.Helper()
	dir := folder(t, nil)
	delete(dir, weightsFile)
	parts := [2]map[string][]int{{}, {}}
	index := map[string]string{}
	for i, name := range slices.Sorted(maps.Keys(shapes(huggingFaceNames))) {
		parts[i%2][name] = shapes(huggingFaceNames)[name]
		index[name] = fmt.Sprintf("model-%d.safetensors", i%2)
	}
	for i, part := range parts {
		dir[fmt.Sprintf("model-%d.safetensors", i)] = &fstest.MapFile{Data: stored(t, part)}
	}
	if change != nil {
		change(index)
	}
	dir[indexFile] = &fstest.MapFile{Data: encoded(t, map[string]any{"metadata": map[string]int{"total_size": 1}, "weight_map": index})}
	return dir
}

func TestShards(t *testing.T) {
	m, err := OpenFS(sharded(t, nil))
	require.NoError(t, err)
	whole, err := OpenFS(folder(t, nil))
	require.NoError(t, err)
	require.Equal(t, whole.Fingerprint(), m.Fingerprint())
	for _, c := range []struct {
		name   string
		change func(map[string]string)
		want   string
	}{
		{"a path", func(i map[string]string) { i["model.norm.weight"] = "../model-0.safetensors" }, "no name of a file in the folder"},
		{"another kind of file", func(i map[string]string) { i["model.norm.weight"] = configFile }, "no name of a file in the folder"},
		{"an absent file", func(i map[string]string) {
			for name, shard := range i {
				if shard == "model-1.safetensors" {
					i[name] = "model-9.safetensors"
				}
			}
		}, "model-9.safetensors"},
		{"a tensor that is nowhere", func(i map[string]string) { i["model.nowhere"] = "model-0.safetensors" }, "says"},
		{"a tensor that the index lacks", func(i map[string]string) { delete(i, "model.norm.weight") }, "does not stand there"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := OpenFS(sharded(t, c.change))
			require.ErrorContains(t, err, c.want)
		})
	}
	for name, index := range map[string]string{
		"a name twice": `{"weight_map":{"a":"x.safetensors","a":"y.safetensors"}}`, "no map": `{}`, "a list": `{"weight_map":[]}`, "a number": `{"weight_map":{"a":1}}`,
	} {
		t.Run(name, func(t *testing.T) {
			dir := sharded(t, nil)
			dir[indexFile].Data = []byte(index)
			_, err := OpenFS(dir)
			require.ErrorContains(t, err, "weight_map")
		})
	}
}

// ggufFile is the small model as GGUF; change alters its metadata and its tensors.
func ggufFile(t testing.TB, kind gguf.Type, change func(entries map[string]gguf.Value, shapes map[string][]int)) []byte {
	t.Helper()
	entries := map[string]gguf.Value{
		"general.architecture": "llama", "llama.vocab_size": uint32(40), "llama.embedding_length": uint32(32), "llama.feed_forward_length": uint32(64),
		"llama.block_count": uint32(2), "llama.attention.head_count": uint32(4), "llama.attention.head_count_kv": uint32(2), "llama.context_length": uint32(128),
		"llama.attention.layer_norm_rms_epsilon": float32(1e-5),
	}
	shapes := shapes(ggufNames)
	if change != nil {
		change(entries, shapes)
	}
	var list []gguf.KV
	for _, key := range slices.Sorted(maps.Keys(entries)) {
		list = append(list, gguf.KV{Key: key, Value: entries[key]})
	}
	metadata, err := gguf.NewMetadata(list)
	require.NoError(t, err)
	var tensors []gguf.Pending
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		to := kind
		if len(shapes[name]) == 1 {
			to = gguf.F32
		}
		tensors = append(tensors, gguf.Pending{Name: name, Type: to, Shape: shapes[name], Data: func() ([]byte, error) { return gguf.Encode(to, nil, filled(shapes[name])) }})
	}
	var out bytes.Buffer
	require.NoError(t, gguf.Write(&out, metadata, tensors))
	return out.Bytes()
}

func written(t testing.TB, name string, data []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, data, 0o600))
	return path
}

func TestGGUF(t *testing.T) {
	for _, kind := range []gguf.Type{gguf.F32, gguf.F16, gguf.BF16, gguf.Q8_0} {
		m, err := Open(written(t, "x.gguf", ggufFile(t, kind, nil)))
		require.NoError(t, err)
		want := small
		want.Rope.Pairing = Neighbours
		want.RMSEps = float64(float32(1e-5))
		require.Equal(t, want, m.Architecture)
		require.Equal(t, kind, m.Layers[1].Down.Type)
		require.Equal(t, []int{32, 64}, m.Layers[1].Down.Shape)
		require.NoError(t, m.Close())
		require.NoError(t, m.Close(), "closing twice is closing once")
	}
	t.Run("a tied head, scaled RoPE, numbers for each layer", func(t *testing.T) {
		m, err := Open(written(t, "x.gguf", ggufFile(t, gguf.F32, func(e map[string]gguf.Value, s map[string][]int) {
			delete(s, "output.weight")
			delete(e, "llama.vocab_size")
			s[ropeDivisors] = []int{4}
			e["llama.rope.scaling.type"], e["llama.rope.scaling.factor"] = "linear", float32(2)
			e["llama.attention.head_count_kv"] = []int32{2, 2}
		})))
		require.ErrorContains(t, err, "divisor 0 is 0", "the test's numbers start at 0")
		require.Nil(t, m)
		m, err = Open(written(t, "x.gguf", ggufFile(t, gguf.F32, func(e map[string]gguf.Value, s map[string][]int) {
			delete(s, "output.weight")
			delete(e, "llama.vocab_size")
			e["llama.rope.scaling.type"], e["llama.rope.scaling.factor"] = "linear", float32(2)
			e["llama.attention.head_count_kv"] = []int32{2, 2}
		})))
		require.NoError(t, err)
		require.True(t, m.TiedHead)
		require.Equal(t, 2.0, m.Rope.Factor)
		require.InDelta(t, 0.5, m.Frequencies()[0], 0)
		require.NoError(t, m.Close())
	})
}

func TestGGUFRefuses(t *testing.T) {
	set := func(key string, value gguf.Value) func(map[string]gguf.Value, map[string][]int) {
		return func(e map[string]gguf.Value, _ map[string][]int) { e[key] = value }
	}
	for _, c := range []struct {
		name   string
		change func(map[string]gguf.Value, map[string][]int)
		want   string
	}{
		{"another family", set("general.architecture", "qwen2"), `"qwen2"`},
		{"no family", func(e map[string]gguf.Value, _ map[string][]int) { delete(e, "general.architecture") }, "architecture"},
		{"experts", set("llama.expert_count", uint32(8)), "mixture"},
		{"splits", set("split.count", uint16(2)), "splits"},
		{"YaRN", set("llama.rope.scaling.type", "yarn"), "yarn"},
		{"part of RoPE", set("llama.rope.dimension_count", uint32(4)), "only equal ones"},
		{"text for a number", set("llama.block_count", "2"), "llama.block_count"},
		{"layers that differ", set("llama.attention.head_count_kv", []int32{2, 1}), "differs between layers"},
		{"no layers", set("llama.block_count", uint32(0)), "layers is 0"},
		{"2^32-1 layers", set("llama.block_count", uint32(math.MaxUint32)), "layers"},
		{"an epsilon that is no number", set("llama.attention.layer_norm_rms_epsilon", float32(math.NaN())), "epsilon"},
		{"theta that is infinite", set("llama.rope.freq_base", float32(math.Inf(1))), "theta"},
		{"another vocabulary", set("llama.vocab_size", uint32(41)), "must be [41 32]"},
		{"a missing tensor", func(_ map[string]gguf.Value, s map[string][]int) { delete(s, "blk.1.ffn_up.weight") }, `"blk.1.ffn_up.weight" is missing`},
		{"an extra tensor", func(_ map[string]gguf.Value, s map[string][]int) { s["blk.0.x"] = []int{1} }, "not part"},
		{"divisors of another size", func(_ map[string]gguf.Value, s map[string][]int) { s[ropeDivisors] = []int{5} }, "must be F32 [4]"},
		{"no embedding", func(_ map[string]gguf.Value, s map[string][]int) { delete(s, "token_embd.weight") }, "token_embd.weight"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Open(written(t, "x.gguf", ggufFile(t, gguf.F32, c.change)))
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestOpenFinds(t *testing.T) {
	data := ggufFile(t, gguf.F32, nil)
	dir := filepath.Dir(written(t, "x.gguf", data))
	m, err := Open(dir)
	require.NoError(t, err)
	require.NotNil(t, m.GGUF)
	require.NoError(t, m.Close())
	require.NoError(t, os.WriteFile(filepath.Join(dir, "y.GGUF"), data, 0o600))
	_, err = Open(dir)
	require.ErrorContains(t, err, "name one")
	_, err = Open(t.TempDir())
	require.ErrorContains(t, err, "neither")
	_, err = Open(filepath.Join(dir, "absent"))
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Open(written(t, "empty.gguf", nil))
	require.ErrorContains(t, err, "does not start with GGUF")
	_, err = Open(os.DevNull)
	require.ErrorContains(t, err, "not a regular file")

	shards := t.TempDir()
	for name, f := range sharded(t, nil) {
		require.NoError(t, os.WriteFile(filepath.Join(shards, name), f.Data, 0o600))
	}
	m, err = Open(shards)
	require.NoError(t, err)
	require.Equal(t, filled([]int{40, 32}), m.Embedding.Float32s())
	require.NoError(t, m.Close())
}

// A file may claim any architecture; what is allocated follows the file.
func TestAllocatesLittle(t *testing.T) {
	data := ggufFile(t, gguf.Q8_0, func(e map[string]gguf.Value, _ map[string][]int) { e["llama.block_count"] = uint32(1000) })
	path := written(t, "x.gguf", data)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Open(path)
	runtime.ReadMemStats(&after)
	require.ErrorContains(t, err, "do not fit")
	require.Less(t, after.TotalAlloc-before.TotalAlloc, 4*uint64(len(data)))
}

func FuzzGGUF(f *testing.F) {
	f.Add(ggufFile(f, gguf.Q8_0, nil))
	f.Add(ggufFile(f, gguf.F32, func(e map[string]gguf.Value, s map[string][]int) {
		s[ropeDivisors] = []int{4}
		e["llama.attention.head_count"] = []uint32{4, 4}
	}))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := openGGUF(mapped{data: data, close: func() error { return nil }})
		if err == nil && len(m.Frequencies()) != m.HeadDim/2 {
			t.Fatal("frequencies")
		}
	})
}

func FuzzConfig(f *testing.F) {
	f.Add(encoded(f, config))
	f.Add([]byte(`{"model_type":"llama","rope_scaling":{"rope_type":"llama3","factor":8,"low_freq_factor":1,"high_freq_factor":4,"original_max_position_embeddings":8192}}`))
	dir := folder(f, nil)
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = OpenFS(fstest.MapFS{configFile: {Data: data}, weightsFile: dir[weightsFile]})
		_, _ = parseIndex(data)
	})
}
