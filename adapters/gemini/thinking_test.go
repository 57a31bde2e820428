package gemini

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/genai"
)

func TestThinking(t *testing.T) {
	level := &genai.ThinkingConfig{ThinkingLevel: genai.ThinkingLevelLow}
	budget := func(n int32) *genai.ThinkingConfig { return &genai.ThinkingConfig{ThinkingBudget: &n} }
	for id, want := range map[string]struct {
		config        *genai.ThinkingConfig
		room, dynamic int
	}{
		"gemini-2.0-flash":       {nil, 0, 0},
		"gemini-1.5-pro-002":     {nil, 0, 0},
		"gemini-2.5-flash":       {budget(0), 0, dynamicRoom},
		"gemini-2.5-flash-lite":  {budget(0), 0, dynamicRoom},
		"gemini-2.5-pro":         {budget(128), 128, dynamicRoom},
		"gemini-3-flash-preview": {level, lowRoom, dynamicRoom},
		"gemini-3.1-pro-preview": {level, lowRoom, dynamicRoom},
		"gemini-10-pro":          {level, lowRoom, dynamicRoom},
		"gemini-flash-latest":    {nil, dynamicRoom, dynamicRoom},
		"gemma-3-27b-it":         {nil, 0, 0},
	} {
		require.Equal(t, thinking{config: want.config, room: want.room}, thinkingOf(id), id)
		require.Equal(t, want.dynamic, dynamicThinkingOf(id).room, id)
		require.Nil(t, dynamicThinkingOf(id).config, id)
	}
	require.Equal(t, int32(100+lowRoom), thinkingOf("gemini-3-pro").bound(100))
	require.Equal(t, int32(math.MaxInt32), thinkingOf("gemini-3-pro").bound(math.MaxInt))
}
