// Command bench-turn measures what the gateway adds to a turn: real processes, a model that answers
// at once, and beside it the floor, a bare workflow with one bare activity, on the same Temporal server
// in the same run. `make bench-turn` runs it; `make bench-stream` and `make bench-benchmark` measure streamed
// turns and runs of benchmarks.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

	"github.com/alecthomas/kong"
)

type cli struct {
	Turns   int    `default:"300" help:"Turns in each measurement."`
	Rounds  int    `default:"5" help:"Measurements of each kind; they take turns, so that a busy machine is busy for all."`
	Callers []int  `default:"1,8,32" help:"How many callers at once."`
	Stream  bool   `help:"Instead: measure streamed turns. 'make bench-stream' runs it."`
	Suite   bool   `help:"Instead: what a benchmark's run adds to each of its cases. 'make bench-benchmark' runs it."`
	Cases   int    `help:"With --suite, instead: run one benchmark of so many cases and print the memory of each process on the way."`
	Soak    int    `help:"Instead: run this many turns and print the memory of each process on the way."`
	Bin     string `default:"bin" help:"The folder with teller and teller-temporal."`

	FloorWorker string `hidden:"" help:"Be the floor's activity worker on the Temporal server at this address."`
	AskAdapter  string `hidden:"" help:"Ask the model at this URL every case of the suite, and print how long it took in ns."`
	AskModel    string `hidden:"" help:"Ask the model at this URL and print its p50 in ms."`
}

func main() {
	var c cli
	kong.Parse(&c, kong.Name("bench-turn"), kong.Description("What the gateway adds to a turn, beside the floor of the same Temporal server."))
	if err := c.run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench-turn:", err)
		os.Exit(1)
	}
}

func (c cli) run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if c.FloorWorker != "" {
		return serveFloor(ctx, c.FloorWorker)
	}
	if c.AskAdapter != "" {
		return askAdapter(ctx, c.AskAdapter)
	}
	if c.AskModel != "" && c.Stream {
		return printFirstTokens(ctx, c.AskModel, c.Turns, c.Callers[0])
	}
	if c.AskModel != "" {
		return askModel(ctx, c.AskModel, c.Turns)
	}
	dir, err := os.MkdirTemp("", "bench-turn")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	bin, err := filepath.Abs(c.Bin)
	if err != nil {
		return err
	}
	g, err := startGateway(ctx, bin, dir)
	if err != nil {
		return err
	}
	defer g.stop()
	switch {
	case c.Suite && c.Cases > 0:
		return manyCases(ctx, g, dir, c.Cases)
	case c.Suite:
		return overhead(ctx, g, c.Rounds)
	}
	if c.Soak > 0 {
		return soak(ctx, g, c.Soak)
	}
	if c.Stream {
		return streams(ctx, g, c)
	}
	f, err := startFloor(ctx, g)
	if err != nil {
		return err
	}
	defer f.stop()
	return compare(ctx, g, f, c)
}
