package workflows_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/worker"

	"teller/workflows"
)

// TestSavedHistoriesReplay fails when a change would break workflows that are running now. Such a
// change needs workflow.GetVersion; a history is replaced only when no such run can be left.
func TestSavedHistoriesReplay(t *testing.T) {
	files, err := filepath.Glob("testdata/histories/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			replayer := worker.NewWorkflowReplayer()
			workflows.Register(replayer)
			require.NoError(t, replayer.ReplayWorkflowHistoryFromJSONFile(nil, file))
		})
	}
}

// TestSavedHistoriesRecordUsage counts the local activities that record: an answered turn needs none, since its model's call has recorded it.
func TestSavedHistoriesRecordUsage(t *testing.T) {
	for name, want := range map[string]int{
		"chat-answered": 0, "chat-fallback": 0, "chat-failed": 1, "chat-cancelled": 1, "conversation-idle": 0, "conversation-cancelled-turn": 1,
	} {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(filepath.Join("testdata/histories", name+".json"))
			require.NoError(t, err)
			require.Equal(t, want, strings.Count(string(text), "EVENT_TYPE_MARKER_RECORDED"))
		})
	}
}
