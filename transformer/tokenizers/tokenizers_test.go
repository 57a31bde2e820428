package tokenizers

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"teller/transformer/gguf"
)

// odd texts: white space of all kinds, digits, scripts, control tokens spelled out, bytes that are no UTF-8.
var odd = []string{
	"", " ", "  ", "a", " a", "a ", "  a  b  ", "low lower lowest", "the\n\n\tend\r\n", "12345 6", "Äpfel 北京 👩‍💻", "<s></s><unk> <0x41>", "▁ ▁▁",
	"\u00a0\u3000x", "\x00\xff\xfe", "a<|x|>b", strings.Repeat("lower ", 50), strings.Repeat(" ", 100),
}

// sentencePiece is a small vocabulary of SentencePiece's kind: special tokens, bytes, runes, and pieces in the order of their merges.
func sentencePiece() (tokens []string, pieces []string) {
	tokens = []string{"<unk>", "<s>", "</s>"}
	for b := range 256 {
		tokens = append(tokens, fmt.Sprintf("<0x%02X>", b))
	}
	pieces = []string{"▁l", "ow", "er", "▁low", "▁▁", "es", "est", "▁t", "he", "▁the", "lo", "▁lower", "▁▁▁▁"}
	tokens = append(tokens, pieces...)
	for _, r := range "▁lowerstandh<>/" {
		tokens = append(tokens, string(r))
	}
	seen := map[string]bool{}
	kept := tokens[:0]
	for _, token := range tokens {
		if !seen[token] {
			kept = append(kept, token)
		}
		seen[token] = true
	}
	return kept, pieces
}

func sentencePieceJSON(t testing.TB, change func(map[string]any)) []byte {
	t.Helper()
	tokens, pieces := sentencePiece()
	vocab := map[string]int{}
	for id, token := range tokens {
		vocab[token] = id
	}
	var merges []string
	for _, piece := range pieces { // every cut of a piece, as conversions from SentencePiece write them
		for cut := range piece {
			left, right := piece[:cut], piece[cut:]
			_, okLeft := vocab[left]
			if _, okRight := vocab[right]; okLeft && okRight {
				merges = append(merges, left+" "+right)
			}
		}
	}
	var added []any
	for id, token := range tokens[:3] {
		added = append(added, map[string]any{"id": id, "content": token, "special": true})
	}
	file := map[string]any{
		"added_tokens": added,
		"normalizer": map[string]any{"type": "Sequence", "normalizers": []any{
			map[string]any{"type": "Prepend", "prepend": "▁"},
			map[string]any{"type": "Replace", "pattern": map[string]any{"String": " "}, "content": "▁"},
		}},
		"post_processor": map[string]any{"type": "TemplateProcessing", "single": []any{
			map[string]any{"SpecialToken": map[string]any{"id": "<s>"}}, map[string]any{"Sequence": map[string]any{"id": "A"}},
		}},
		"decoder": map[string]any{"type": "Sequence", "decoders": []any{map[string]any{"type": "ByteFallback"}}},
		"model":   map[string]any{"type": "BPE", "unk_token": "<unk>", "fuse_unk": true, "byte_fallback": true, "vocab": vocab, "merges": merges},
	}
	if change != nil {
		change(file)
	}
	data, err := json.Marshal(file)
	require.NoError(t, err)
	return data
}

func sentencePieceGGUF(t testing.TB, change func(map[string]gguf.Value)) *gguf.Metadata {
	t.Helper()
	tokens, pieces := sentencePiece()
	scores, types := make([]float32, len(tokens)), make([]int32, len(tokens))
	for id := range tokens {
		scores[id], types[id] = -1000, int32(Normal)
		switch {
		case id == 0:
			types[id] = int32(Unknown)
		case id < 3:
			types[id], scores[id] = int32(Control), 0
		case id < 3+256:
			types[id] = int32(Byte)
		}
		for rank, piece := range pieces {
			if piece == tokens[id] {
				scores[id] = -float32(rank)
			}
		}
	}
	entries := map[string]gguf.Value{
		keyModel: "llama", keyTokens: tokens, keyScores: scores, keyTypes: types, keyBOS: uint32(1), keyEOS: uint32(2), keyUnknown: uint32(0),
	}
	if change != nil {
		change(entries)
	}
	return metadata(t, entries)
}

