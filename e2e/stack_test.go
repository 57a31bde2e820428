// Package e2e tests the gateway as its users meet it: real processes, real HTTP, a real Temporal
// server, and kill -9. Models across the network are played by a server that speaks vLLM's wire format.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teller/adapters/adaptertest/openaiserver"
	"teller/internal/lockedbuffer"
)

// The binaries under test; `make test` builds them and sets these.
const (
	tellerVariable   = "TELLER_BIN"
	temporalVariable = "TELLER_TEMPORAL_BIN"
)

// patience is how long a condition may take on a busy machine before a test fails. No test asserts
// a time except where the product promises one, and then with room for such a machine.
const patience = 60 * time.Second

// stack is one gateway on addresses of its own.
type stack struct {
	t        *testing.T
	env      map[string]string
	temporal *proc
	vllm     *openaiserver.Server
}

// newStack starts a Temporal server and a stand-in vLLM. The processes of Teller are started by the
// test, with s.start.
func newStack(t *testing.T) *stack {
	t.Helper()
	requireBinaries(t)
	vllm, err := openaiserver.Start("127.0.0.1:0", "banking")
	require.NoError(t, err)
	t.Cleanup(func() { _ = vllm.Close() })
	s := &stack{t: t, vllm: vllm, env: map[string]string{
		"TELLER_TEMPORAL_ADDR": freeAddress(t),
		"TELLER_UI_ADDR":       freeAddress(t),
		"TELLER_DATA_DIR":      filepath.Join(t.TempDir(), "data"),
		"VLLM_BASE_URL":        vllm.URL(),
		"MODEL_VERSION":        "qlora",
		"TELLER_FALLBACKS":     "qlora",
		"TEMPORAL_CONFIG_FILE": os.DevNull,
		"BENCHMARK_SCHEDULE":   "off", // a test must not meet the nightly run
	}}
	s.env["TEMPORAL_ADDRESS"] = s.env["TELLER_TEMPORAL_ADDR"]
	s.startTemporal()
	return s
}

func requireBinaries(t *testing.T) {
	t.Helper()
	if os.Getenv(tellerVariable) == "" || os.Getenv(temporalVariable) == "" {
		t.Skipf("%s and %s are not set: run 'make test'", tellerVariable, temporalVariable)
	}
}

