package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teller/transformer"
	"teller/transformer/transformertest"
)

// modelState is a model as GET /models shows it.
type modelState struct {
	Name, Health, Device, Version, Reason string
	Active                                bool
}

// activeModel asks GET /models.
func activeModel(t *testing.T, api *apiProc) modelState {
	t.Helper()
	r := api.do(context.Background(), http.MethodGet, "/models", nil)
	require.Equal(t, http.StatusOK, r.status, "%s", r.body)
	var m struct{ Models []modelState }
	require.NoError(t, json.Unmarshal(r.body, &m))
	for _, model := range m.Models {
		if model.Active {
			return model
		}
	}
	require.Fail(t, "no model is active")
	return modelState{}
}

// cpuTime is what a process has used so far. It reads Linux's /proc.
func cpuTime(t *testing.T, pid int) time.Duration {
	t.Helper()
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	require.NoError(t, err)
	// The name, in brackets, may hold spaces. After it, user and system time are fields 12 and 13,
	// in hundredths of a second.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	var ticks int
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		require.NoError(t, err)
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

// children gives the processes that a process has started. It reads Linux's /proc.
func children(t *testing.T, pid int) (pids []int) {
	t.Helper()
	tasks, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/task/*/children")
	require.NoError(t, err)
	for _, task := range tasks {
		text, err := os.ReadFile(task)
		require.NoError(t, err)
		for _, field := range strings.Fields(string(text)) {
			child, err := strconv.Atoi(field)
			require.NoError(t, err)
			pids = append(pids, child)
		}
	}
	return pids
}

// slowModel makes a folder with random weights that take some seconds for a long reply: long enough to
// be killed in.
func slowModel(t *testing.T) string {
	t.Helper()
	cfg := transformertest.Config()
	cfg.NumHiddenLayers, cfg.HiddenSize, cfg.IntermediateSize = 16, 384, 768
	cfg.NumAttentionHeads, cfg.NumKeyValueHeads, cfg.HeadDim = 6, 2, 64
	cfg.MaxPositionEmbeddings = 4096
	// The head is tied to the embedding: a token whose row is zero is never the likeliest. So the reply does
	// not end by itself, and holds no number, which would be refused if it went on for ever.
	silent := append(transformertest.Tokenizer().Encode("0123456789"), cfg.EOSTokenID)
	tensors := transformertest.Tensors(cfg, 7)
	for _, tensor := range tensors {
		if tensor.Name == "model.embed_tokens.weight" {
			row := len(tensor.Data) / cfg.VocabSize
			for _, token := range silent {
				clear(tensor.Data[token*row : (token+1)*row])
			}
		}
	}
	dir := t.TempDir()
	require.NoError(t, transformer.SaveDir(dir, cfg, tensors, transformertest.Tokenizer()))
	return dir
}
