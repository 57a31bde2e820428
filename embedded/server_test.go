package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// The server's pool never closes a database that it has opened.
		goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"), goleak.Cleanup(func(code int) {
			if path, err := binary(); err == nil && os.Getenv("TELLER_TEMPORAL_BIN") == "" {
				_ = os.RemoveAll(filepath.Dir(path))
			}
			os.Exit(code)
		}))
}

// answer is a turn as Teller marks it, so that it can be found in the Web UI.
func answer(ctx workflow.Context, model string) (string, error) {
	err := workflow.UpsertTypedSearchAttributes(ctx,
		temporal.NewSearchAttributeKeyKeyword("TellerModel").ValueSet(model),
		temporal.NewSearchAttributeKeyKeyword("TellerConversation").ValueSet("c-1"),
		temporal.NewSearchAttributeKeyKeyword("TellerTenant").ValueSet("t-1"),
		temporal.NewSearchAttributeKeyKeyword("TellerOutcome").ValueSet("ok"),
		temporal.NewSearchAttributeKeyInt64("TellerLatencyMs").ValueSet(1234),
	)
	return "by " + model, err
}

const foundInUI = `TellerModel = "custom" AND TellerConversation = "c-1" AND TellerTenant = "t-1" AND TellerOutcome = "ok" AND TellerLatencyMs > 1000`

func count(ctx context.Context, c client.Client, query string) int64 {
	resp, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: query})
	if err != nil {
		return -1
	}
	return resp.GetCount()
}

func get(t *testing.T, url string) (*http.Response, string) {
	t.Helper()
	web := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := web.Get(url)
	require.NoError(t, err)
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp, string(body)
}

// The life of a development server: a first start, work, a kill, a second start that has kept all of it, a clean stop.
func TestServer(t *testing.T) {
	ctx := t.Context()
	env := environment(t)
	p := start(t, env)

	resp, page := get(t, "http://"+env["TELLER_UI_ADDR"]+"/")
	require.Equal(t, http.StatusOK, resp.StatusCode)
	require.Contains(t, resp.Header.Get("Content-Type"), "text/html")
	require.Contains(t, page, "<html")
	_, settings := get(t, "http://"+env["TELLER_UI_ADDR"]+"/api/v1/settings")
	require.Contains(t, settings, `"DefaultNamespace":"default"`)

	c := dial(t, env)
	w := worker.New(c, "test", worker.Options{})
	w.RegisterWorkflow(answer)
	require.NoError(t, w.Start())
	run, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: "turn", TaskQueue: "test", EnableEagerStart: true}, answer, "custom")
	require.NoError(t, err)
	var result string
	require.NoError(t, run.Get(ctx, &result))
	require.Equal(t, "by custom", result)
	require.Eventually(t, func() bool { return count(ctx, c, foundInUI) == 1 }, patience, 20*time.Millisecond)
	namespace, err := c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: "default"})
	require.NoError(t, err)
	require.Equal(t, 7*24*time.Hour, namespace.Config.WorkflowExecutionRetentionTtl.AsDuration())
	w.Stop()
	c.Close()

	p.kill(t)
	env["TELLER_TEMPORAL_RETENTION"] = "24h"
	p = start(t, env)
	c = dial(t, env)
	defer c.Close()
	require.NoError(t, c.GetWorkflow(ctx, "turn", run.GetRunID()).Get(ctx, &result))
	require.Equal(t, "by custom", result)
	require.EqualValues(t, 1, count(ctx, c, foundInUI))
	namespace, err = c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: "default"})
	require.NoError(t, err)
	require.Equal(t, 24*time.Hour, namespace.Config.WorkflowExecutionRetentionTtl.AsDuration())

	stdout, stderr, err := p.stop(t, syscall.SIGTERM)
	require.NoError(t, err)
	require.Contains(t, stdout, "ui=http://"+env["TELLER_UI_ADDR"])
	require.Empty(t, stderr, "a person at the terminal sees nothing but the ready line")
}