func metadata(t testing.TB, entries map[string]gguf.Value) *gguf.Metadata {
	t.Helper()
	var list []gguf.KV
	for key, value := range entries {
		list = append(list, gguf.KV{Key: key, Value: value})
	}
	md, err := gguf.NewMetadata(list)
	require.NoError(t, err)
	return md
}

// spelled gives the tokens of ids as the file spells them, and bytes as hex.
func spelled(t *Tokenizer, ids []int) string {
	var out []string
	for _, id := range ids {
		out = append(out, t.Spelled(id))
	}
	return strings.Join(out, "|")
}

func TestSentencePiece(t *testing.T) {
	hf, err := FromJSON(sentencePieceJSON(t, nil), Special{EOS: "</s>"})
	require.NoError(t, err)
	file, err := FromGGUF(sentencePieceGGUF(t, nil))
	require.NoError(t, err)
	written, err := hf.Metadata(hf.VocabSize() + 5)
	require.NoError(t, err)
	md, err := gguf.NewMetadata(written)
	require.NoError(t, err)
	again, err := FromGGUF(md)
	require.NoError(t, err)
	require.Equal(t, hf.VocabSize()+5, again.VocabSize())

	for text, want := range map[string]string{
		"low":          "▁low",
		"lower lowest": "▁lower|▁low|est",
		"  the":        "▁▁|▁the", // the prefix makes three spaces
		"é":            "▁|<0xC3>|<0xA9>",
		"x\ny":         "▁|<0x78>|<0x0A>|<0x79>",
		"</s>":         "▁|<|/|s|>",
		"<0x41>":       "▁|<|<0x30>|<0x78>|<0x34>|<0x31>|>",
		"\xff":         "▁|<0xFF>",
		"wer":          "▁|w|er",
	} {
		require.Equal(t, want, spelled(hf, hf.Encode(text)), "%q", text)
	}
	for _, text := range odd {
		ids := hf.Encode(text)
		require.Equal(t, ids, file.Encode(text), "%q", text)
		require.Equal(t, ids, again.Encode(text), "%q", text)
		require.Equal(t, strings.ReplaceAll(text, metaspace, " "), hf.Decode(ids), "%q", text)
		require.Equal(t, hf.EncodePrompt(text, 0), file.EncodePrompt(text, 0))
		require.Equal(t, hf.EncodeDocument(text), file.EncodeDocument(text))
	}
	require.Equal(t, "<s>|▁low", spelled(hf, hf.EncodeDocument("low")))
	require.Equal(t, "<s>|▁low|</s>|▁low", spelled(hf, hf.EncodePrompt("<s>low</s>low", 0)))
	bos, ok := hf.BOS()
	require.True(t, ok)
	require.Equal(t, 1, bos)
	require.Equal(t, []string{"<unk>", "<s>", "</s>"}, hf.ControlTokens())
}

func TestMetaspace(t *testing.T) {
	with := func(scheme string, split bool) *Tokenizer {
		tokenizer, err := FromJSON(sentencePieceJSON(t, func(f map[string]any) {
			f["normalizer"] = nil
			f["pre_tokenizer"] = map[string]any{"type": "Metaspace", "replacement": "▁", "prepend_scheme": scheme, "split": split}
		}), Special{})
		require.NoError(t, err)
		return tokenizer
	}
	require.Equal(t, "▁low|</s>|low|▁low", splitTokens(with("first", false), "low</s>low low"))
	require.Equal(t, "▁low|</s>|▁low|▁low", splitTokens(with("always", false), "low</s>low low"))
	require.Equal(t, "low|</s>|low", splitTokens(with("never", false), "low</s>low"))
	require.Equal(t, "▁low", splitTokens(with("always", false), " low"), "a text that starts with a space gets no other")
	require.Equal(t, "▁▁", splitTokens(with("always", false), "  "))
	require.Equal(t, "▁|▁", splitTokens(with("always", true), "  "), "no merge crosses a space")
}

