// Package worker makes Temporal workers: for each role the task queue it polls, what it registers
// there and how many slots it has. It knows no model; cmd hands it the activities.
package worker

import (
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"teller/activities"
	"teller/workflows"
)

const (
	// heartbeatThrottle lets each heartbeat through as it comes. The SDK's default holds them back
	// for most of the timeout, and a cancellation with them.
	heartbeatThrottle = 500 * time.Millisecond
	// stickyWithin is how long a workflow waits for the process that has it in its cache. The
	// default of 5 s would be seen by a caller each time such a process is killed.
	stickyWithin = time.Second
	// pollers wait for each kind of task. With the SDK's default of 2, one of them for workflows that are
	// in the cache, the first turns of new conversations starve behind those that are under way.
	pollers = 8
	// drainWithin is how long a stopping worker lets its calls finish before it hands them on.
	drainWithin = 10 * time.Second
	// cachedWorkflows bounds the open conversations that one process holds in memory, at some 130 KB each.
	// One that is not among them is read from its history at its next turn.
	cachedWorkflows = 128
)

// NewMain makes the worker of the queue "teller": workflows, and calls to models across the network,
// at most slots at a time.
func NewMain(c client.Client, acts *activities.Activities, slots int) worker.Worker {
	o := options()
	o.MaxConcurrentActivityExecutionSize = slots
	w := worker.New(c, workflows.QueueMain, o)
	workflows.Register(w)
	registerActivities(w, acts)
	registerRecording(w, acts)
	w.RegisterActivity(acts.BeginBenchmark)
	w.RegisterActivity(acts.LoadCases)
	w.RegisterActivity(acts.RecordCases)
	w.RegisterActivity(acts.EndBenchmark)
	return w
}

// NewGPU makes the worker of the queue "teller-gpu": calls to our own transformer, at most slots at
// a time.
func NewGPU(c client.Client, acts *activities.Activities, slots int) worker.Worker {
	o := options()
	o.MaxConcurrentActivityExecutionSize = slots
	o.DisableWorkflowWorker = true
	w := worker.New(c, workflows.QueueGPU, o)
	registerActivities(w, acts)
	return w
}

// NewDecider makes the worker that runs inside the API's process. It takes workflow tasks only, so
// that a turn's first decision is made where the turn arrives (eager start) and no model call is lost
// with an API process. Of acts it uses what records.
func NewDecider(c client.Client, acts *activities.Activities) worker.Worker {
	o := options()
	o.LocalActivityWorkerOnly = true
	w := worker.New(c, workflows.QueueMain, o)
	workflows.Register(w)
	registerRecording(w, acts)
	return w
}

func options() worker.Options {
	worker.SetStickyWorkflowCacheSize(cachedWorkflows)
	return worker.Options{
		MaxHeartbeatThrottleInterval:     heartbeatThrottle,
		DefaultHeartbeatThrottleInterval: heartbeatThrottle,
		StickyScheduleToStartTimeout:     stickyWithin,
		MaxConcurrentWorkflowTaskPollers: pollers,
		MaxConcurrentActivityTaskPollers: pollers,
		WorkerStopTimeout:                drainWithin,
	}
}

func registerActivities(w worker.ActivityRegistry, acts *activities.Activities) {
	w.RegisterActivity(acts.Complete)
	w.RegisterActivity(acts.Check)
}

func registerRecording(w worker.ActivityRegistry, acts *activities.Activities) {
	w.RegisterActivityWithOptions(acts.RecordUsage, activity.RegisterOptions{Name: activities.RecordUsageName})
}
