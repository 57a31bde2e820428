package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"teller/config"
	"teller/llm"
)

type devCmd struct {
	TemporalBin string `help:"The embedded Temporal server. Default: teller-temporal beside this program." env:"TELLER_TEMPORAL_BIN" type:"path"`
}

// readyWithin bounds the start. It is generous: a slow disk is no failure.
const readyWithin = 90 * time.Second

func (d devCmd) Run(ctx context.Context) error {
	cfg, err := config.Load()
	if err != nil {
		return err
	}
	if err := portsFree(cfg); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	server := d.TemporalBin
	if server == "" {
		server = filepath.Join(filepath.Dir(self), "teller-temporal")
	}
	if _, err := os.Stat(server); err != nil {
		return fmt.Errorf("the embedded Temporal server is not built: run 'make build' (%w)", err)
	}

	env := childEnv(cfg)
	s := newSupervisor(os.Stderr)
	// In the order of the start; the stop goes the other way, so that nobody loses what it stands on.
	s.add("temporal", env, server)
	s.add("gpu-worker", env, self, "worker", "--gpu")
	s.add("worker", env, self, "worker")
	s.add("api", env, self, "api")
	started := time.Now()
	fmt.Fprintln(os.Stderr, "teller: starting; Ctrl-C stops everything")
	return s.run(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, readyWithin)
		defer cancel()
		now, err := awaitReady(ctx, cfg)
		if err != nil {
			return err
		}
		welcome(cfg, now, time.Since(started))
		return nil
	})
}

// portsFree tells before anything starts which variable moves an address that is taken.
func portsFree(cfg config.Config) error {
	var taken []error
	for _, a := range []struct{ variable, addr string }{
		{"TELLER_API_ADDR", cfg.APIAddr}, {"TELLER_TEMPORAL_ADDR", cfg.TemporalAddr}, {"TELLER_UI_ADDR", cfg.UIAddr},
	} {
		l, err := listen(a.addr, a.variable)
		if err != nil {
			taken = append(taken, err)
			continue
		}
		l.Close()
	}
	return errors.Join(taken...)
}

// childEnv points the processes at the embedded server, whatever else the environment says about
// Temporal: a developer's profile for a cluster must not catch them.
func childEnv(cfg config.Config) []string {
	return append(os.Environ(),
		"TEMPORAL_ADDRESS="+dialable(cfg.TemporalAddr),
		"TEMPORAL_NAMESPACE=default",
		"TEMPORAL_TLS=false",
		"TEMPORAL_API_KEY=",
		"TEMPORAL_CONFIG_FILE="+os.DevNull,
		"TELLER_DATA_DIR="+cfg.DataDir,
		"TELLER_TEMPORAL_ADDR="+cfg.TemporalAddr,
		"TELLER_UI_ADDR="+cfg.UIAddr,
		"TELLER_API_ADDR="+cfg.APIAddr,
	)
}

// state is what the welcome tells.
type state struct {
	active  string
	trouble string // why the active model does not answer; "" when it does
}

// awaitReady returns once the Web UI answers and the API sees the workers: a turn could be taken.
func awaitReady(ctx context.Context, cfg config.Config) (state, error) {
	for {
		now, err := readyNow(ctx, cfg)
		if err == nil {
			return now, nil
		}
		select {
		case <-ctx.Done():
			return state{}, fmt.Errorf("not ready after %s: %w", readyWithin, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func readyNow(ctx context.Context, cfg config.Config) (now state, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	api := "http://" + dialable(cfg.APIAddr)
	for _, url := range []string{"http://" + dialable(cfg.UIAddr), api + "/readyz"} {
		if err := getOK(ctx, url); err != nil {
			return now, err
		}
	}
	var models struct {
		Active string `json:"active_model"`
		Models []struct {
			Name, Code, Reason string
			Active             bool
		}
	}
	if err := getJSON(ctx, api+"/models", &models); err != nil {
		return now, err
	}
	now.active = models.Active
	for _, m := range models.Models {
		// A model that lacks its key is none of our business here; a queue without its worker is.
		if m.Code == string(llm.NoWorker) {
			return now, fmt.Errorf("%s: %s", m.Name, m.Reason)
		}
		if m.Active {
			now.trouble = m.Reason
		}
	}
	return now, nil
}

func welcome(cfg config.Config, now state, took time.Duration) {
	api := "http://" + dialable(cfg.APIAddr)
	fmt.Printf(`
Teller is ready after %.1f s. The active model is %q.

  API            %s
  Temporal UI    http://%s
  Temporal       %s
  Data           %s

Try:

  curl -s %s/api/v1/chat -H 'Content-Type: application/json' -d '{"message": "What is a bank?"}'

`, took.Seconds(), now.active, api, dialable(cfg.UIAddr), dialable(cfg.TemporalAddr), cfg.DataDir, api)
	if now.trouble != "" {
		fmt.Printf("%s does not answer now: %s\n\n", now.active, now.trouble)
	}
}
