// Command teller is the gateway: its API, its workers, and the tools around them. It is the only
// place where the parts are wired together.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
	"github.com/posener/complete"
	"github.com/willabides/kongplete"

	"teller/config"
	"teller/telemetry"
)

type cli struct {
	Version kong.VersionFlag `help:"Print the version and exit."`

	Dev    devCmd    `cmd:"" help:"Start everything on this machine: an embedded Temporal server with its Web UI, the API and both workers. This is what 'make run' does."`
	API    apiCmd    `cmd:"" name:"api" help:"Serve the HTTP API against the Temporal server at TEMPORAL_ADDRESS."`
	Worker workerCmd `cmd:"" help:"Run a worker: workflows and calls to models across the network, or with --gpu our own transformer."`
	Train  trainCmd  `cmd:"" help:"Train the custom transformer from the corpus: tokenizer, weights, loss curve."`
	Data   dataCmd   `cmd:"" help:"Import public data sets to train on."`
	Eval   evalCmd   `cmd:"" help:"Measure a model on questions of your own."`
	Model  modelCmd  `cmd:"" help:"Work with the weights of a model."`
	Engine engineCmd `cmd:"" help:"Measure our own inference engine."`
	Keys   keysCmd   `cmd:"" help:"Make, list and revoke the keys that callers need."`

	Chat          chatCmd          `cmd:"" help:"Ask a question, or hold a conversation."`
	Models        modelsCmd        `cmd:"" help:"List the models, their health and which one answers."`
	Switch        switchCmd        `cmd:"" help:"Make a model the active one, or send it a share of the conversations."`
	Benchmark     benchmarkCmd     `cmd:"" help:"Measure models on the same cases, and read what came of it."`
	Conversations conversationsCmd `cmd:"" help:"List conversations, read and erase them."`

	Completion kongplete.InstallCompletions `cmd:"" help:"Print the line that a shell's start file needs to complete teller's commands: 'teller completion >> ~/.bashrc' (bash, zsh, fish)."`

	Health healthCmd `cmd:"" help:"Ask the API at TELLER_API_ADDR whether it is ready; exit 1 when it is not."`
}

const description = `Teller answers bank customers with language models and loses no turn.

Settings are environment variables, read from .env too; .env.example lists them.
'make run' starts everything; the README shows the first calls.`

// version is set by the build.
var version = "development"

func main() {
	err := run()
	var code exitCode
	if errors.As(err, &code) {
		os.Exit(int(code))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "teller:", err)
		os.Exit(1)
	}
}

func run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var c cli
	parser, err := kong.New(&c, kong.Name("teller"), kong.Description(description), kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}), kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Vars(trainVars()), kong.Vars{"version": version})
	if err != nil {
		return err
	}
	// Where a shell asks for completions, this answers and ends the process.
	kongplete.Complete(parser, kongplete.WithPredictor("model", complete.PredictFunc(func(complete.Args) []string { return modelNames() })))
	k, err := parser.Parse(os.Args[1:])
	parser.FatalIfErrorf(err)
	return k.Run()
}

// setup reads the configuration and makes the log of one process.
func setup(process string) (config.Config, *slog.Logger, error) {
	cfg, err := config.Load()
	if err != nil {
		return cfg, nil, err
	}
	logger := telemetry.NewLogger(os.Stderr, cfg.LogLevel, cfg.LogFormat).With("process", process)
	slog.SetDefault(logger)
	return cfg, logger, nil
}