func (s *stack) startTemporal() {
	s.t.Helper()
	s.temporal = s.exec("temporal", os.Getenv(temporalVariable), nil)
	s.eventually("Temporal listens", func() bool {
		c, err := net.DialTimeout("tcp", s.env["TELLER_TEMPORAL_ADDR"], time.Second)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// worker starts the worker of network models; gpuWorker that of the transformer.
func (s *stack) worker(extra ...string) *proc    { return s.start(extra, "worker") }
func (s *stack) gpuWorker(extra ...string) *proc { return s.start(extra, "worker", "--gpu") }

// start runs a teller process with extra variables ("NAME=value").
func (s *stack) start(extra []string, args ...string) *proc {
	s.t.Helper()
	return s.exec(strings.Join(args, " "), os.Getenv(tellerVariable), extra, args...)
}

// api starts an API process and waits until it is ready.
func (s *stack) api(extra ...string) *apiProc {
	s.t.Helper()
	addr := freeAddress(s.t)
	a := &apiProc{proc: s.start(append(extra, "TELLER_API_ADDR="+addr), "api"), t: s.t, url: "http://" + addr}
	s.eventually("the API is ready", func() bool {
		resp, err := http.Get(a.url + "/readyz")
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return a
}

// eventually waits for a condition.
func (s *stack) eventually(what string, condition func() bool) {
	s.t.Helper()
	require.Eventually(s.t, condition, patience, 20*time.Millisecond, what)
}

// proc is a running process; its output is printed when the test fails.
type proc struct {
	cmd  *exec.Cmd
	out  *lockedbuffer.Buffer
	done chan struct{}
}

func (s *stack) exec(name, bin string, extra []string, args ...string) *proc {
	s.t.Helper()
	p := &proc{cmd: exec.Command(bin, args...), out: &lockedbuffer.Buffer{}, done: make(chan struct{})}
	p.cmd.Dir = s.t.TempDir() // no .env of a developer
	for _, v := range os.Environ() {
		name, _, _ := strings.Cut(v, "=")
		if name == "PATH" || name == "HOME" || name == "TMPDIR" || strings.HasPrefix(name, "GOCOVER") {
			p.cmd.Env = append(p.cmd.Env, v)
		}
	}
	for k, v := range s.env {
		p.cmd.Env = append(p.cmd.Env, k+"="+v)
	}
	p.cmd.Env = append(p.cmd.Env, extra...)
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(s.t, p.cmd.Start())
	go func() { _ = p.cmd.Wait(); close(p.done) }()
	s.t.Cleanup(func() {
		p.kill()
		if s.t.Failed() {
			s.t.Logf("--- %s ---\n%s", name, p.out)
		}
	})
	return p
}

// kill is kill -9.
func (p *proc) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
}

// terminate asks the process to stop and gives its exit code.
func (p *proc) terminate(t *testing.T, sig os.Signal) int {
	t.Helper()
	require.NoError(t, p.cmd.Process.Signal(sig))
	select {
	case <-p.done:
	case <-time.After(patience):
		require.FailNow(t, "the process does not stop")
	}
	return p.cmd.ProcessState.ExitCode()
}

// apiProc is a running API process.
type apiProc struct {
	*proc
	t   *testing.T
	url string
}

// reply is an HTTP answer, read.
type reply struct {
	status int
	header http.Header
	body   []byte
	err    error
}

// chat is what the tests read of a turn.
type chat struct {
	Response       string   `json:"response"`
	ModelVersion   string   `json:"model_version"`
	Confidence     *float64 `json:"confidence"`
	TurnID         string   `json:"turn_id"`
	ConversationID *string  `json:"conversation_id"`
	FallbackFrom   string   `json:"fallback_from"`
	FinishReason   string   `json:"finish_reason"`
}

// body is a JSON object.
type body map[string]any

func (a *apiProc) do(ctx context.Context, method, path string, b body, headers ...string) reply {
	var content io.Reader
	if b != nil {
		text, err := json.Marshal(b)
		if err != nil {
			return reply{err: err}
		}
		content = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, a.url+path, content)
	if err != nil {
		return reply{err: err}
	}
	if b != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{err: err}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return reply{status: resp.StatusCode, header: resp.Header, body: text, err: err}
}

// ask posts a turn and gives its answer, which must be a 200.
func (a *apiProc) ask(b body, headers ...string) chat {
	a.t.Helper()
	return a.do(context.Background(), http.MethodPost, "/api/v1/chat", b, headers...).chat(a.t)
}

// asking posts a turn in the background.
func (a *apiProc) asking(ctx context.Context, b body, headers ...string) <-chan reply {
	out := make(chan reply, 1)
	go func() { out <- a.do(ctx, http.MethodPost, "/api/v1/chat", b, headers...) }()
	return out
}

func (r reply) chat(t *testing.T) (c chat) {
	t.Helper()
	require.NoError(t, r.err)
	require.Equal(t, http.StatusOK, r.status, "%s", r.body)
	require.NoError(t, json.Unmarshal(r.body, &c))
	return c
}

// code gives the error code of a reply with the status.
func (r reply) code(t *testing.T, status int) string {
	t.Helper()
	require.NoError(t, r.err)
	require.Equal(t, status, r.status, "%s", r.body)
	var e struct{ Error struct{ Code string } }
	require.NoError(t, json.Unmarshal(r.body, &e))
	return e.Error.Code
}

// said gives the messages of a conversation, question and answer in turn.
func (a *apiProc) said(conversation string) (texts []string) {
	a.t.Helper()
	r := a.do(context.Background(), http.MethodGet, "/api/v1/conversations/"+conversation, nil)
	require.NoError(a.t, r.err)
	require.Equal(a.t, http.StatusOK, r.status, "%s", r.body)
	var t struct {
		Turns []struct{ Message, Response string }
	}
	require.NoError(a.t, json.Unmarshal(r.body, &t))
	for _, turn := range t.Turns {
		texts = append(texts, turn.Message, turn.Response)
	}
	return texts
}

// lastPort is the port that freeAddress gave last. It gives each only once, so that two processes that have not
// started yet never hold the same, and only ports below those that the system gives to outgoing connections,
// one of which could have taken the port by the time a process listens there.
var lastPort atomic.Int32

func init() { lastPort.Store(10000 + rand.Int32N(8000)) }

func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		if l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", lastPort.Add(1))); err == nil {
			l.Close()
			return l.Addr().String()
		}
	}
	require.FailNow(t, "no port is free")
	return ""
}

func receive(t *testing.T, what string, c <-chan reply) reply {
	t.Helper()
	select {
	case r := <-c:
		return r
	case <-time.After(patience):
		require.FailNow(t, fmt.Sprintf("no reply: %s", what))
		return reply{}
	}
}
