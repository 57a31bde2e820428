// Package openloop loads a service the way strangers do: calls begin at random times that don't depend on how earlier ones fare, and
// their latency counts from when they were due. It is pure: the caller makes the calls. A closed loop, whose callers wait for one another,
// would slow down with the service and hide its worst times (coordinated omission).
package openloop

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"gonum.org/v1/gonum/stat"
	"gonum.org/v1/gonum/stat/distuv"
)

// Options say how to load.
type Options struct {
	Rate     float64       // mean number of arrivals a second, above 0
	Duration time.Duration // in which calls begin
	// Objective is how long an answer may take; an answer within it is good.
	Objective time.Duration
	// InFlight bounds the calls that are open at once. An arrival beyond it is dropped and counted: it is not put off, which would
	// close the loop.
	InFlight int
	Seed     uint64 // of the arrivals
	// Progress is called now and then with what has happened so far; nil is no one.
	Progress func(Result)
}

// Call makes the i-th call and gives a code for why it failed; "" is an answer.
type Call func(ctx context.Context, i int) (code string)

// Result is what a load found out. Times are in milliseconds.
type Result struct {
	Offered  int `json:"offered"`  // arrivals
	Dropped  int `json:"dropped"`  // of them that found InFlight calls open
	Answered int `json:"answered"` // without a failure
	Good     int `json:"good"`     // answered within the objective
	// Errors are the failed calls by code.
	Errors  map[string]int `json:"errors,omitempty"`
	Seconds float64        `json:"seconds"` // from the first arrival's schedule to the end of the last call
	// OfferedPerSecond and GoodPerSecond are over the time in which calls begin; GoodShare is of the arrivals, drops included.
	OfferedPerSecond float64 `json:"offered_per_second"`
	GoodPerSecond    float64 `json:"good_per_second"`
	GoodShare        float64 `json:"good_share"`
	// Latency of the answered calls, from when they were due.
	Latency Latency `json:"latency_ms"`
}

// Latency is quantiles by the nearest-rank method; zero without answers.
type Latency struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// Check refuses options that load nothing.
func (o Options) Check() error {
	switch {
	case !(o.Rate > 0) || o.Rate > 1e6:
		return fmt.Errorf("the rate %v is not above 0 and at most 1e6 a second", o.Rate)
	case o.Duration <= 0:
		return fmt.Errorf("the duration %s is not above 0", o.Duration)
	case o.Objective <= 0:
		return fmt.Errorf("the objective %s is not above 0", o.Objective)
	case o.InFlight < 1:
		return fmt.Errorf("%d calls in flight is below 1", o.InFlight)
	}
	return nil
}

// Arrivals are the times after the start at which calls are due: a Poisson process, whose gaps are exponential and independent
// (W. Feller, "An Introduction to Probability Theory and Its Applications", volume 2, section I.4).
func Arrivals(rate float64, duration time.Duration, seed uint64) []time.Duration {
	gaps := distuv.Exponential{Rate: rate, Src: rand.NewPCG(seed, 0)}
	var at []time.Duration
	for seconds := gaps.Rand(); seconds < duration.Seconds(); seconds += gaps.Rand() {
		at = append(at, time.Duration(seconds*float64(time.Second)))
	}
	return at
}

// Run loads, and waits for the calls that are open at the end. When ctx ends no further call begins.
func Run(ctx context.Context, o Options, call Call) (Result, error) {
	if err := o.Check(); err != nil {
		return Result{}, err
	}
	r := recorder{options: o, began: time.Now(), result: Result{Errors: map[string]int{}}}
	slots := make(chan struct{}, o.InFlight)
	var open sync.WaitGroup
	report := time.NewTicker(time.Second)
	defer report.Stop()
	for i, due := range Arrivals(o.Rate, o.Duration, o.Seed) {
		at := r.began.Add(due)
		if !r.wait(ctx, at, report.C) {
			break
		}
		select {
		case slots <- struct{}{}:
		default:
			r.drop()
			continue
		}
		open.Go(func() {
			code := call(ctx, i)
			r.record(time.Since(at), code)
			<-slots
		})
		r.offer()
	}
	open.Wait()
	return r.sum(), ctx.Err()
}

type recorder struct {
	options Options
	began   time.Time

	mu     sync.Mutex
	result Result
	took   []float64 // of the answered calls, in milliseconds
}

// wait gives false when ctx ends before the time.
func (r *recorder) wait(ctx context.Context, until time.Time, report <-chan time.Time) bool {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-report:
			if r.options.Progress != nil {
				r.options.Progress(r.sum())
			}
		}
	}
}

func (r *recorder) offer() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Offered++
}

func (r *recorder) drop() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.result.Offered++
	r.result.Dropped++
}

func (r *recorder) record(took time.Duration, code string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if code != "" {
		r.result.Errors[code]++
		return
	}
	r.result.Answered++
	if took <= r.options.Objective {
		r.result.Good++
	}
	r.took = append(r.took, float64(took)/float64(time.Millisecond))
}

func (r *recorder) sum() Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.result
	out.Errors = make(map[string]int, len(r.result.Errors))
	for code, n := range r.result.Errors {
		out.Errors[code] = n
	}
	out.Seconds = time.Since(r.began).Seconds()
	begins := math.Min(out.Seconds, r.options.Duration.Seconds())
	out.OfferedPerSecond, out.GoodPerSecond = float64(out.Offered)/begins, float64(out.Good)/begins
	if out.Offered > 0 {
		out.GoodShare = float64(out.Good) / float64(out.Offered)
	}
	if len(r.took) > 0 {
		slices.Sort(r.took)
		at := func(p float64) float64 { return stat.Quantile(p, stat.Empirical, r.took, nil) }
		out.Latency = Latency{P50: at(0.5), P90: at(0.9), P99: at(0.99), Max: at(1)}
	}
	return out
}
