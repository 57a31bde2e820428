package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"

	"teller/adapters/adaptertest/fakeserver"
)

// chaosVariable asks for the long run; `make chaos` sets it.
const chaosVariable = "TELLER_CHAOS"

// TestNoTurnIsLostDoubledOrOutOfOrder holds many conversations through two API processes while processes are killed at
// random. Their callers do what a careful caller does: they send a request again, with its Idempotency-Key, until it is
// answered.
func TestNoTurnIsLostDoubledOrOutOfOrder(t *testing.T) {
	conversations, turns, kills, callers := 24, 3, 6, 12
	if os.Getenv(chaosVariable) != "" {
		conversations, turns, kills, callers = 200, 5, 30, 25
	}
	s := newStack(t)
	s.vllm.Script(fakeserver.Behaviour{Latency: 30 * time.Millisecond, Reply: func(r fakeserver.Request) string {
		return fmt.Sprintf("re %s after %d", r.Messages[len(r.Messages)-1].Text, len(r.Messages)-1)
	}})
	c := startChaos(s)

	var answered atomic.Int64
	var group errgroup.Group
	queue := make(chan int, conversations)
	for i := range conversations {
		queue <- i
	}
	close(queue)
	for range callers {
		group.Go(func() error {
			for i := range queue {
				for turn := range turns {
					if err := c.converse(i, turn); err != nil {
						return err
					}
					answered.Add(1)
				}
			}
			return nil
		})
	}
	// Kills are spread over the turns rather than over time: a fast machine sees as many as a slow one.
	total := int64(conversations * turns)
	for kill := range kills {
		due := total * int64(kill+1) / int64(kills+2)
		s.eventuallyWithin(5*time.Minute, "turns go on being answered", func() bool { return answered.Load() >= due })
		c.killOne()
	}
	require.NoError(t, group.Wait())

	for i := range conversations {
		var want []string
		for turn := range turns {
			want = append(want, message(i, turn))
		}
		got := c.transcript(i)
		require.Len(t, got, turns, "conversation %d: none lost, none doubled", i)
		for turn, said := range got {
			require.Equal(t, want[turn], said.Message, "conversation %d: in order", i)
			if model(i) == "qlora" {
				require.Equal(t, fmt.Sprintf("re %s after %d", want[turn], 2*turn), said.Response, "the answer is this turn's, asked with all turns before it")
			} else {
				require.NotEmpty(t, said.Response)
			}
		}
	}
	s.eventually("usage counts each turn once", func() bool { return c.counted() == total })
	t.Logf("%d turns in %d conversations, %d processes killed: %s", total, conversations, kills, strings.Join(c.killed, " "))
}

func message(conversation, turn int) string { return fmt.Sprintf("c%d m%d", conversation, turn) }

// model says who answers a conversation: every fourth is the transformer's, on the GPU worker.
func model(conversation int) string {
	if conversation%4 == 3 {
		return "custom"
	}
	return "qlora"
}

// chaos is a gateway whose processes are killed and started again at the same addresses.
type chaos struct {
	*stack
	addresses []string // of the API processes
	processes map[string]*proc
	start     map[string]func() *proc
	next      []string // to be killed
	killed    []string
	rng       *rand.Rand
	turn      atomic.Uint64
}

func startChaos(s *stack) *chaos {
	c := &chaos{stack: s, processes: map[string]*proc{}, start: map[string]func() *proc{}, rng: rand.New(rand.NewPCG(1, 1))}
	for i := range 2 {
		address := freeAddress(s.t)
		c.addresses = append(c.addresses, address)
		c.start[fmt.Sprint("api", i)] = func() *proc { return s.start([]string{"TELLER_API_ADDR=" + address}, "api") }
	}
	c.start["worker"] = func() *proc { return s.worker() }
	c.start["gpu-worker"] = func() *proc { return s.gpuWorker() }
	for name, start := range c.start {
		c.processes[name] = start()
	}
	c.start["temporal"] = func() *proc { s.startTemporal(); return s.temporal }
	c.processes["temporal"] = s.temporal
	return c
}

// killOne is kill -9 of a process, which is started again at once. Each process has its turn before one is killed again.
func (c *chaos) killOne() {
	if len(c.next) == 0 {
		c.next = slices.Sorted(maps.Keys(c.processes))
		c.rng.Shuffle(len(c.next), func(i, j int) { c.next[i], c.next[j] = c.next[j], c.next[i] })
	}
	name := c.next[0]
	c.next = c.next[1:]
	c.processes[name].kill()
	c.killed = append(c.killed, name)
	c.processes[name] = c.start[name]()
}

var unhurried = &http.Client{Timeout: 90 * time.Second}

// converse sends a turn until it is answered.
func (c *chaos) converse(conversation, turn int) error {
	text, err := json.Marshal(body{"message": message(conversation, turn), "conversation_id": fmt.Sprint("c", conversation), "model": model(conversation)})
	if err != nil {
		return err
	}
	deadline := time.Now().Add(5 * time.Minute)
	last := ""
	for time.Now().Before(deadline) {
		address := c.addresses[c.turn.Add(1)%uint64(len(c.addresses))]
		req, err := http.NewRequest(http.MethodPost, "http://"+address+"/api/v1/chat", strings.NewReader(string(text)))
		if err != nil {
			return err
		}
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", message(conversation, turn))
		resp, err := unhurried.Do(req)
		if err != nil {
			last = err.Error()
			time.Sleep(50 * time.Millisecond) // an API process on its way back
			continue
		}
		var answer struct {
			Error struct{ Code, Message string }
		}
		_ = json.NewDecoder(resp.Body).Decode(&answer) // an answer that is cut off is asked for again
		resp.Body.Close()
		switch {
		case resp.StatusCode == http.StatusOK:
			return nil
		case resp.StatusCode < 499:
			return fmt.Errorf("%s: status %d, %s: %s", message(conversation, turn), resp.StatusCode, answer.Error.Code, answer.Error.Message)
		}
		last = fmt.Sprint(resp.StatusCode, " ", answer.Error.Code, ": ", answer.Error.Message)
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("%s: not answered in 5 minutes: %s", message(conversation, turn), last)
}

// said is a turn of a transcript.
type said struct{ Message, Response string }

func (c *chaos) transcript(conversation int) []said {
	var transcript struct{ Turns []said }
	c.eventually("the transcript can be read", func() bool {
		resp, err := unhurried.Get("http://" + c.addresses[0] + fmt.Sprint("/api/v1/conversations/c", conversation))
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK && json.NewDecoder(resp.Body).Decode(&transcript) == nil
	})
	return transcript.Turns
}

// counted sums the answered turns that the store has rows of.
func (c *chaos) counted() (turns int64) {
	resp, err := unhurried.Get("http://" + c.addresses[0] + "/api/v1/usage")
	if err != nil {
		return -1
	}
	defer resp.Body.Close()
	var sums struct {
		Usage []struct{ Turns, Failed int64 }
	}
	if json.NewDecoder(resp.Body).Decode(&sums) != nil {
		return -1
	}
	for _, row := range sums.Usage {
		turns += row.Turns - row.Failed
	}
	return turns
}

// eventuallyWithin waits longer than eventually.
func (s *stack) eventuallyWithin(limit time.Duration, what string, condition func() bool) {
	s.t.Helper()
	require.Eventually(s.t, condition, limit, 20*time.Millisecond, what)
}
