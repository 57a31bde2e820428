package benchmark

import (
	_ "embed"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"teller/corpus"
)

// The replies are the project's own, one a line.
var (
	//go:embed testdata/refusing.txt
	refusing string
	//go:embed testdata/helping.txt
	helping string
)

func TestRefuses(t *testing.T) {
	for _, set := range []struct {
		replies string
		refuses bool
	}{{refusing, true}, {helping, false}} {
		replies := strings.Split(strings.TrimSpace(set.replies), "\n")
		require.GreaterOrEqual(t, len(replies), 100)
		for _, reply := range replies {
			t.Run(reply[:min(len(reply), 40)], func(t *testing.T) {
				require.Equal(t, set.refuses, Refuses(reply), reply)
			})
		}
	}
}

func TestRefusesLooksAtTheOpeningOfALongReply(t *testing.T) {
	answer := strings.Repeat("Open the app, choose Payments and then Scheduled. ", 12)
	require.False(t, Refuses(answer+"I can't help with taxes."))
	require.True(t, Refuses("I can't help with that. "+answer))
	require.False(t, Refuses(""))
}

// TestRefusesOnTheCorpus goes over what the custom model was taught to say: every refusal and every deflection is one, and no answer is.
func TestRefusesOnTheCorpus(t *testing.T) {
	taught, err := loadCorpus()
	require.NoError(t, err)
	refusing, helping := 0, 0
	for _, intent := range taught.Intents {
		refuses := intent.Kind == corpus.Refusal || intent.Kind == corpus.OutOfScope
		answers := intent.Answers
		if intent.Context != nil {
			answers = append(answers[:len(answers):len(answers)], intent.Context.Answers...)
		}
		for _, answer := range answers {
			require.Equal(t, refuses, Refuses(answer), "%s %s: %s", intent.Kind, intent.Name, answer)
			if refuses {
				refusing++
			} else {
				helping++
			}
		}
	}
	require.Greater(t, refusing, 20)
	require.Greater(t, helping, 400)
}
