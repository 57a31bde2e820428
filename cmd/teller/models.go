package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

type modelsCmd struct {
	JSON bool `name:"json" help:"Print the API's answer as JSON."`
}

func (c modelsCmd) Run(ctx context.Context) error {
	r, err := newRemote()
	if err != nil {
		return err
	}
	if c.JSON {
		var shown modelsShown
		if err := r.get(ctx, "/models", &shown); err != nil {
			return err
		}
		return printJSON(os.Stdout, shown)
	}
	return listModels(ctx, r, os.Stdout)
}

// listModels shows the models and which one answers.
func listModels(ctx context.Context, r *remote, out io.Writer) error {
	var shown modelsShown
	if err := r.get(ctx, "/models", &shown); err != nil {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "  MODEL\tKIND\tHEALTH\tDEVICE\tVERSION\tSHARE\tBENCHMARK\tWHY")
	for _, m := range shown.Models {
		mark := " "
		if m.Active {
			mark = "*"
		}
		share := "-"
		if percent, ok := shown.Split[m.Name]; ok {
			share = fmt.Sprintf("%d%%", percent)
		} else if len(shown.Split) == 0 && m.Active {
			share = "100%"
		}
		fmt.Fprintf(w, "%s %s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", mark, m.Name, m.Kind, m.Health, dash(m.Device), dash(m.Version), share, m.benchmarkText(), m.Reason)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if len(shown.Fallbacks) > 0 {
		fmt.Fprintf(out, "When one fails: %s.\n", strings.Join(shown.Fallbacks, ", then "))
	}
	return nil
}

func dash(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

type switchCmd struct {
	Model   string `arg:"" help:"The model to make active." predictor:"model"`
	Percent int    `help:"The share of the conversations that it gets, 1 to 100; the active model keeps the others." default:"100"`
	Force   bool   `help:"Switch to a model that does not answer now, too."`
	Reason  string `help:"Why, for the audit."`
	JSON    bool   `name:"json" help:"Print the API's answer as JSON."`
}

func (c switchCmd) Run(ctx context.Context) error {
	r, err := newRemote()
	if err != nil {
		return err
	}
	return switchModel(ctx, r, os.Stdout, c.Model, switchOptions{percent: c.Percent, force: c.Force, reason: c.Reason, json: c.JSON})
}

type switchOptions struct {
	percent int // 0: all
	force   bool
	reason  string
	json    bool
}

func switchModel(ctx context.Context, r *remote, out io.Writer, model string, o switchOptions) error {
	if model == "" {
		return fmt.Errorf("switch to which model? 'teller models' lists them")
	}
	query := url.Values{}
	if o.percent != 0 && o.percent != 100 {
		query.Set("percent", strconv.Itoa(o.percent))
	}
	if o.force {
		query.Set("force", "true")
	}
	if o.reason != "" {
		query.Set("reason", o.reason)
	}
	path := "/model/switch/" + url.PathEscape(model)
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	var switched struct {
		Status string         `json:"status"`
		Active string         `json:"active_model"`
		Split  map[string]int `json:"split,omitempty"`
	}
	if err := r.json(ctx, http.MethodPost, path, nil, &switched); err != nil {
		return err
	}
	if o.json {
		return printJSON(out, switched)
	}
	if len(switched.Split) == 0 {
		_, err := fmt.Fprintf(out, "%s answers from now on.\n", switched.Active)
		return err
	}
	shares := make([]string, 0, len(switched.Split))
	for name, percent := range switched.Split {
		shares = append(shares, fmt.Sprintf("%s %d%%", name, percent))
	}
	slices.Sort(shares)
	_, err := fmt.Fprintf(out, "Conversations are split from now on: %s.\n", strings.Join(shares, ", "))
	return err
}