// splitTokens is spelled, with "low" for what merging makes of it without a space before.
func splitTokens(t *Tokenizer, text string) string {
	return strings.ReplaceAll(spelled(t, t.EncodePrompt(text, 0)), "l|ow", "low")
}

// byteLevel is a small tokenizer of GPT-2's kind.
func byteLevelJSON(t testing.TB, change func(map[string]any)) []byte {
	t.Helper()
	vocab := map[string]int{}
	add := func(token string) {
		if _, ok := vocab[token]; !ok {
			vocab[token] = len(vocab)
		}
	}
	for b := range 256 {
		add(spellByte(byte(b)))
	}
	merges := []string{"l o", "lo w", "Ġ low", "e r", "Ġlow er", "Ġ t", "h e", "Ġt he", "1 2", "12 3", "Ġ Ġ"}
	for _, m := range merges {
		add(strings.ReplaceAll(m, " ", ""))
	}
	file := map[string]any{
		"added_tokens": []any{
			map[string]any{"id": len(vocab), "content": "<|end|>", "special": true},
			map[string]any{"id": len(vocab) + 1, "content": "<tool>", "special": false},
			map[string]any{"id": len(vocab) + 2, "content": "<|strip|>", "special": true, "lstrip": true, "rstrip": true},
		},
		"pre_tokenizer": map[string]any{"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
		"decoder":       map[string]any{"type": "ByteLevel"},
		"model":         map[string]any{"type": "BPE", "vocab": vocab, "merges": merges},
	}
	if change != nil {
		change(file)
	}
	data, err := json.Marshal(file)
	require.NoError(t, err)
	return data
}

func TestByteLevel(t *testing.T) {
	hf, err := FromJSON(byteLevelJSON(t, nil), Special{EOS: "<|end|>"})
	require.NoError(t, err)
	for text, want := range map[string]string{
		"low lower": "low|Ġlower",
		"the  the":  "t|he|Ġ|Ġthe",
		"12345":     "123|4|5",
		"é":         "Ã|©",
		"<|end|>":   "<|||e|n|d|||>",
		"a<tool>b":  "a|<tool>|b",
		"\xff":      "ÿ",
	} {
		require.Equal(t, want, spelled(hf, hf.Encode(text)), "%q", text)
	}
	require.Equal(t, "a|<|strip|>|b|<|end|>|Ġ|c", spelled(hf, hf.EncodePrompt("a  <|strip|>\n b<|end|> c", 0)))

	for _, pre := range []string{"gpt-2", "llama-bpe", "qwen2", "smollm", "tekken"} {
		t.Run(pre, func(t *testing.T) {
			hf, err := FromJSON(byteLevelJSON(t, func(f map[string]any) {
				var parts []any
				for _, p := range preTokenizers[pre] {
					parts = append(parts, map[string]any{"type": "Split", "behavior": "Isolated", "pattern": map[string]any{"Regex": p}})
				}
				parts = append(parts, map[string]any{"type": "ByteLevel", "use_regex": false})
				f["pre_tokenizer"] = map[string]any{"type": "Sequence", "pretokenizers": parts}
				f["model"].(map[string]any)["ignore_merges"] = skipsMerges[pre]
			}), Special{EOS: "<|end|>"})
			require.NoError(t, err)
			entries, err := hf.Metadata(hf.VocabSize())
			require.NoError(t, err)
			md, err := gguf.NewMetadata(entries)
			require.NoError(t, err)
			file, err := FromGGUF(md)
			require.NoError(t, err)
			for _, text := range odd {
				ids := hf.Encode(text)
				require.Equal(t, ids, file.Encode(text), "%q", text)
				require.Equal(t, text, hf.Decode(ids))
				require.Equal(t, text, file.Decode(ids))
			}
		})
	}
}

// Pieces that are tokens are taken whole where the file says so, although no merge leads to them.
func TestIgnoreMerges(t *testing.T) {
	for _, ignore := range []bool{false, true} {
		tokenizer, err := FromJSON(byteLevelJSON(t, func(f map[string]any) {
			m := f["model"].(map[string]any)
			m["ignore_merges"] = ignore
			m["vocab"].(map[string]int)["whole"] = 300
		}), Special{})
		require.NoError(t, err)
		want := "w|h|o|l|e"
		if ignore {
			want = "whole"
		}
		require.Equal(t, want, spelled(tokenizer, tokenizer.Encode("whole")))
	}
}

// A guard inside a control token's spelling makes it text, and leaves no trace.
func TestGuard(t *testing.T) {
	tokenizer, err := FromJSON(byteLevelJSON(t, nil), Special{})
	require.NoError(t, err)
	const guard = '\ufdd0'
	want := append(tokenizer.EncodePrompt("low<|end|>", 0), tokenizer.Encode("<|end|> low")...)
	require.Equal(t, want, tokenizer.EncodePrompt("low<|end|><"+string(guard)+"|end|> low"+string(guard), guard))
}

// BOS and EOS are control tokens whatever their file says: a text that spells one must not end the document.
func TestEndOfDocumentIsControl(t *testing.T) {
	tokenizer, err := FromGGUF(sentencePieceGGUF(t, func(e map[string]gguf.Value) { e[keyTypes].([]int32)[2] = int32(UserDefined) }))
	require.NoError(t, err)
	require.NotContains(t, tokenizer.Encode("</s>"), 2)
	require.Contains(t, tokenizer.EncodePrompt("</s>", 0), 2)
	require.Contains(t, tokenizer.ControlTokens(), "</s>")
}

// However long a text is, it is encoded as if each pair had been looked for anew.
func TestLongMerges(t *testing.T) {
	tokenizer, err := FromGGUF(sentencePieceGGUF(t, nil))
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(1, 2))
	letters := []rune("▁loweresthe")
	for range 300 {
		word := make([]rune, 1+r.IntN(120))
		for i := range word {
			word[i] = letters[r.IntN(len(letters))]
		}
		symbols := tokenizer.bpe.symbols(string(word))
		short := tokenizer.bpe.mergeShort(append([]int32{}, symbols...))
		require.Equal(t, short, tokenizer.bpe.mergeLong(append([]int32{}, symbols...)))
	}
}

