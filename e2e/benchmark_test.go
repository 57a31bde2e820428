package e2e

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	workflowservice "go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	_ "modernc.org/sqlite" // the store's own driver

	"teller/adapters/adaptertest/fakeserver"
)

// cases is a suite of n questions whose right answer repeats them.
func cases(n int) map[string]string {
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, `{"vars":{"message":"question %d"},"assert":[{"type":"equals","value":"re question %d"}],"metadata":{"id":"c%04d"}}`+"\n", i, i, i)
	}
	return map[string]string{"cases.jsonl": lines.String()}
}

// benchmark starts a run and gives its id.
func (a *apiProc) benchmark(b body) string {
	a.t.Helper()
	r := a.do(context.Background(), http.MethodPost, "/benchmark/run", b)
	require.NoError(a.t, r.err)
	require.Equal(a.t, http.StatusAccepted, r.status, "%s", r.body)
	var started struct {
		RunID  string `json:"run_id"`
		Status string
	}
	require.NoError(a.t, json.Unmarshal(r.body, &started))
	require.Equal(a.t, "started", started.Status)
	return started.RunID
}

// benchmarkRun is what the tests read of a run.
type benchmarkRun struct {
	Run struct {
		ID, Cause string
		EndedAt   time.Time `json:"ended_at"`
		Summary   struct {
			Models map[string]struct {
				Status   string
				Error    *string
				Accuracy struct{ Count, N int }
			}
		}
	}
	Recorded map[string]int
	Results  []struct {
		Model  string
		CaseID string `json:"case_id"`
		Pass   bool
		Error  string
	}
}

// run reads a run as far as it is; false while no API process answers.
func (a *apiProc) run(id string) (run benchmarkRun, ok bool) {
	r := a.do(context.Background(), http.MethodGet, "/benchmark/runs/"+id, nil)
	return run, r.err == nil && r.status == http.StatusOK && json.Unmarshal(r.body, &run) == nil
}

// awaitRun waits for a run's end.
func (a *apiProc) awaitRun(id string) (run benchmarkRun) {
	a.t.Helper()
	require.Eventually(a.t, func() bool {
		var ok bool
		run, ok = a.run(id)
		return ok && !run.Run.EndedAt.IsZero()
	}, 3*time.Minute, 50*time.Millisecond, "the run ends")
	return run
}

// TestABenchmarkOutlivesItsProcesses kills every kind of process while models are measured: each case ends with exactly one result,
// and what was answered is not asked again.
func TestABenchmarkOutlivesItsProcesses(t *testing.T) {
	const n, concurrency, warmUp = 60, 4, 2
	s := newStack(t)
	s.vllm.Script(fakeserver.Behaviour{Latency: 40 * time.Millisecond, Reply: func(r fakeserver.Request) string {
		return "re " + r.Messages[len(r.Messages)-1].Text
	}})
	address := "TELLER_API_ADDR=" + freeAddress(t)
	api := s.api(address)
	worker, gpu := s.worker(), s.gpuWorker()
	s.eventually("the model is healthy", func() bool { return activeModel(t, api).Health == "healthy" })
	id := api.benchmark(body{"suite": "own", "files": cases(n), "models": []string{"qlora"}, "concurrency": concurrency})

	rng := rand.New(rand.NewPCG(5, 5))
	kills := map[string]func(){
		"worker":     func() { worker.kill(); worker = s.worker() },
		"gpu-worker": func() { gpu.kill(); gpu = s.gpuWorker() },
		"temporal":   func() { s.temporal.kill(); s.startTemporal() },
		"api":        func() { api.kill(); api = s.api(address) },
	}
	order := []string{"worker", "temporal", "api", "gpu-worker", "worker"}
	rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	for i, name := range order {
		// A point between two that the calls have to pass: quick machines are killed as often as slow ones.
		at := n*i/len(order) + rng.IntN(n/len(order))
		s.eventually("calls go on", func() bool { return s.asked() >= at })
		kills[name]()
	}
	run := api.awaitRun(id)
	seen := map[string]bool{}
	for _, r := range run.Results {
		require.False(t, seen[r.CaseID], "%s has one result", r.CaseID)
		require.True(t, r.Pass, "%s: %s", r.CaseID, r.Error)
		seen[r.CaseID] = true
	}
	require.Len(t, seen, n)
	require.Equal(t, "ok", run.Run.Summary.Models["qlora"].Status)
	require.Equal(t, n, run.Run.Summary.Models["qlora"].Accuracy.Count)
	require.LessOrEqual(t, s.asked(), n+warmUp+len(order)*concurrency, "what had returned was not asked again")
	t.Logf("killed %s; %d cases, %d calls", strings.Join(order, ", "), n, s.asked())

	text, err := os.ReadFile(filepath.Join(s.env["TELLER_DATA_DIR"], "benchmark_results.jsonl"))
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(text), "\n"))
	require.Contains(t, string(text), id)
}

