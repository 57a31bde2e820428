package e2e

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"
	workflowservice "go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"teller/adapters/adaptertest/fakeserver"
	"teller/workflows"
)

// saveVariable names the folder in which TestHistories saves what the replay test of package
// workflows reads. Set it only when a workflow is changed on purpose: `make histories`.
const saveVariable = "TELLER_SAVE_HISTORIES"

// TestHistories runs each kind of workflow to its end on a real server and replays what was recorded.
func TestHistories(t *testing.T) {
	s := newStack(t)
	s.worker()
	api := s.api()
	post := func(b body) reply { return api.do(context.Background(), http.MethodPost, "/api/v1/chat", b) }

	api.ask(body{"message": "answered"})
	s.save("chat-answered", "WorkflowType = 'Chat' AND TellerOutcome = 'ok'", 1)

	s.vllm.Script(fakeserver.Behaviour{Failure: fakeserver.Unavailable, Times: 2})
	fallback := s.api("MODEL_VERSION=custom", "TELLER_FALLBACKS=qlora", "TELLER_DATA_DIR="+t.TempDir())
	require.Equal(t, "custom", fallback.ask(body{"message": "no worker, then two failures, then answered"}).FallbackFrom)
	s.save("chat-fallback", "WorkflowType = 'Chat' AND TellerOutcome = 'ok'", 2)

	s.vllm.Script(fakeserver.Behaviour{Failure: fakeserver.Unauthorized})
	require.Equal(t, http.StatusBadGateway, post(body{"message": "failed"}).status)
	s.save("chat-failed", "WorkflowType = 'Chat' AND TellerOutcome = 'unauthenticated'", 1)

	cancelOne := func(b body) {
		s.vllm.Script(fakeserver.Behaviour{Hang: true, Times: 1})
		ctx, hangUp := context.WithCancel(context.Background())
		lost := api.asking(ctx, b)
		<-s.vllm.Hanging()
		hangUp()
		require.Error(t, receive(t, "cancelled", lost).err)
		<-s.vllm.Gone()
	}
	cancelOne(body{"message": "cancelled"})
	s.save("chat-cancelled", "WorkflowType = 'Chat' AND TellerOutcome = 'canceled'", 1)

	s.vllm.Script(fakeserver.Behaviour{})
	short := s.api("TELLER_CONVERSATION_IDLE=2s")
	for _, message := range []string{"one", "two", "three"} {
		short.ask(body{"message": message, "conversation_id": "idle"})
	}
	s.save("conversation-idle", "WorkflowType = 'Conversation' AND ExecutionStatus = 'Completed'", 1)

	api.ask(body{"message": "one", "conversation_id": "open"})
	cancelOne(body{"message": "two", "conversation_id": "open"})
	api.ask(body{"message": "three", "conversation_id": "open"})
	s.save("conversation-cancelled-turn", "WorkflowType = 'Conversation' AND ExecutionStatus = 'Running'", 1)

	require.Equal(t, "qlora", activeModel(t, api).Name)
	s.save("check", "WorkflowType = 'Check'", 1)

	run := api.benchmark(body{"suite": "smoke", "models": []string{"qlora", "gemini"}, "concurrency": 4})
	api.awaitRun(run)
	s.save("benchmark", "WorkflowType = 'Benchmark' AND ExecutionStatus = 'Completed'", 1)
	s.save("benchmark-model", "WorkflowType = 'BenchmarkModel' AND ExecutionStatus = 'Completed'", 1)
	run = api.benchmark(body{"suite": "long", "files": cases(210), "models": []string{"qlora"}, "concurrency": 16})
	api.awaitRun(run)
	s.save("benchmark-model-continued", "WorkflowType = 'BenchmarkModel' AND ExecutionStatus = 'ContinuedAsNew'", 1)
	rubrics := `{"vars":{"message":"one"},"assert":[{"type":"llm-rubric","value":"is kind"},{"type":"not-llm-rubric","value":"is rude"}]}`
	run = api.benchmark(body{"suite": "judged", "files": map[string]string{"cases.jsonl": rubrics}, "models": []string{"qlora"}, "judge": "qlora"})
	api.awaitRun(run)
	s.save("benchmark-model-judged", "WorkflowId = 'benchmark-"+run+"-qlora'", 1)
}

// connect gives a client of the stack's Temporal server.
func (s *stack) connect() client.Client {
	s.t.Helper()
	c, err := client.Dial(client.Options{HostPort: s.env["TELLER_TEMPORAL_ADDR"], Logger: quiet{}})
	require.NoError(s.t, err)
	s.t.Cleanup(c.Close)
	return c
}

// save waits for the workflow that was the at-least'th to match, replays its history, and writes it
// when saveVariable says where.
func (s *stack) save(name, query string, atLeast int) {
	s.t.Helper()
	c := s.connect()
	ctx := context.Background()
	var id, run string
	s.eventually(name+" is listed", func() bool {
		list, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: query})
		if err != nil || len(list.GetExecutions()) < atLeast {
			return false
		}
		id, run = list.GetExecutions()[0].GetExecution().GetWorkflowId(), list.GetExecutions()[0].GetExecution().GetRunId()
		return true
	})
	history := s.history(c, id, run)
	replayer := worker.NewWorkflowReplayer()
	workflows.Register(replayer)
	require.NoError(s.t, replayer.ReplayWorkflowHistory(quiet{}, history), name)

	dir := os.Getenv(saveVariable)
	if dir == "" {
		return
	}
	text, err := temporalproto.CustomJSONMarshalOptions{Indent: " "}.Marshal(history)
	require.NoError(s.t, err)
	host, err := os.Hostname()
	require.NoError(s.t, err)
	// A history names the machine it ran on.
	cleaned := strings.NewReplacer("@"+host+"@", "@host@", "\""+host+":", "\"host:").Replace(string(text))
	require.True(s.t, json.Valid([]byte(cleaned)))
	require.NoError(s.t, os.WriteFile(filepath.Join(dir, name+".json"), []byte(cleaned), 0o644))
}

func (s *stack) history(c client.Client, id, run string) *historypb.History {
	s.t.Helper()
	h := &historypb.History{}
	events := c.GetWorkflowHistory(context.Background(), id, run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		require.NoError(s.t, err)
		h.Events = append(h.Events, event)
	}
	return h
}

// timedOut tells whether an activity of the one workflow that the query finds has timed out.
func (s *stack) timedOut(query string) bool {
	s.t.Helper()
	c := s.connect()
	list, err := c.ListWorkflow(context.Background(), &workflowservice.ListWorkflowExecutionsRequest{Query: query})
	if err != nil || len(list.GetExecutions()) == 0 {
		return false
	}
	e := list.GetExecutions()[0].GetExecution()
	for _, event := range s.history(c, e.GetWorkflowId(), e.GetRunId()).GetEvents() {
		if event.GetEventType() == enumspb.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT {
			return true
		}
	}
	return false
}

// quiet drops what the SDK would log.
type quiet struct{}

func (quiet) Debug(string, ...any) {}
func (quiet) Info(string, ...any)  {}
func (quiet) Warn(string, ...any)  {}
func (quiet) Error(string, ...any) {}
