package main

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"os"
)

type reportBenchmarkCmd struct {
	ID     string `arg:"" help:"The run; it must have ended."`
	Format string `default:"markdown" enum:"markdown,md,csv,junit,html" help:"markdown (md): figures; csv: one line a case and model; junit: for a CI's list of tests; html: one page with plots, which needs no network."`
	Out    string `help:"The file to write; without it, standard output."`
}

func (c reportBenchmarkCmd) Run(ctx context.Context) error {
	r, err := newRemote()
	if err != nil {
		return err
	}
	if c.Format == "md" {
		c.Format = "markdown"
	}
	resp, err := r.call(ctx, http.MethodGet, "/benchmark/runs/"+url.PathEscape(c.ID)+"?format="+c.Format, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if c.Out == "" {
		_, err = os.Stdout.Write(text)
		return err
	}
	return os.WriteFile(c.Out, text, 0o600)
}
