package gemini

import (
	"math"
	"regexp"
	"strconv"
	"strings"

	"google.golang.org/genai"
)

// thinking is how a model is kept from thinking long, and the room that its thinking needs, in tokens,
// beside those of the reply.
type thinking struct {
	config *genai.ThinkingConfig // nil: the model takes none
	room   int
}

const (
	lowRoom     = 1024 // what level LOW seldom exceeds
	dynamicRoom = 4096 // for a model that decides itself how long it thinks
)

var generation = regexp.MustCompile(`^gemini-(\d+)(?:\.(\d+))?-(.+)$`)

// thinkingOf knows the models by their ids. The API refuses a thinking config on models that cannot
// think, a level on 2.5 and a budget of 0 on 2.5 Pro (https://ai.google.dev/gemini-api/docs/thinking), so
// an unknown id gets none.
func thinkingOf(id string) thinking {
	match := generation.FindStringSubmatch(id)
	if match == nil {
		if strings.HasPrefix(id, "gemini-") { // an alias such as gemini-flash-latest
			return thinking{room: dynamicRoom}
		}
		return thinking{}
	}
	major, _ := strconv.Atoi(match[1])
	minor, _ := strconv.Atoi(match[2])
	switch {
	case major >= 3:
		return thinking{config: &genai.ThinkingConfig{ThinkingLevel: genai.ThinkingLevelLow}, room: lowRoom}
	case major == 2 && minor == 5 && strings.HasPrefix(match[3], "pro"):
		return thinking{config: &genai.ThinkingConfig{ThinkingBudget: genai.Ptr[int32](128)}, room: 128}
	case major == 2 && minor == 5:
		return thinking{config: &genai.ThinkingConfig{ThinkingBudget: genai.Ptr[int32](0)}}
	default:
		return thinking{}
	}
}

// dynamicThinkingOf is thinkingOf for generative-ai-go, which cannot send a thinking config: what can
// think, thinks as long as it likes.
func dynamicThinkingOf(id string) thinking {
	t := thinkingOf(id)
	if t.config != nil {
		return thinking{room: dynamicRoom}
	}
	return t
}

// bound gives the API's bound for a reply of at most n tokens.
func (t thinking) bound(n int) int32 {
	return int32(min(n, math.MaxInt32-t.room) + t.room)
}
