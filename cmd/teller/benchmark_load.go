package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/mattn/go-isatty"

	"teller/benchmark"
	"teller/benchmark/openloop"
)

type loadBenchmarkCmd struct {
	Rate      float64       `required:"" help:"Mean number of questions a second. They come at random times (a Poisson process), however slow the answers are."`
	Duration  time.Duration `default:"30s" help:"How long questions are asked."`
	Objective time.Duration `name:"objective-p90" default:"1s" help:"How long an answer may take; the load meets the objective when 90% of all questions are answered so soon."`
	Model     string        `help:"The model to ask; without it, the route's."`
	Suite     string        `default:"smoke" help:"Whose questions: a suite that comes with the program, a file or a folder."`
	InFlight  int           `default:"256" help:"How many questions may be open at once. One that comes beyond is dropped and counted."`
	Seed      uint64        `default:"1" help:"Of the arrivals and the questions' order."`
	JSON      bool          `name:"json" help:"Print the figures as JSON."`
}

// Help stands below the flags.
func (loadBenchmarkCmd) Help() string {
	return `Latency counts from when a question was due, so a service that stalls cannot hide it. Replies are not graded.
Exit status: 0, the objective was met; 1, it was not.`
}

func (c loadBenchmarkCmd) Run(ctx context.Context) error {
	suite, err := loadSuite(c.Suite)
	if err != nil {
		return err
	}
	r, err := newRemote()
	if err != nil {
		return err
	}
	// As many connections as questions: opening one must not count as the service's time again and again.
	r.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: c.InFlight, Proxy: http.ProxyFromEnvironment}}
	options := openloop.Options{Rate: c.Rate, Duration: c.Duration, Objective: c.Objective, InFlight: c.InFlight, Seed: c.Seed}
	if isatty.IsTerminal(os.Stderr.Fd()) {
		options.Progress = func(s openloop.Result) {
			fmt.Fprintf(os.Stderr, "\r%.0f s: %d asked, %d answered, %d within %s, p90 %.0f ms\x1b[K", s.Seconds, s.Offered, s.Answered, s.Good, c.Objective, s.Latency.P90)
		}
		defer fmt.Fprint(os.Stderr, "\r\x1b[K")
	}
	result, err := openloop.Run(ctx, options, asks(r, c.Model, suite, c.Seed))
	if err != nil {
		return err
	}
	if c.JSON {
		err = printJSON(os.Stdout, result)
	} else {
		err = printLoad(os.Stdout, c, result)
	}
	if err == nil && result.GoodShare < 0.9 {
		err = exitCode(1)
	}
	return err
}

// loadSuite reads a suite by its name or its path.
func loadSuite(name string) (benchmark.Suite, error) {
	if slices.Contains(benchmark.ShippedNames(), name) {
		return benchmark.Shipped(name)
	}
	clean := filepath.Clean(name)
	suite, err := benchmark.Load(os.DirFS(filepath.Dir(clean)), filepath.Base(clean))
	if err != nil {
		return suite, fmt.Errorf("%s: %w", name, err)
	}
	return suite, nil
}

// asks puts the suite's questions to the API, one after the other in the seed's order and again from its start.
func asks(r *remote, model string, suite benchmark.Suite, seed uint64) openloop.Call {
	order := benchmark.Order(len(suite.Cases), seed)
	return func(ctx context.Context, i int) string {
		question := suite.Cases[order[i%len(order)]]
		body := map[string]any{"message": question.Message}
		if question.Context != "" {
			body["context"] = question.Context
		}
		if choices := question.Choices(); choices != nil {
			body["choices"] = choices
		} else {
			body["max_tokens"], body["temperature"] = benchmark.DefaultMaxTokens, 0
		}
		if model != "" {
			body["model"] = model
		}
		var answer struct{}
		err := r.json(ctx, http.MethodPost, "/api/v1/chat", body, &answer)
		var said *apiError
		switch {
		case err == nil:
			return ""
		case asAPIError(err, &said) && said.Code != "":
			return said.Code
		case errors.Is(err, context.Canceled):
			return "canceled"
		default:
			return "unreachable"
		}
	}
}

func printLoad(out io.Writer, c loadBenchmarkCmd, r openloop.Result) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "asked\t%d (%.1f a second)\n", r.Offered, r.OfferedPerSecond)
	fmt.Fprintf(w, "dropped\t%d, with %d open\n", r.Dropped, c.InFlight)
	fmt.Fprintf(w, "answered\t%d\n", r.Answered)
	fmt.Fprintf(w, "within %s\t%d, %.1f%% of all, %.1f a second\n", c.Objective, r.Good, 100*r.GoodShare, r.GoodPerSecond)
	fmt.Fprintf(w, "latency\tp50 %.0f ms, p90 %.0f ms, p99 %.0f ms, longest %.0f ms\n", r.Latency.P50, r.Latency.P90, r.Latency.P99, r.Latency.Max)
	for _, code := range slices.Sorted(maps.Keys(r.Errors)) {
		fmt.Fprintf(w, "failed\t%d %s\n", r.Errors[code], code)
	}
	return w.Flush()
}
