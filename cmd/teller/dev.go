package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"teller/config"
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
		active, err := awaitReady(ctx, cfg)
		if err != nil {
			return err
		}
		welcome(cfg, active, time.Since(started))
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

// awaitReady returns the active model's name once the Web UI answers and the API sees a healthy
// model of ours, which it can only through Temporal and the GPU worker.
func awaitReady(ctx context.Context, cfg config.Config) (active string, err error) {
	for {
		if active, err = readyNow(ctx, cfg); err == nil {
			return active, nil
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("not ready after %s: %w", readyWithin, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func readyNow(ctx context.Context, cfg config.Config) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	api := "http://" + dialable(cfg.APIAddr)
	for _, url := range []string{"http://" + dialable(cfg.UIAddr), api + "/readyz"} {
		if err := getOK(ctx, url); err != nil {
			return "", err
		}
	}
	var models struct {
		Active string `json:"active_model"`
		Models []struct{ Name, Queue, Health, Reason string }
	}
	if err := getJSON(ctx, api+"/models", &models); err != nil {
		return "", err
	}
	for _, m := range models.Models {
		if m.Name == "custom" && m.Health != "healthy" {
			return "", fmt.Errorf("custom: %s", m.Reason)
		}
	}
	return models.Active, nil
}

func getJSON(ctx context.Context, url string, v any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answered %s", url, resp.Status)
	}
	return json.NewDecoder(resp.Body).Decode(v)
}

func welcome(cfg config.Config, active string, took time.Duration) {
	api := "http://" + dialable(cfg.APIAddr)
	fmt.Printf(`
Teller is ready after %.1f s. The active model is %q.

  API            %s
  Temporal UI    http://%s
  Temporal       %s
  Data           %s

Try:

  curl -s %s/api/v1/chat -H 'Content-Type: application/json' -d '{"message": "What is a bank?"}'

`, took.Seconds(), active, api, dialable(cfg.UIAddr), dialable(cfg.TemporalAddr), cfg.DataDir, api)
}