// TestAWorkerThatDiesWhileItRecords holds the store, so that the worker dies with answers that it has and has not stored.
func TestAWorkerThatDiesWhileItRecords(t *testing.T) {
	const n, warmUp = 8, 2
	s := newStack(t)
	s.vllm.Script(fakeserver.Behaviour{Latency: 40 * time.Millisecond, Reply: func(r fakeserver.Request) string {
		return "re " + r.Messages[len(r.Messages)-1].Text
	}})
	api, worker := s.api(), s.worker()
	temporal := s.connect()
	s.eventually("the model is healthy", func() bool { return activeModel(t, api).Health == "healthy" })
	id := api.benchmark(body{"suite": "own", "files": cases(n), "models": []string{"qlora"}, "concurrency": 1})
	s.eventually("calls have begun", func() bool { return s.asked() > 0 })
	release := s.holdStore()
	s.eventually("answers are being recorded", func() bool {
		d, err := temporal.DescribeWorkflowExecution(context.Background(), "benchmark-"+id+"-qlora", "")
		return err == nil && slices.ContainsFunc(d.GetPendingActivities(), func(a *workflowpb.PendingActivityInfo) bool {
			return a.GetActivityType().GetName() == "RecordCases" && a.GetState() == enumspb.PENDING_ACTIVITY_STATE_STARTED
		})
	})
	worker.kill()
	release()
	s.worker()
	run := api.awaitRun(id)
	require.Len(t, run.Results, n)
	require.Equal(t, n, run.Run.Summary.Models["qlora"].Accuracy.Count)
	require.Equal(t, n+warmUp, s.asked(), "what had returned was not asked again")
}

// holdStore keeps everybody else from writing into the store until it is released.
func (s *stack) holdStore() (release func()) {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.env["TELLER_DATA_DIR"], "teller.db")+"?_txlock=immediate&_pragma=busy_timeout(10000)")
	require.NoError(s.t, err)
	tx, err := db.BeginTx(context.Background(), nil)
	require.NoError(s.t, err)
	return func() {
		require.NoError(s.t, tx.Rollback())
		require.NoError(s.t, db.Close())
	}
}

// asked counts the calls for completions that the model has got.
func (s *stack) asked() (n int) {
	for _, r := range s.vllm.Requests() {
		if len(r.Messages) > 0 {
			n++
		}
	}
	return n
}

func TestBenchmarksAreScheduledAndFollowChats(t *testing.T) {
	s := newStack(t)
	s.worker()
	variables := []string{"BENCHMARK_SCHEDULE=6h", "BENCHMARK_EVERY_REQUESTS=3"}
	api, second := s.api(variables...), s.api(variables...)
	temporal := s.connect()
	handle := temporal.ScheduleClient().GetHandle(context.Background(), "benchmark")

	t.Run("the schedule can be paused, and stays so", func(t *testing.T) {
		s.eventually("the schedule is there", func() bool {
			d, err := handle.Describe(context.Background())
			return err == nil && len(d.Schedule.Spec.Intervals) == 1 && d.Schedule.Spec.Intervals[0].Every == 6*time.Hour
		})
		require.NoError(t, handle.Pause(context.Background(), client.SchedulePauseOptions{Note: "maintenance"}))
		s.api("BENCHMARK_SCHEDULE=0 3 * * *")
		s.eventually("another API process has changed it", func() bool {
			d, err := handle.Describe(context.Background())
			return err == nil && len(d.Schedule.Spec.Intervals) == 0 && len(d.Schedule.Spec.Calendars) == 1
		})
		d, err := handle.Describe(context.Background())
		require.NoError(t, err)
		require.True(t, d.Schedule.State.Paused)
	})
	t.Run("after so many chats a run starts, once", func(t *testing.T) {
		for i, to := range []*apiProc{api, second, api, second} {
			to.ask(body{"message": fmt.Sprint("hello ", i)})
		}
		var runs struct{ Runs []struct{ ID, Cause string } }
		s.eventually("the run is there", func() bool {
			r := second.do(context.Background(), http.MethodGet, "/benchmark/runs", nil)
			return r.err == nil && json.Unmarshal(r.body, &runs) == nil && len(runs.Runs) > 0
		})
		require.Equal(t, "requests", runs.Runs[0].Cause)
		run := api.awaitRun(runs.Runs[0].ID)
		require.Equal(t, 24, run.Recorded["qlora"])
		// A second run would have been started by the time both processes have looked again, which they do every two seconds.
		time.Sleep(5 * time.Second)
		list, err := temporal.ListWorkflow(context.Background(), &workflowservice.ListWorkflowExecutionsRequest{Query: "WorkflowType = 'Benchmark'"})
		require.NoError(t, err)
		require.Len(t, list.GetExecutions(), 1)
	})
}
