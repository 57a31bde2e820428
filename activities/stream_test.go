package activities_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"teller/activities"
	"teller/llm"
)

// spoken keeps what streams were opened and what went into them.
type spoken struct {
	to       []activities.StreamTarget
	attempts []int64
	text     string
}

func (s *spoken) Open(to activities.StreamTarget, attempt int64) func(llm.Delta) {
	s.to, s.attempts = append(s.to, to), append(s.attempts, attempt)
	return func(d llm.Delta) { s.text += d.Text }
}

// speaker says two words, if somebody listens.
type speaker struct{ model }

func (speaker) Complete(_ context.Context, _ llm.Request, emit func(llm.Delta)) (llm.Completion, error) {
	if emit != nil {
		emit(llm.Delta{Text: "A "})
		emit(llm.Delta{Text: "bank"})
	}
	return llm.Completion{Text: "A bank"}, nil
}

func TestPiecesGoWhereSomebodyReads(t *testing.T) {
	target := &activities.StreamTarget{Address: "127.0.0.1:1", Turn: "t", Token: "x"}
	for name, c := range map[string]struct {
		streams *spoken
		to      *activities.StreamTarget
		text    string
	}{
		"somebody reads":                    {&spoken{}, target, "A bank"},
		"nobody reads":                      {&spoken{}, nil, ""},
		"a process that can send no pieces": {nil, target, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var suite testsuite.WorkflowTestSuite
			env := suite.NewTestActivityEnvironment()
			acts := &activities.Activities{Models: models{"m": speaker{}}}
			if c.streams != nil {
				acts.Streams = c.streams
			}
			env.RegisterActivity(acts.Complete)
			value, err := env.ExecuteActivity(acts.Complete, activities.CompleteInput{Model: "m", Stream: c.to})
			require.NoError(t, err)
			var out llm.Completion
			require.NoError(t, value.Get(&out))
			require.Equal(t, "A bank", out.Text)
			if c.streams == nil {
				return
			}
			require.Equal(t, c.text, c.streams.text)
			if c.to != nil {
				require.Equal(t, []activities.StreamTarget{*target}, c.streams.to)
				require.Positive(t, c.streams.attempts[0])
			}
		})
	}
}
