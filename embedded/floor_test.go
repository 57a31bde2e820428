package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

const (
	mainQueue   = "floor"
	secondQueue = "floor-second"

	// updatesPerWorkflow stays well below the server's limit of 2000 in one run.
	updatesPerWorkflow = 500
)

func noOp(context.Context) error { return nil }

func runNoOp(ctx workflow.Context, queue string) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{TaskQueue: queue, StartToCloseTimeout: time.Minute})
	return workflow.ExecuteActivity(ctx, noOp).Get(ctx, nil)
}

// oneTurn runs one no-op activity on the queue.
func oneTurn(ctx workflow.Context, queue string) error { return runNoOp(ctx, queue) }

// manyTurns runs one no-op activity for each update, and ends after so many.
func manyTurns(ctx workflow.Context, turns int) error {
	done := 0
	if err := workflow.SetUpdateHandler(ctx, "turn", func(ctx workflow.Context, queue string) error {
		defer func() { done++ }()
		return runNoOp(ctx, queue)
	}); err != nil {
		return err
	}
	return workflow.Await(ctx, func() bool { return done >= turns && workflow.AllHandlersFinished(ctx) })
}

// floor is a server with workers that do nothing, so that what remains is Temporal's own time.
type floor struct {
	client client.Client
	ids    atomic.Int64
}

func newFloor(b *testing.B) *floor {
	env := environment(b)
	start(b, env)
	f := &floor{client: dial(b, env)}
	b.Cleanup(f.client.Close)
	for _, queue := range []string{mainQueue, secondQueue} {
		w := worker.New(f.client, queue, worker.Options{DisableWorkflowWorker: queue == secondQueue})
		if queue == mainQueue {
			w.RegisterWorkflow(oneTurn)
			w.RegisterWorkflow(manyTurns)
		}
		w.RegisterActivity(noOp)
		require.NoError(b, w.Start())
		b.Cleanup(w.Stop)
	}
	return f
}

func (f *floor) options() client.StartWorkflowOptions {
	return client.StartWorkflowOptions{ID: fmt.Sprintf("floor-%d", f.ids.Add(1)), TaskQueue: mainQueue, EnableEagerStart: true}
}

// startAndWait is a turn that is a workflow of its own.
func (f *floor) startAndWait(queue string) func(context.Context) error {
	return func(ctx context.Context) error {
		run, err := f.client.ExecuteWorkflow(ctx, f.options(), oneTurn, queue)
		if err != nil {
			return err
		}
		return run.Get(ctx, nil)
	}
}

// update is a turn in a conversation that is already running. A caller has one conversation at a time.
func (f *floor) update(queue string) func(context.Context) error {
	var run client.WorkflowRun
	done := 0
	return func(ctx context.Context) error {
		if run == nil || done == updatesPerWorkflow {
			var err error
			if run, err = f.client.ExecuteWorkflow(ctx, f.options(), manyTurns, updatesPerWorkflow); err != nil {
				return err
			}
			done = 0
		}
		done++
		handle, err := f.client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
			WorkflowID: run.GetID(), RunID: run.GetRunID(), UpdateName: "turn", Args: []any{queue},
			WaitForStage: client.WorkflowUpdateStageCompleted,
		})
		if err != nil {
			return err
		}
		return handle.Get(ctx, nil)
	}
}

// updateWithStart is the first turn of a conversation.
func (f *floor) updateWithStart(ctx context.Context) error {
	options := f.options()
	options.EnableEagerStart = false     // the server refuses it together with an update
	options.WorkflowIDConflictPolicy = 1 // fail: each is a new one
	handle, err := f.client.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: f.client.NewWithStartWorkflowOperation(options, manyTurns, 1),
		UpdateOptions: client.UpdateWorkflowOptions{
			UpdateName: "turn", Args: []any{mainQueue}, WaitForStage: client.WorkflowUpdateStageCompleted,
		},
	})
	if err != nil {
		return err
	}
	return handle.Get(ctx, nil)
}

// BenchmarkFloor measures what a turn costs before Teller does anything: the floor that `make bench-turn` compares with.
// For steady percentiles: go test -run '^$' -bench Floor -benchtime 500x .
func BenchmarkFloor(b *testing.B) {
	f := newFloor(b)
	same := func(turn func(context.Context) error) func() func(context.Context) error {
		return func() func(context.Context) error { return turn }
	}
	for _, c := range []struct {
		name    string
		callers int
		turn    func() func(context.Context) error // makes one caller's turn
	}{
		{"start_eager_activity", 1, same(f.startAndWait(mainQueue))},
		{"start_second_queue", 1, same(f.startAndWait(secondQueue))},
		{"update_eager_activity", 1, func() func(context.Context) error { return f.update(mainQueue) }},
		{"update_second_queue", 1, func() func(context.Context) error { return f.update(secondQueue) }},
		{"update_with_start", 1, same(f.updateWithStart)},
		{"start_8_callers", 8, same(f.startAndWait(mainQueue))},
		{"start_32_callers", 32, same(f.startAndWait(mainQueue))},
		{"update_8_callers", 8, func() func(context.Context) error { return f.update(mainQueue) }},
		{"update_32_callers", 32, func() func(context.Context) error { return f.update(mainQueue) }},
	} {
		b.Run(c.name, func(b *testing.B) { measure(b, c.callers, c.turn) })
	}
}

// measure shares b.N turns among the callers and reports their latencies in milliseconds and the turns per second.
func measure(b *testing.B, callers int, newTurn func() func(context.Context) error) {
	ctx := b.Context()
	turns := make([]func(context.Context) error, callers)
	for i := range turns {
		turns[i] = newTurn()
	}
	each := func(share func(caller int) int) []time.Duration {
		var mu sync.Mutex
		var all []time.Duration
		var wg sync.WaitGroup
		for i, turn := range turns {
			wg.Go(func() {
				took := make([]time.Duration, share(i))
				for n := range took {
					began := time.Now()
					if err := turn(ctx); err != nil {
						b.Error(err)
						return
					}
					took[n] = time.Since(began)
				}
				mu.Lock()
				defer mu.Unlock()
				all = append(all, took...)
			})
		}
		wg.Wait()
		return all
	}
	each(func(int) int { return 5 }) // connections, caches, sticky queues
	b.ResetTimer()
	took := each(func(caller int) int { return (b.N + caller) / callers })
	elapsed := b.Elapsed()
	b.StopTimer()
	slices.Sort(took)
	at := func(quantile float64) float64 {
		return took[int(math.Ceil(quantile*float64(len(took))))-1].Seconds() * 1000
	}
	b.ReportMetric(at(0.5), "p50-ms")
	b.ReportMetric(at(0.99), "p99-ms")
	b.ReportMetric(float64(len(took))/elapsed.Seconds(), "turns/s")
	b.ReportMetric(0, "ns/op") // p50-ms says it better
}
