package adaptertest

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"teller/adapters/adaptertest/fakeserver"
)

// concurrent asks one model from many goroutines; each gets the reply to its own question.
func (s suite) concurrent(t *testing.T) {
	sub := s.New(t)
	callers, calls := 2, 1
	if sub.Provider != nil {
		callers, calls = 16, 8
		sub.Provider.Script(fakeserver.Behaviour{Reply: func(r fakeserver.Request) string {
			return "reply to " + r.Messages[len(r.Messages)-1].Text
		}})
	}
	ctx := testContext(t)
	var group errgroup.Group
	for caller := range callers {
		group.Go(func() error {
			for call := range calls {
				question := fmt.Sprintf("question %d of caller %d", call, caller)
				req := ask(question)
				req.MaxTokens = 32
				out, err := sub.Model.Complete(ctx, req, nil)
				if err != nil {
					return err
				}
				if sub.Provider != nil && out.Text != "reply to "+question {
					return fmt.Errorf("%q got %q", question, out.Text)
				}
				if _, err := sub.Model.Check(ctx); err != nil {
					return err
				}
			}
			return nil
		})
	}
	require.NoError(t, group.Wait())
}
