package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"teller/adapters/adaptertest/fakeserver"
	"teller/adapters/adaptertest/openaiserver"
)

// gateway is a running Teller whose active model answers at once.
type gateway struct {
	temporal string // address
	api      string // URL
	http     *http.Client
	model    *openaiserver.Server
	env      []string

	mu        sync.Mutex
	processes []*process
}

type process struct {
	name string
	cmd  *exec.Cmd
	out  bytes.Buffer
}

func startGateway(ctx context.Context, bin, dir string) (*gateway, error) {
	model, err := openaiserver.Start("127.0.0.1:0", "banking")
	if err != nil {
		return nil, err
	}
	model.Script(fakeserver.Behaviour{Text: "A bank keeps money safe and lends it."})
	addresses, err := freeAddresses(3)
	if err != nil {
		return nil, err
	}
	g := &gateway{temporal: addresses[0], api: "http://" + addresses[2], model: model,
		http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}}
	g.env = append(os.Environ(), "TELLER_TEMPORAL_ADDR="+addresses[0], "TELLER_UI_ADDR="+addresses[1],
		"TELLER_API_ADDR="+addresses[2], "TELLER_DATA_DIR="+filepath.Join(dir, "data"), "TEMPORAL_ADDRESS="+addresses[0],
		"TEMPORAL_CONFIG_FILE="+os.DevNull, "MODEL_VERSION=qlora", "TELLER_FALLBACKS=qlora", "VLLM_BASE_URL="+model.URL(),
		fmt.Sprint("TELLER_WORKER_SLOTS=", 2*openStreams),
		"BENCHMARK_SCHEDULE=off", "BENCHMARK_EVERY_REQUESTS=0", "BENCHMARK_MAX_DURATION=24h") // none runs beside what is measured
	teller := filepath.Join(bin, "teller")
	for _, args := range [][]string{
		{"temporal", filepath.Join(bin, "teller-temporal")},
		{"gpu-worker", teller, "worker", "--gpu"},
		{"worker", teller, "worker"},
		{"api", teller, "api"},
	} {
		if err := g.start(args[0], args[1:]...); err != nil {
			g.stop()
			return nil, err
		}
	}
	if err := g.awaitReady(ctx); err != nil {
		g.stop()
		return nil, err
	}
	return g, nil
}

func (g *gateway) start(name string, args ...string) error {
	p := &process{name: name, cmd: exec.Command(args[0], args[1:]...)}
	p.cmd.Env, p.cmd.Dir = g.env, os.TempDir()
	p.cmd.Stdout, p.cmd.Stderr = &p.out, &p.out
	if err := p.cmd.Start(); err != nil {
		return err
	}
	g.mu.Lock()
	g.processes = append(g.processes, p)
	g.mu.Unlock()
	return nil
}

func (g *gateway) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := g.chat(ctx, "")
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the gateway does not answer: %w\n%s", err, g.logs())
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// chat asks one turn, of a conversation when one is named.
func (g *gateway) chat(ctx context.Context, conversation string) error {
	b := map[string]any{"message": question}
	if conversation != "" {
		b["conversation_id"] = conversation
	}
	return g.post(ctx, g.api+"/api/v1/chat", b)
}

const question = "What is a bank?"

// modelAlone gives the p50 in ms of a call to the model with nothing in between, made as a worker makes it:
// from a process of its own, at the pace of turns.
func (g *gateway) modelAlone(ctx context.Context) (float64, error) {
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	out, err := exec.CommandContext(ctx, self, "--ask-model", g.model.URL()).Output()
	if err != nil {
		return 0, err
	}
	return strconv.ParseFloat(strings.TrimSpace(string(out)), 64)
}

// betweenCalls is about a turn's time. Asked at the pace of turns the model takes longer than back to back: processors and caches have
// turned to other work meanwhile, as they have when a worker asks.
const betweenCalls = 8 * time.Millisecond

// askModel is that process.
func askModel(ctx context.Context, url string, turns int) error {
	g := &gateway{http: &http.Client{}}
	var r result
	for range turns {
		time.Sleep(betweenCalls)
		begun := time.Now()
		err := g.post(ctx, url+"/chat/completions", map[string]any{
			"model": "banking", "messages": []map[string]string{{"role": "user", "content": question}}})
		if err != nil {
			return err
		}
		r.latencies = append(r.latencies, time.Since(begun))
	}
	r.sort()
	_, err := fmt.Println(r.percentile(.5))
	return err
}

func (g *gateway) post(ctx context.Context, url string, body any) error {
	return g.json(ctx, http.MethodPost, url, body, nil)
}

// statusError is an answer that is no success.
type statusError struct {
	status int
	body   string
}

func (e statusError) Error() string {
	return fmt.Sprintf("%d %s: %s", e.status, http.StatusText(e.status), e.body)
}

// json sends body, unless it is nil, and reads the answer into out, unless that is nil.
func (g *gateway) json(ctx context.Context, method, url string, body, out any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(text))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := g.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		return statusError{resp.StatusCode, string(answer)}
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(answer, out)
}

// memory gives the resident memory of each process in MB. It reads Linux's /proc.
func (g *gateway) memory() map[string]float64 {
	out := map[string]float64{}
	for _, p := range g.processes {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(status)) {
			if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmRSS:" {
				kb, _ := strconv.ParseFloat(fields[1], 64)
				out[p.name] = kb / 1024
			}
		}
	}
	return out
}

// cpu gives the processor time that each process has used so far. It reads Linux's /proc.
func (g *gateway) cpu() map[string]time.Duration {
	out := map[string]time.Duration{}
	for _, p := range g.processes {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
		if err != nil {
			continue
		}
		// The name, in brackets, may hold spaces. After it, user and system time are fields 12 and 13,
		// in hundredths of a second.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		for _, field := range fields[11:13] {
			ticks, _ := strconv.Atoi(field)
			out[p.name] += time.Duration(ticks) * 10 * time.Millisecond
		}
	}
	return out
}

// stop ends the processes, the last started first.
func (g *gateway) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i := len(g.processes) - 1; i >= 0; i-- {
		p := g.processes[i]
		_ = p.cmd.Process.Signal(os.Interrupt)
		stopped := make(chan struct{})
		go func() { _ = p.cmd.Wait(); close(stopped) }()
		select {
		case <-stopped:
		case <-time.After(20 * time.Second):
			_ = p.cmd.Process.Kill()
			<-stopped
		}
	}
	_ = g.model.Close()
}

func (g *gateway) logs() string {
	var b strings.Builder
	for _, p := range g.processes {
		fmt.Fprintf(&b, "--- %s ---\n%s", p.name, p.out.String())
	}
	return b.String()
}

func freeAddresses(n int) (addresses []string, err error) {
	for range n {
		l, listenErr := net.Listen("tcp", "127.0.0.1:0")
		if listenErr != nil {
			return nil, errors.Join(err, listenErr)
		}
		defer l.Close() // all at the end, so that no two are the same
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}