// Whatever was acknowledged before a SIGKILL is there afterwards, and the file is sound. Workers are attached, so that
// the kill lands between writes of every kind.
func TestKill(t *testing.T) {
	const rounds, callers = 3, 8
	ctx := t.Context()
	env := environment(t)
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	for round := range rounds {
		p := start(t, env)
		c := dial(t, env)
		w := worker.New(c, "test", worker.Options{WorkerStopTimeout: time.Millisecond})
		w.RegisterWorkflow(answer)
		require.NoError(t, w.Start())
		working, killed := context.WithCancel(ctx)
		enough := make(chan struct{}, callers)
		var wg sync.WaitGroup
		for caller := range callers {
			wg.Go(func() {
				for i := 0; working.Err() == nil; i++ {
					id := fmt.Sprintf("turn-%d-%d-%d", round, caller, i)
					attempt, cancel := context.WithTimeout(working, patience)
					_, err := c.ExecuteWorkflow(attempt, client.StartWorkflowOptions{
						ID: id, TaskQueue: "test",
						WorkflowTaskTimeout: time.Second, // a task that the kill took away is given out again after it
					}, answer, "custom")
					cancel()
					if err != nil {
						return
					}
					mu.Lock()
					acknowledged[id] = true
					mu.Unlock()
					if i == 10 {
						enough <- struct{}{}
					}
				}
			})
		}
		for range callers {
			<-enough
		}
		p.kill(t)
		killed()
		wg.Wait()
		w.Stop()
		c.Close()
	}

	p := start(t, env)
	c := dial(t, env)
	defer c.Close()
	w := worker.New(c, "test", worker.Options{})
	w.RegisterWorkflow(answer)
	require.NoError(t, w.Start())
	require.GreaterOrEqual(t, len(acknowledged), rounds*callers*10)
	for id := range acknowledged {
		var result string
		require.NoError(t, c.GetWorkflow(ctx, id, "").Get(ctx, &result), id)
		require.Equal(t, "by custom", result)
	}
	w.Stop()
	_, stderr, err := p.stop(t, os.Interrupt)
	require.NoError(t, err)
	require.Empty(t, stderr)

	db, err := sql.Open("sqlite", filepath.Join(env["TELLER_DATA_DIR"], "temporal.db"))
	require.NoError(t, err)
	defer func() { _ = db.Close() }()
	var sound string
	require.NoError(t, db.QueryRow("PRAGMA integrity_check").Scan(&sound))
	require.Equal(t, "ok", sound)
}

// Two servers differ in nothing but the three variables.
func TestSideBySide(t *testing.T) {
	one, other := environment(t), environment(t)
	first, second := start(t, one), start(t, other)
	for _, env := range []map[string]string{one, other} {
		c := dial(t, env)
		require.EqualValues(t, 0, count(t.Context(), c, foundInUI))
		c.Close()
	}

	other["TELLER_TEMPORAL_ADDR"] = one["TELLER_TEMPORAL_ADDR"]
	out, err := command(t, other).CombinedOutput()
	require.ErrorContains(t, err, "exit status 1")
	require.Contains(t, string(out), "TELLER_TEMPORAL_ADDR: cannot listen on "+one["TELLER_TEMPORAL_ADDR"])

	other["TELLER_TEMPORAL_ADDR"], other["TELLER_UI_ADDR"] = freeAddress(t), freeAddress(t)
	out, err = command(t, other).CombinedOutput()
	require.ErrorContains(t, err, "exit status 1")
	require.Contains(t, string(out), "TELLER_DATA_DIR")
	require.Contains(t, string(out), "in use by another process")

	for _, p := range []*process{first, second} {
		_, stderr, err := p.stop(t, syscall.SIGTERM)
		require.NoError(t, err)
		require.Empty(t, stderr)
	}
}
