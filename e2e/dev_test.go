package e2e

import (
	"context"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// dev is `make run` without the build.
type dev struct {
	*proc
	api *apiProc
}

// newDev gives a stack without processes, for tests of 'teller dev'.
func newDev(t *testing.T) *stack {
	t.Helper()
	requireBinaries(t)
	return &stack{t: t, env: map[string]string{
		"TELLER_TEMPORAL_ADDR": freeAddress(t),
		"TELLER_UI_ADDR":       freeAddress(t),
		"TELLER_API_ADDR":      freeAddress(t),
		"TELLER_DATA_DIR":      filepath.Join(t.TempDir(), "data"),
		"TELLER_TEMPORAL_BIN":  os.Getenv(temporalVariable),
		// A profile for some other cluster must not catch the processes.
		"TEMPORAL_ADDRESS":   "127.0.0.1:1",
		"TEMPORAL_API_KEY":   "a key of another cluster",
		"TEMPORAL_NAMESPACE": "elsewhere",
	}}
}

func (s *stack) dev() dev {
	s.t.Helper()
	d := dev{proc: s.start(nil, "dev")}
	d.api = &apiProc{proc: d.proc, t: s.t, url: "http://" + s.env["TELLER_API_ADDR"]}
	s.eventually("everything is ready", func() bool { return strings.Contains(d.out.String(), "Teller is ready") })
	return d
}

func TestDevStartsEverythingTwiceSideBySide(t *testing.T) {
	one, two := newDev(t), newDev(t)
	first, second := one.dev(), two.dev()

	for _, d := range []dev{first, second} {
		c := d.api.ask(body{"message": "What is a bank?", "conversation_id": "c"})
		require.Equal(t, "custom", c.ModelVersion)
		require.Contains(t, strings.ToLower(c.Response), "bank")
		require.NotNil(t, c.Confidence)
	}
	resp, err := http.Get("http://" + one.env["TELLER_UI_ADDR"])
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, http.StatusOK, resp.StatusCode)

	t.Run("the welcome holds a line to try", func(t *testing.T) {
		require.Contains(t, first.out.String(), "curl -s http://"+one.env["TELLER_API_ADDR"]+"/api/v1/chat")
		require.NotContains(t, first.out.String(), "level=ERROR")
	})
	t.Run("a third on the same addresses says which variable moves each", func(t *testing.T) {
		third := one.start(nil, "dev")
		<-third.done
		require.Equal(t, 1, third.cmd.ProcessState.ExitCode())
		for _, variable := range []string{"TELLER_API_ADDR", "TELLER_TEMPORAL_ADDR", "TELLER_UI_ADDR"} {
			require.Contains(t, third.out.String(), variable+": ")
		}
	})
	t.Run("what dies is started again", func(t *testing.T) {
		for _, pid := range children(t, first.cmd.Process.Pid) {
			require.NoError(t, syscall.Kill(pid, syscall.SIGKILL))
		}
		one.eventually("turns are taken again", func() bool {
			return first.api.do(context.Background(), http.MethodPost, "/api/v1/chat", body{"message": "Still there?"}).status == http.StatusOK
		})
	})
	t.Run("Ctrl-C stops all of it, and a restart keeps everything", func(t *testing.T) {
		said := first.api.said("c")
		pids := children(t, first.cmd.Process.Pid)
		require.Len(t, pids, 4)
		require.Zero(t, first.terminate(t, os.Interrupt))
		for _, pid := range pids {
			require.Error(t, syscall.Kill(pid, 0), "process %d is left behind", pid)
		}
		for _, variable := range []string{"TELLER_API_ADDR", "TELLER_TEMPORAL_ADDR", "TELLER_UI_ADDR"} {
			l, err := net.Listen("tcp", one.env[variable])
			require.NoError(t, err)
			l.Close()
		}
		require.Equal(t, said, one.dev().api.said("c"))
	})
	t.Run("a killed supervisor leaves nothing behind", func(t *testing.T) {
		pids := children(t, second.cmd.Process.Pid)
		second.kill()
		two.eventually("its processes are gone", func() bool {
			for _, pid := range pids {
				if syscall.Kill(pid, 0) == nil {
					return false
				}
			}
			return true
		})
	})
}

func TestDevFailsClearly(t *testing.T) {
	for name, test := range map[string]struct{ variable, value, says string }{
		"a wrong value":                   {"TELLER_TURN_TIMEOUT", "soon", "TELLER_TURN_TIMEOUT: "},
		"a model that is not there":       {"MODEL_VERSION", "gpt", "MODEL_VERSION: there is no model \"gpt\""},
		"no embedded server":              {"TELLER_TEMPORAL_BIN", "/nowhere/teller-temporal", "make build"},
		"an embedded server that is none": {"TELLER_TEMPORAL_BIN", "/bin/false", "temporal ended during the start"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newDev(t)
			s.env[test.variable] = test.value
			p := s.start(nil, "dev")
			<-p.done
			require.Equal(t, 1, p.cmd.ProcessState.ExitCode())
			require.Contains(t, p.out.String(), test.says)
		})
	}
}
