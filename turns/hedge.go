package turns

import (
	"context"
	"time"

	"go.temporal.io/sdk/client"
)

// The waits before another Get is sent beside those that are open.
const (
	firstHedge = 40 * time.Millisecond
	lastHedge  = time.Second
	// openHedges bounds the Gets of one wait: each polls the server once a second, and a turn may take minutes.
	openHedges = 2
)

// hedgedGet waits for the workflow's result. A single Get now and then sleeps through a whole long
// poll although the workflow has ended; a Get that is sent after the end answers at once. So a new one
// is sent at growing intervals, in place of the oldest, and the first answer wins.
func hedgedGet[T any](ctx context.Context, run client.WorkflowRun) (T, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	type outcome struct {
		value T
		err   error
	}
	outcomes := make(chan outcome)
	var open []context.CancelFunc
	get := func() {
		if len(open) == openHedges {
			open[0]()
			open = open[1:]
		}
		each, stop := context.WithCancel(ctx)
		open = append(open, stop)
		go func() {
			var o outcome
			o.err = run.Get(each, &o.value)
			if each.Err() != nil && o.err != nil {
				return // stopped for a newer one
			}
			select {
			case outcomes <- o:
			case <-ctx.Done():
			}
		}()
	}
	get()
	interval := firstHedge
	hedge := time.NewTimer(interval)
	defer hedge.Stop()
	for {
		select {
		case o := <-outcomes:
			return o.value, o.err
		case <-ctx.Done():
			var none T
			return none, ctx.Err()
		case <-hedge.C:
			get()
			interval = min(2*interval, lastHedge)
			hedge.Reset(interval)
		}
	}
}