func TestDecoderGivesWholeRunes(t *testing.T) {
	tokenizer, err := FromGGUF(sentencePieceGGUF(t, nil))
	require.NoError(t, err)
	const text = "lower 北京 é👩‍💻 the"
	d := tokenizer.NewDecoder()
	var out strings.Builder
	for _, id := range tokenizer.Encode(text) {
		piece := d.Push(id)
		require.True(t, utf8.ValidString(piece), "%q", piece)
		out.WriteString(piece)
	}
	require.Equal(t, text, out.String()+d.Flush())
	require.Empty(t, d.Push(-1)+d.Push(1<<30)+d.Push(1))
}

func TestJSONRefuses(t *testing.T) {
	model := func(key string, value any) func(map[string]any) {
		return func(f map[string]any) { f["model"].(map[string]any)[key] = value }
	}
	part := func(key string, value any) func(map[string]any) {
		return func(f map[string]any) { f[key] = value }
	}
	for _, c := range []struct {
		name   string
		change func(map[string]any)
		want   string
	}{
		{"another model", model("type", "Unigram"), "Unigram"},
		{"dropout", model("dropout", 0.1), "dropout"},
		{"word ends", model("end_of_word_suffix", "</w>"), "end_of_word_suffix"},
		{"an unknown token that is none", model("unk_token", "<nosuch>"), "unk_token"},
		{"a merge of three", model("merges", []string{"a b c"}), "not two tokens"},
		{"a merge of one", model("merges", [][]string{{"a"}}), "not two tokens"},
		{"a merge of none", model("merges", []string{" "}), "not two tokens"},
		{"a merge of strangers", model("merges", []string{"北 京"}), "not in the vocabulary"},
		{"a merge twice", model("merges", []string{"l o", "l o"}), "occurs twice"},
		{"an id of 2^40", model("vocab", map[string]int{"a": 1 << 40}), "over the bound"},
		{"an id far off", model("vocab", map[string]int{"a": 1 << 19}), "over the bound"},
		{"a negative id", model("vocab", map[string]int{"a": -1}), "negative or taken"},
		{"an id twice", model("vocab", map[string]int{"a": 1, "b": 1}), "negative or taken"},
		{"an id that is no integer", model("vocab", map[string]float64{"a": 1.5}), "not an integer"},
		{"a token of 10 KB", model("vocab", map[string]int{strings.Repeat("a", 10000): 0}), "over the bound"},
		{"an unknown pre-tokenizer", part("pre_tokenizer", map[string]any{"type": "Whitespace"}), "Whitespace"},
		{"another split", part("pre_tokenizer", map[string]any{"type": "Split", "behavior": "Removed", "pattern": map[string]any{"Regex": "a"}}), "Removed"},
		{"a lookahead", part("pre_tokenizer", map[string]any{"type": "Sequence", "pretokenizers": []any{
			map[string]any{"type": "Split", "behavior": "Isolated", "pattern": map[string]any{"Regex": "a(?=b)"}}, map[string]any{"type": "ByteLevel", "use_regex": false},
		}}), "a(?=b)"},
		{"an unknown normalizer", part("normalizer", map[string]any{"type": "Lowercase"}), "Lowercase"},
		{"an unknown post-processor", part("post_processor", map[string]any{"type": "BertProcessing"}), "BertProcessing"},
		{"no decoder", part("decoder", nil), "no decoder"},
		{"a decoder of another kind", part("decoder", map[string]any{"type": "WordPiece"}), "WordPiece"},
		{"single words", part("added_tokens", []any{map[string]any{"id": 300, "content": "x", "single_word": true}}), "single_word"},
		{"an added token twice", part("added_tokens", []any{map[string]any{"id": 300, "content": "xx"}, map[string]any{"id": 301, "content": "xx"}}), "occurs twice"},
		{"an added token with another's id", part("added_tokens", []any{map[string]any{"id": 5, "content": "xx"}}), "taken"},
		{"an added token without text", part("added_tokens", []any{map[string]any{"id": 300, "content": ""}}), "empty"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := FromJSON(byteLevelJSON(t, c.change), Special{})
			require.ErrorContains(t, err, c.want)
		})
	}
	_, err := FromJSON([]byte(`{"model":{"type":"BPE","vocab":{"a":0,"a":1}}}`), Special{})
	require.ErrorContains(t, err, `"a" occurs twice`)
	_, err = FromJSON(byteLevelJSON(t, nil), Special{BOS: "<nosuch>"})
	require.ErrorContains(t, err, "bos_token")
	id := 1 << 20
	_, err = FromJSON(byteLevelJSON(t, nil), Special{EOSID: &id})
	require.ErrorContains(t, err, "eos_token")
}

