package turns

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"teller/activities"
	"teller/workflows"
)

const (
	// scheduleID is what the schedule of benchmarks is called in the Web UI, where it can be paused.
	scheduleID = "benchmark"
	// startBenchmarkWithin bounds a call to Temporal about benchmarks.
	startBenchmarkWithin = 10 * time.Second
)

// StartBenchmark starts a run and gives its id. While a run of the same name is going on, it joins that one: joined says so. The
// name "requests" so holds one run at a time, however many chats are answered meanwhile; an empty one makes a run of its own.
func (c *Client) StartBenchmark(ctx context.Context, name string, in workflows.BenchmarkInput) (runID string, joined bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, startBenchmarkWithin)
	defer cancel()
	run, err := c.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                                       benchmarkID(name),
		TaskQueue:                                workflows.QueueMain,
		WorkflowIDConflictPolicy:                 enumspb.WORKFLOW_ID_CONFLICT_POLICY_FAIL,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		Priority:                                 temporal.Priority{PriorityKey: workflows.PriorityBenchmark},
		StaticSummary:                            benchmarkSummary(in),
	}, workflows.Benchmark, in)
	var started *serviceerror.WorkflowExecutionAlreadyStarted
	switch {
	case errors.As(err, &started):
		return started.RunId, true, nil
	case err != nil:
		return "", false, fromService(err)
	}
	return run.GetRunID(), false, nil
}

// AwaitBenchmark waits for a run that StartBenchmark began under the name.
func (c *Client) AwaitBenchmark(ctx context.Context, name, runID string) (activities.BenchmarkOutcome, error) {
	outcome, err := hedgedGet[activities.BenchmarkOutcome](ctx, c.temporal.GetWorkflow(ctx, benchmarkID(name), runID))
	if err != nil {
		return outcome, fromService(err)
	}
	return outcome, nil
}

func benchmarkID(name string) string { return "benchmark-" + name }

func benchmarkSummary(in workflows.BenchmarkInput) string {
	names := make([]string, len(in.Models))
	for i, target := range in.Models {
		names[i] = target.Model
	}
	return fmt.Sprintf("Benchmark of %s on %s", strings.Join(names, ", "), in.Suite)
}

// ScheduleBenchmark makes the schedule of benchmarks say spec: a cron expression such as "0 3 * * *", in UTC, or an interval such as
// "6h". A run that would begin while one is going on is skipped. A schedule that was paused in the Web UI stays paused; with an empty
// spec the schedule is removed.
func (c *Client) ScheduleBenchmark(ctx context.Context, spec string, in workflows.BenchmarkInput) error {
	ctx, cancel := context.WithTimeout(ctx, startBenchmarkWithin)
	defer cancel()
	handle := c.temporal.ScheduleClient().GetHandle(ctx, scheduleID)
	var notFound *serviceerror.NotFound
	if spec == "" {
		if err := handle.Delete(ctx); err != nil && !errors.As(err, &notFound) {
			return fmt.Errorf("remove the schedule of benchmarks: %w", err)
		}
		return nil
	}
	when, err := ParseSchedule(spec)
	if err != nil {
		return err
	}
	action := &client.ScheduleWorkflowAction{
		ID:            benchmarkID("schedule"),
		Workflow:      workflows.Benchmark,
		Args:          []any{in},
		TaskQueue:     workflows.QueueMain,
		Priority:      temporal.Priority{PriorityKey: workflows.PriorityBenchmark},
		StaticSummary: benchmarkSummary(in),
	}
	_, err = c.temporal.ScheduleClient().Create(ctx, client.ScheduleOptions{
		ID: scheduleID, Spec: when, Action: action, Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_SKIP, CatchupWindow: time.Minute,
		Note: "BENCHMARK_SCHEDULE=" + spec,
	})
	if !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		if err != nil {
			return fmt.Errorf("schedule benchmarks: %w", err)
		}
		return nil
	}
	err = handle.Update(ctx, client.ScheduleUpdateOptions{DoUpdate: func(u client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
		s := u.Description.Schedule
		s.Spec, s.Action = &when, action
		return &client.ScheduleUpdate{Schedule: &s}, nil
	}})
	if err != nil {
		return fmt.Errorf("change the schedule of benchmarks: %w", err)
	}
	return nil
}

// ParseSchedule reads a cron expression of five fields, or an interval of at least a minute.
func ParseSchedule(spec string) (client.ScheduleSpec, error) {
	if every, err := time.ParseDuration(strings.TrimPrefix(spec, "@every ")); err == nil {
		if every < time.Minute {
			return client.ScheduleSpec{}, fmt.Errorf("the interval %q is under a minute", spec)
		}
		return client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: every}}}, nil
	}
	if fields := strings.Fields(spec); len(fields) != 5 && !strings.HasPrefix(spec, "@") {
		return client.ScheduleSpec{}, fmt.Errorf("%q is neither an interval such as 6h nor a cron expression such as \"0 3 * * *\"", spec)
	}
	return client.ScheduleSpec{CronExpressions: []string{spec}}, nil
}
