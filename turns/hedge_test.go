package turns

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
)

// sleepyRun is a workflow that ends after a while, and whose Gets sleep through that: only one that is sent afterwards
// answers.
type sleepyRun struct {
	client.WorkflowRun
	ends    time.Time
	failure error
	sent    atomic.Int64
	open    atomic.Int64
}

func (r *sleepyRun) Get(ctx context.Context, value any) error {
	r.sent.Add(1)
	if time.Now().Before(r.ends) {
		r.open.Add(1)
		<-ctx.Done()
		r.open.Add(-1)
		return ctx.Err()
	}
	*value.(*string) = "answered"
	return r.failure
}

func TestHedgedGet(t *testing.T) {
	for name, c := range map[string]struct {
		after   time.Duration
		failure error
		late    time.Duration // at most
		sent    int64         // at most
	}{
		"a short turn":           {10 * time.Millisecond, nil, firstHedge, 2},
		"a long turn":            {5 * time.Minute, nil, lastHedge, 310},
		"a long turn that fails": {time.Minute, errors.New("failed"), lastHedge, 70},
		"ended already":          {0, nil, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				run := &sleepyRun{ends: time.Now().Add(c.after), failure: c.failure}
				seen := make(chan struct{})
				go func() {
					defer close(seen)
					time.Sleep(c.after/2 + time.Nanosecond)
					require.LessOrEqual(t, run.open.Load(), int64(openHedges))
				}()
				value, err := hedgedGet[string](t.Context(), run)
				require.ErrorIs(t, err, c.failure)
				require.Equal(t, "answered", value)
				require.LessOrEqual(t, time.Since(run.ends), c.late)
				require.LessOrEqual(t, run.sent.Load(), c.sent)
				<-seen
				synctest.Wait()
				require.Zero(t, run.open.Load())
			})
		})
	}
	t.Run("the caller leaves", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			ctx, leave := context.WithTimeout(t.Context(), time.Minute)
			defer leave()
			run := &sleepyRun{ends: time.Now().Add(time.Hour)}
			_, err := hedgedGet[string](ctx, run)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			synctest.Wait()
			require.Zero(t, run.open.Load())
		})
	})
}