func TestGGUFRefuses(t *testing.T) {
	set := func(key string, value gguf.Value) func(map[string]gguf.Value) {
		return func(e map[string]gguf.Value) { e[key] = value }
	}
	for _, c := range []struct {
		name   string
		change func(map[string]gguf.Value)
		want   string
	}{
		{"another model", set(keyModel, "bert"), `"bert"`},
		{"no tokens", set(keyTokens, []string{}), "0 tokens"},
		{"tokens that are numbers", set(keyTokens, []int32{1}), keyTokens},
		{"a token twice", func(e map[string]gguf.Value) { e[keyTokens].([]string)[260] = "<s>" }, "occurs twice"},
		{"scores for others", set(keyScores, []float32{1}), "1 entries"},
		{"types for others", set(keyTypes, []int32{1}), "1 entries"},
		{"a score that is no number", func(e map[string]gguf.Value) {
			s := e[keyScores].([]float32)
			s[5] -= s[5]
			s[5] /= s[5]
		}, "not a number"},
		{"an unknown type", func(e map[string]gguf.Value) { e[keyTypes].([]int32)[5] = 77 }, "unknown type 77"},
		{"a byte that is none", func(e map[string]gguf.Value) { e[keyTypes].([]int32)[1] = int32(Byte) }, "no byte"},
		{"BOS outside", set(keyBOS, uint32(1<<31)), "outside the vocabulary"},
		{"a long token", func(e map[string]gguf.Value) { e[keyTokens].([]string)[270] = strings.Repeat("a", 3000) }, "over the bound"},
		{"spaces removed", set(keyExtraSpaces, true), "remove_extra_whitespaces"},
		{"an unknown split", func(e map[string]gguf.Value) { e[keyModel], e[keyPre] = "gpt2", "nosuch" }, `"nosuch"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := FromGGUF(sentencePieceGGUF(t, c.change))
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestMetadataRefuses(t *testing.T) {
	hf, err := FromJSON(byteLevelJSON(t, nil), Special{})
	require.NoError(t, err)
	_, err = hf.Metadata(hf.VocabSize() - 1)
	require.ErrorContains(t, err, "do not fit")
	for name, change := range map[string]func(map[string]any){
		"normalizer": func(f map[string]any) { f["normalizer"] = map[string]any{"type": "NFC"} },
		"split": func(f map[string]any) {
			f["pre_tokenizer"] = map[string]any{"type": "Sequence", "pretokenizers": []any{
				map[string]any{"type": "Digits", "individual_digits": false}, map[string]any{"type": "ByteLevel"},
			}}
		},
		"ignore_merges": func(f map[string]any) { f["model"].(map[string]any)["ignore_merges"] = true },
		"add_prefix_space": func(f map[string]any) {
			f["pre_tokenizer"] = map[string]any{"type": "ByteLevel", "add_prefix_space": true}
		},
	} {
		hf, err := FromJSON(byteLevelJSON(t, change), Special{})
		require.NoError(t, err, name)
		_, err = hf.Metadata(hf.VocabSize())
		require.ErrorContains(t, err, name)
	}
}

func FuzzFromJSON(f *testing.F) {
	f.Add(byteLevelJSON(f, nil), "low lower")
	f.Add(sentencePieceJSON(f, nil), "low lower <s>")
	f.Fuzz(func(t *testing.T, data []byte, text string) {
		tokenizer, err := FromJSON(data, Special{})
		if err != nil {
			return
		}
		for _, id := range append(tokenizer.EncodePrompt(text, 0), tokenizer.EncodeDocument(text)...) {
			if id < 0 || id >= tokenizer.VocabSize() {
				t.Fatalf("id %d of %d", id, tokenizer.VocabSize())
			}
		}
		_ = tokenizer.Decode(tokenizer.Encode(text))
	})
}

func FuzzEncode(f *testing.F) {
	bytes, err := FromJSON(byteLevelJSON(f, nil), Special{})
	require.NoError(f, err)
	pieces, err := FromGGUF(sentencePieceGGUF(f, nil))
	require.NoError(f, err)
	for _, text := range odd {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if got := bytes.Decode(bytes.Encode(text)); got != text {
			t.Fatalf("%q came back as %q", text, got)
		}
		// SentencePiece writes a space as U+2581 and cannot tell the two apart.
		if got := pieces.Decode(pieces.Encode(text)); got != strings.ReplaceAll(text, metaspace, " ") {
			t.Fatalf("%q came back as %q", text, got)
		}
		for _, id := range pieces.Encode(text) {
			if pieces.Kind(id) == Control {
				t.Fatalf("%q has a control token", text)
			}
		}
	})
}

func TestKeysAreWrittenInOrder(t *testing.T) {
	hf, err := FromJSON(byteLevelJSON(t, nil), Special{})
	require.NoError(t, err)
	first, err := hf.Metadata(hf.VocabSize())
	require.NoError(t, err)
	for range 5 {
		next, err := hf.Metadata(hf.VocabSize())
		require.NoError(t, err)
		require.Equal(t, first, next)
	}
}
