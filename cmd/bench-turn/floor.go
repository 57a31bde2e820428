package main

import (
	"context"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
)

// The floor has Teller's shape and nothing of its content: the workflow is decided in the caller's
// process (eager start), its one activity runs in another, nothing is sent and nothing comes back.
const floorQueue = "floor"

// floorPollers are as many as Teller's workers have: with the default of 2 the floor starves at 32 callers.
const floorPollers = 8

func bareActivity(context.Context) error { return nil }

func bareTurn(ctx workflow.Context) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: time.Minute})
	return workflow.ExecuteActivity(ctx, bareActivity).Get(ctx, nil)
}

func bareConversation(ctx workflow.Context) error {
	turns := 0
	if err := workflow.SetUpdateHandler(ctx, "turn", func(ctx workflow.Context) error {
		defer func() { turns++ }()
		return bareTurn(ctx)
	}); err != nil {
		return err
	}
	return workflow.Await(ctx, func() bool { return turns >= turnsPerConversation && workflow.AllHandlersFinished(ctx) })
}

// floor is the client's side of it.
type floor struct {
	client  client.Client
	decider worker.Worker
	ids     atomic.Int64
	runID   int64
}

func startFloor(ctx context.Context, g *gateway) (*floor, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := g.start("floor-worker", self, "--floor-worker", g.temporal); err != nil {
		return nil, err
	}
	c, err := dial(g.temporal)
	if err != nil {
		return nil, err
	}
	f := &floor{client: c, runID: time.Now().UnixNano(),
		decider: worker.New(c, floorQueue, worker.Options{LocalActivityWorkerOnly: true, MaxConcurrentWorkflowTaskPollers: floorPollers})}
	f.decider.RegisterWorkflow(bareTurn)
	f.decider.RegisterWorkflow(bareConversation)
	if err := f.decider.Start(); err != nil {
		c.Close()
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	return f, f.chat(ctx, "")
}

func (f *floor) stop() {
	f.decider.Stop()
	f.client.Close()
}

// chat runs one bare turn: a workflow of its own, or an update of the named one.
func (f *floor) chat(ctx context.Context, conversation string) error {
	options := client.StartWorkflowOptions{TaskQueue: floorQueue, EnableEagerStart: true}
	if conversation == "" {
		options.ID = fmt.Sprintf("floor-%d-%d", f.runID, f.ids.Add(1))
		run, err := f.client.ExecuteWorkflow(ctx, options, bareTurn)
		if err != nil {
			return err
		}
		return run.Get(ctx, nil)
	}
	options.ID, options.EnableEagerStart = f.id(conversation), false
	options.WorkflowIDConflictPolicy = enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING
	handle, err := f.client.UpdateWithStartWorkflow(ctx, client.UpdateWithStartWorkflowOptions{
		StartWorkflowOperation: f.client.NewWithStartWorkflowOperation(options, bareConversation),
		UpdateOptions: client.UpdateWorkflowOptions{
			WorkflowID: options.ID, UpdateName: "turn", WaitForStage: client.WorkflowUpdateStageCompleted},
	})
	if err != nil {
		return err
	}
	return handle.Get(ctx, nil)
}

func (f *floor) id(conversation string) string {
	return fmt.Sprintf("floor-%d-%s", f.runID, conversation)
}

// serveFloor runs the floor's activities, in a process of their own as Teller's.
func serveFloor(ctx context.Context, address string) error {
	c, err := dial(address)
	if err != nil {
		return err
	}
	defer c.Close()
	w := worker.New(c, floorQueue, worker.Options{DisableWorkflowWorker: true, MaxConcurrentActivityTaskPollers: floorPollers})
	w.RegisterActivity(bareActivity)
	interrupted := make(chan any)
	go func() { <-ctx.Done(); close(interrupted) }()
	return w.Run(interrupted)
}

func dial(address string) (client.Client, error) {
	return client.Dial(client.Options{HostPort: address, Logger: quiet{},
		ConnectionOptions: client.ConnectionOptions{GrpcCompression: &client.GrpcCompressionNone{}}}) // as Teller's
}

// quiet drops what the SDK would log.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}
