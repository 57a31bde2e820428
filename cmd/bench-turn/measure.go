package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"
)

// stalledAfter is what a turn shows when a long poll sleeps through the workflow's end: the server's
// shortened long poll takes 1 s.
const stalledAfter = 900 * time.Millisecond

// result is one measurement.
type result struct {
	latencies []time.Duration // sorted
	took      time.Duration
	cpu       map[string]time.Duration // by process
}

// cpuPerTurn gives a process's share of a turn, in ms.
func (r result) cpuPerTurn(process string) float64 {
	return r.cpu[process].Seconds() * 1000 / float64(len(r.latencies))
}

func (r result) percentile(p float64) float64 {
	i := min(int(p*float64(len(r.latencies))), len(r.latencies)-1)
	return r.latencies[i].Seconds() * 1000
}

func (r result) rate() float64 { return float64(len(r.latencies)) / r.took.Seconds() }

func (r result) stalls() (n int) {
	for _, l := range r.latencies {
		if l > stalledAfter {
			n++
		}
	}
	return n
}

// measure runs the turns from the callers and times each.
func measure(ctx context.Context, turns, callers int, turn func(ctx context.Context, caller int) error) (result, error) {
	perCaller := make([][]time.Duration, callers)
	var next atomic.Int64
	var failed error
	var once sync.Once
	var wg sync.WaitGroup
	started := time.Now()
	for caller := range callers {
		wg.Go(func() {
			for next.Add(1) <= int64(turns) {
				begun := time.Now()
				if err := turn(ctx, caller); err != nil {
					once.Do(func() { failed = err })
					return
				}
				perCaller[caller] = append(perCaller[caller], time.Since(begun))
			}
		})
	}
	wg.Wait()
	r := result{took: time.Since(started), latencies: slices.Concat(perCaller...)}
	r.sort()
	return r, failed
}

func (r result) sort() { slices.Sort(r.latencies) }

// measured adds to a measurement the processor time that the processes have used meanwhile.
func (g *gateway) measured(run func() (result, error)) (result, error) {
	before := g.cpu()
	r, err := run()
	r.cpu = g.cpu()
	for process, used := range before {
		r.cpu[process] -= used
	}
	return r, err
}

// kinds are the measurements, in the order in which they take turns.
var kinds = []string{"floor chat", "teller chat", "floor conversation", "teller conversation"}

func compare(ctx context.Context, g *gateway, f *floor, c cli) error {
	own, err := g.modelAlone(ctx)
	if err != nil {
		return fmt.Errorf("the model: %w", err)
	}
	fmt.Printf("%d turns in each of %d rounds; medians over the rounds, in ms. The model alone, asked at the pace of turns, answers in %.2f ms\n"+
		"(p50, 1 caller), which is taken off Teller's p50 before it is divided by the floor's.\n\n", c.Turns, c.Rounds, own)
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "callers\twhat\tp50\tp99\tmax\tturns/s\tp50/floor\tstalls\ttemporal CPU\tour CPU\t")
	for _, callers := range c.Callers {
		results := map[string][]result{}
		for round := range c.Rounds + 1 {
			for _, kind := range kinds {
				fmt.Fprintf(os.Stderr, "\r%d callers, round %d of %d, %-20s", callers, round, c.Rounds, kind)
				r, err := g.measured(func() (result, error) {
					return one(ctx, g, f, kind, fmt.Sprintf("%d-%d", callers, round), c.Turns, callers)
				})
				if err != nil {
					return fmt.Errorf("%s: %w", kind, err)
				}
				if round > 0 { // the first warms up
					results[kind] = append(results[kind], r)
				}
			}
		}
		fmt.Fprintf(os.Stderr, "\r%60s\r", "")
		for i, kind := range kinds {
			rs := results[kind]
			ratio := ""
			if i%2 == 1 {
				ratio = fmt.Sprintf("%.2f", medianRatio(rs, results[kinds[i-1]], own))
			}
			stalls := 0
			for _, r := range rs {
				stalls += r.stalls()
			}
			fmt.Fprintf(table, "%d\t%s\t%.1f\t%.1f\t%.1f\t%.0f\t%s\t%d\t%.1f\t%.1f\t\n", callers, kind,
				median(rs, func(r result) float64 { return r.percentile(.5) }),
				median(rs, func(r result) float64 { return r.percentile(.99) }),
				median(rs, func(r result) float64 { return r.percentile(1) }),
				median(rs, result.rate), ratio, stalls,
				median(rs, func(r result) float64 { return r.cpuPerTurn("temporal") }),
				median(rs, func(r result) float64 {
					return r.cpuPerTurn("api") + r.cpuPerTurn("worker") + r.cpuPerTurn("floor-worker")
				}))
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	fmt.Println("\nresident memory, MB")
	printMemory(g)
	return nil
}

// turnsPerConversation is how long people talk to a bank, and how much of what was said a model is told.
const turnsPerConversation = 20

func one(ctx context.Context, g *gateway, f *floor, kind, run string, turns, callers int) (result, error) {
	chat := g.chat
	if strings.HasPrefix(kind, "floor") {
		chat = f.chat
	}
	taken := make([]int, callers)
	return measure(ctx, turns, callers, func(ctx context.Context, caller int) error {
		if strings.HasSuffix(kind, "chat") {
			return chat(ctx, "")
		}
		conversation := fmt.Sprintf("%s-%d-%d", run, caller, taken[caller]/turnsPerConversation)
		taken[caller]++
		return chat(ctx, conversation)
	})
}

func median(rs []result, of func(result) float64) float64 {
	values := make([]float64, len(rs))
	for i, r := range rs {
		values[i] = of(r)
	}
	return middle(values)
}

func middle(values []float64) float64 {
	sort.Float64s(values)
	return values[len(values)/2]
}

// medianRatio compares round by round, since what slows the machine slows both. own is what the model
// takes of a turn, in ms.
func medianRatio(rs, floors []result, own float64) float64 {
	ratios := make([]float64, len(rs))
	for i := range rs {
		ratios[i] = (rs[i].percentile(.5) - own) / floors[i].percentile(.5)
	}
	return middle(ratios)
}

// soak runs turns alone and in conversations, and prints what the processes hold on the way.
func soak(ctx context.Context, g *gateway, turns int) error {
	const steps, callers = 10, 16
	fmt.Println("resident memory, MB, before the first turn")
	printMemory(g)
	for step := 1; step <= steps; step++ {
		taken := make([]int, callers)
		r, err := measure(ctx, turns/steps, callers, func(ctx context.Context, caller int) error {
			conversation := ""
			if caller%2 == 1 {
				taken[caller]++
				conversation = fmt.Sprintf("soak-%d-%d-%d", step, caller, taken[caller]/turnsPerConversation)
			}
			return g.chat(ctx, conversation)
		})
		if err != nil {
			return err
		}
		fmt.Printf("after %d turns (%.0f turns/s, slowest %.0f ms, %d stalls)\n", step*turns/steps, r.rate(), r.percentile(1), r.stalls())
		printMemory(g)
	}
	return nil
}

func printMemory(g *gateway) {
	held := g.memory()
	for _, name := range []string{"api", "worker", "gpu-worker", "temporal"} {
		fmt.Printf("  %-11s %6.1f\n", name, held[name])
	}
}
