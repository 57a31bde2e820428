package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

const (
	stopWithin    = 25 * time.Second // for a process to end after SIGTERM: longer than any drain
	firstRestart  = 200 * time.Millisecond
	slowestRetry  = 5 * time.Second
	steadyRunning = 30 * time.Second // a process that ran so long starts again without a wait
)

// supervisor keeps the processes of one machine running: it starts them in order, starts again what
// dies, and stops them in the opposite order.
type supervisor struct {
	out       io.Writer
	outMu     sync.Mutex
	processes []*process
}

type process struct {
	name string
	args []string
	env  []string

	mu       sync.Mutex
	cmd      *exec.Cmd
	stopping bool
	ended    chan struct{} // closed when the process runs no more and will not again
}

func newSupervisor(out io.Writer) *supervisor { return &supervisor{out: out} }

func (s *supervisor) add(name string, env []string, args ...string) {
	s.processes = append(s.processes, &process{name: name, env: env, args: args, ended: make(chan struct{})})
}

// run starts all processes, calls ready once, and returns when ctx has ended and all have stopped. A
// process that ends before ready has returned is a failure; afterwards it is started again.
func (s *supervisor) run(ctx context.Context, ready func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	steady := make(chan struct{})
	for _, p := range s.processes {
		go s.keep(p, steady, cancel)
	}
	failed := make(chan error, 1)
	go func() {
		err := ready(ctx)
		if err == nil {
			close(steady)
		} else {
			cancel(err)
		}
		failed <- err
	}()
	<-ctx.Done()
	fmt.Fprintln(os.Stderr, "teller: stopping")
	s.stop()
	<-failed
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		return cause
	}
	return nil
}

// keep runs one process until it is told to stop.
func (s *supervisor) keep(p *process, steady <-chan struct{}, fail context.CancelCauseFunc) {
	defer close(p.ended)
	// Linux ends a child when the thread that started it ends (endWithParent): keep it until then.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	wait := firstRestart
	for {
		started := time.Now()
		err := s.runOnce(p)
		p.mu.Lock()
		stopping := p.stopping
		p.mu.Unlock()
		if stopping {
			return
		}
		select {
		case <-steady:
		default:
			fail(fmt.Errorf("%s ended during the start: %w", p.name, err))
			return
		}
		if time.Since(started) > steadyRunning {
			wait = firstRestart
		}
		fmt.Fprintf(os.Stderr, "teller: %s ended (%v); starting it again\n", p.name, err)
		time.Sleep(wait)
		wait = min(2*wait, slowestRetry)
	}
}

var errEnded = errors.New("exit status 0")

func (s *supervisor) runOnce(p *process) error {
	cmd := exec.Command(p.args[0], p.args[1:]...)
	cmd.Env = p.env
	// In a group of its own, so that Ctrl-C reaches only the supervisor, which knows the order.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	endWithParent(cmd.SysProcAttr)
	output, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = cmd.Stdout
	p.mu.Lock()
	if p.stopping {
		p.mu.Unlock()
		return errEnded
	}
	err = cmd.Start()
	p.cmd = cmd
	p.mu.Unlock()
	if err != nil {
		return err
	}
	s.copyLines(p.name, output)
	if err := cmd.Wait(); err != nil {
		return err
	}
	return errEnded
}

// copyLines writes the process's lines with its name before each.
func (s *supervisor) copyLines(name string, r io.Reader) {
	reader := bufio.NewReader(r)
	for {
		line, err := reader.ReadString('\n')
		if line != "" {
			if line[len(line)-1] != '\n' {
				line += "\n"
			}
			s.outMu.Lock()
			fmt.Fprintf(s.out, "%-10s | %s", name, line)
			s.outMu.Unlock()
		}
		if err != nil {
			return
		}
	}
}

// stop ends all processes, the last started first, each after the one before it is gone.
func (s *supervisor) stop() {
	for i := len(s.processes) - 1; i >= 0; i-- {
		p := s.processes[i]
		p.signal(syscall.SIGTERM)
		select {
		case <-p.ended:
		case <-time.After(stopWithin):
			fmt.Fprintf(os.Stderr, "teller: %s does not stop; killing it\n", p.name)
			p.signal(syscall.SIGKILL)
			<-p.ended
		}
	}
}

func (p *process) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopping = true
	if p.cmd != nil && p.cmd.Process != nil {
		_ = p.cmd.Process.Signal(sig) // it may have ended by itself
	}
}
