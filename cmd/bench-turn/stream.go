package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"teller/adapters/adaptertest/fakeserver"
)

const (
	spokenWords = 40
	// betweenWords is the pace of a model that streams.
	betweenWords = 5 * time.Millisecond
	openStreams  = 500
)

// spoken is what the streaming model says: a word of it is a token.
var spoken = strings.TrimSpace(strings.Repeat("interest ", spokenWords))

// firstToken posts a request for a stream and reads it to its end. It gives the time to the first event that holds a word.
func (g *gateway) firstToken(ctx context.Context, url string, body map[string]any) (time.Duration, error) {
	text, err := json.Marshal(body)
	if err != nil {
		return 0, err
	}
	started := time.Now()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(text))
	if err != nil {
		return 0, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := g.http.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		answer, _ := io.ReadAll(resp.Body)
		return 0, fmt.Errorf("%s: %s", resp.Status, answer)
	}
	var first time.Duration
	last := ""
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if first == 0 && strings.Contains(lines.Text(), "interest") {
			first = time.Since(started)
		}
		if lines.Text() != "" {
			last = lines.Text()
		}
	}
	if lines.Err() == nil && first == 0 {
		return 0, fmt.Errorf("the stream held no token: %s", last)
	}
	return first, lines.Err()
}

// firstTokens measures the time to the first token of many streams.
func (g *gateway) firstTokens(ctx context.Context, turns, callers int, url string, body map[string]any) (result, error) {
	var mu sync.Mutex
	var firsts []time.Duration
	r, err := measure(ctx, turns, callers, func(ctx context.Context, _ int) error {
		first, err := g.firstToken(ctx, url, body)
		mu.Lock()
		defer mu.Unlock()
		firsts = append(firsts, first)
		return err
	})
	r.latencies = firsts
	r.sort()
	return r, err
}

var (
	askModelToStream = map[string]any{"model": "banking", "stream": true, "messages": []map[string]string{{"role": "user", "content": question}}}
	askToStream      = map[string]any{"message": question, "stream": true}
)

// printFirstTokens is the process that asks the model with nothing in between, as a worker would.
func printFirstTokens(ctx context.Context, url string, turns, callers int) error {
	g := &gateway{http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}}
	r, err := g.firstTokens(ctx, turns, callers, url+"/chat/completions", askModelToStream)
	if err != nil {
		return err
	}
	_, err = fmt.Println(r.percentile(.5), r.percentile(.99))
	return err
}

// streams compares streamed turns with the model alone and with turns whose reply comes whole, and holds many open.
func streams(ctx context.Context, g *gateway, c cli) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	g.model.Script(fakeserver.Behaviour{Text: spoken, Pause: betweenWords})
	fmt.Printf("A model that says %d words, one each %s; %d turns in each of %d rounds, medians over the rounds, in ms.\n\n", spokenWords, betweenWords, c.Turns, c.Rounds)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "callers\ttime to first token: model p50\tp99\tgateway p50\tp99\tadded p50\tp99\t")
	for _, callers := range c.Callers {
		var alone, through [2][]float64 // p50, p99
		for round := range c.Rounds + 1 {
			out, err := exec.CommandContext(ctx, self, "--stream", "--ask-model", g.model.URL(), fmt.Sprint("--turns=", c.Turns), fmt.Sprint("--callers=", callers)).Output()
			if err != nil {
				return err
			}
			var p50, p99 float64
			if _, err := fmt.Sscan(string(out), &p50, &p99); err != nil {
				return err
			}
			r, err := g.firstTokens(ctx, c.Turns, callers, g.api+"/api/v1/chat", askToStream)
			if err != nil {
				return err
			}
			if round > 0 { // the first warms up
				alone[0], alone[1] = append(alone[0], p50), append(alone[1], p99)
				through[0], through[1] = append(through[0], r.percentile(.5)), append(through[1], r.percentile(.99))
			}
		}
		a50, a99, t50, t99 := middle(alone[0]), middle(alone[1]), middle(through[0]), middle(through[1])
		fmt.Fprintf(table, "%d\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t\n", callers, a50, a99, t50, t99, t50-a50, t99-a99)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if err := throughput(ctx, g, c); err != nil {
		return err
	}
	return held(ctx, g)
}

// throughput compares streamed turns with turns whose reply comes whole, of a model that says all at once. Processor time
// says what the rate says where the machine is busy with nothing else.
func throughput(ctx context.Context, g *gateway, c cli) error {
	g.model.Script(fakeserver.Behaviour{Text: spoken})
	fmt.Printf("\nThe same words without a pause; processor time of all processes in ms a turn.\n\n")
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "callers\twhole turns/s\tstreamed turns/s\tstreamed/whole\twhole CPU\tstreamed CPU\tof it ours\t")
	for _, callers := range c.Callers {
		var whole, streamed []result
		var ratio []float64
		for round := range c.Rounds + 1 {
			w, err := g.measured(func() (result, error) {
				return measure(ctx, c.Turns, callers, func(ctx context.Context, _ int) error { return g.chat(ctx, "") })
			})
			if err != nil {
				return err
			}
			s, err := g.measured(func() (result, error) { return g.firstTokens(ctx, c.Turns, callers, g.api+"/api/v1/chat", askToStream) })
			if err != nil {
				return err
			}
			if round > 0 {
				whole, streamed, ratio = append(whole, w), append(streamed, s), append(ratio, s.rate()/w.rate())
			}
		}
		ours := func(r result) float64 { return r.cpuPerTurn("api") + r.cpuPerTurn("worker") }
		all := func(r result) float64 { return ours(r) + r.cpuPerTurn("temporal") }
		fmt.Fprintf(table, "%d\t%.0f\t%.0f\t%.2f\t%.1f\t%.1f\t%.1f\t\n", callers, median(whole, result.rate), median(streamed, result.rate), middle(ratio),
			median(whole, all), median(streamed, all), median(streamed, ours))
	}
	return table.Flush()
}

// held keeps many streams open at once, and prints what the API process holds meanwhile.
func held(ctx context.Context, g *gateway) error {
	const words, pace, between = 160, 250 * time.Millisecond, 50 * time.Millisecond
	g.model.Script(fakeserver.Behaviour{Text: strings.Repeat("interest ", words), Pause: pace})
	fmt.Printf("\n%d streams at once, a word each %s, one more each %s: resident memory of the API process, MB\n", openStreams, pace, between)
	fmt.Printf("  before     %6.1f\n", g.memory()["api"])
	for round := range 3 {
		var all sync.WaitGroup
		var mu sync.Mutex
		var failed error
		var firsts result
		open, most, peak := 0, 0, 0.0
		for range openStreams {
			all.Go(func() {
				mu.Lock()
				open++
				most = max(most, open)
				mu.Unlock()
				first, err := g.firstToken(ctx, g.api+"/api/v1/chat", askToStream)
				mu.Lock()
				defer mu.Unlock()
				open--
				firsts.latencies = append(firsts.latencies, first)
				if err != nil {
					failed = err
				}
				peak = max(peak, g.memory()["api"])
			})
			time.Sleep(between)
		}
		all.Wait()
		if failed != nil {
			return failed
		}
		firsts.sort()
		fmt.Printf("  round %d    %6.1f at most, %6.1f after it; %d open at once; first tokens p50 %.0f ms, p99 %.0f ms\n", round+1,
			peak, g.memory()["api"], most, firsts.percentile(.5), firsts.percentile(.99))
	}
	return nil
}
