package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"teller/adapters"
	"teller/config"
	"teller/evaluation"
	"teller/llm"
)

type evalCmd struct {
	Intents evalIntentsCmd `cmd:"" help:"Let a model choose the intent of each question of a file, and say how often it is right and how well it knows."`
	Scope   evalScopeCmd   `cmd:"" help:"Say how well a model's confidence tells questions it is there for from others."`
}

// evalFlags are what both evaluations take.
type evalFlags struct {
	File        string `arg:"" type:"existingfile" help:"JSON lines."`
	Model       string `default:"custom" help:"A configured model; GET /models of a running Teller lists them. It is called from this process: no Temporal is needed."`
	Labels      string `placeholder:"A,B|@FILE" help:"The labels to choose among: a list, a file of one a line, or a .jsonl file of rows {\"input\",\"expected\"}."`
	Limit       int    `placeholder:"N" help:"Ask the first N questions only."`
	Concurrency int    `placeholder:"N" help:"How many questions are asked at once. Default: one for each processor for the custom transformer, 8 for a model across the network."`
	Out         string `type:"path" placeholder:"FILE" help:"Write a JSON line for each question here."`
}

// subject is a model that is evaluated.
type subject struct {
	llm.Model
	name        string
	status      llm.Status
	instruction string // stands before a question; empty for none
	concurrency int
	pause       time.Duration // before the second attempt; it doubles with each
	close       func() error
}

// task tells a general model what the choices are about. Our own model was trained on bare questions.
const task = "You sort the messages of a bank's customers by what they are about."

// open makes the model and checks it.
func (f evalFlags) open(ctx context.Context) (*subject, error) {
	if f.Limit < 0 || f.Concurrency < 0 {
		return nil, errors.New("--limit and --concurrency are positive numbers")
	}
	cfg, err := config.Load()
	if err != nil {
		return nil, err
	}
	models, err := adapters.New(cfg.Models)
	if err != nil {
		return nil, err
	}
	s, err := f.find(ctx, cfg, models)
	if err != nil {
		return nil, errors.Join(err, models.Close())
	}
	return s, nil
}

func (f evalFlags) find(ctx context.Context, cfg config.Config, models *adapters.Registry) (*subject, error) {
	at := slices.IndexFunc(cfg.Models, func(m config.Model) bool { return m.Name == f.Model })
	if at < 0 {
		return nil, fmt.Errorf("no model %q is configured: there are %s", f.Model, strings.Join(models.Names(), ", "))
	}
	model, err := models.Model(f.Model)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", f.Model, err)
	}
	status, err := model.Check(ctx)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", f.Model, err)
	}
	s := &subject{Model: model, name: f.Model, status: status, concurrency: runtime.GOMAXPROCS(0), pause: time.Second, close: models.Close}
	if cfg.Models[at].Kind != config.Transformer {
		s.instruction, s.concurrency = task, 8
	}
	if f.Concurrency > 0 {
		s.concurrency = f.Concurrency
	}
	return s, nil
}

// asked is what became of one question.
type asked struct {
	out  llm.Completion
	fail *llm.Error // why there is no answer; nil when there is one
}

// probability is that of the chosen one among the choices, as far as the model tells.
func (a asked) probability() *float64 {
	if len(a.out.ChoiceProbabilities) > 0 {
		return new(slices.Max(a.out.ChoiceProbabilities))
	}
	return a.out.Confidence
}

// ask asks each question, some at a time, and gives the answers in their order with the time that all took. A question
// that fails on its own is one failure among others; a failure that every question would meet ends the run.
func (s *subject) ask(ctx context.Context, questions, choices []string, show *evalProgress) ([]asked, time.Duration, error) {
	answers := make([]asked, len(questions))
	started := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.concurrency)
	for i, question := range questions {
		if ctx.Err() != nil {
			break
		}
		group.Go(func() error {
			out, err := s.complete(ctx, question, choices)
			if err != nil && !lonely(llm.CodeOf(err)) {
				return fmt.Errorf("question %d: %w", i+1, err)
			}
			answers[i].out = out
			if err != nil && !errors.As(err, &answers[i].fail) {
				return fmt.Errorf("question %d: %w", i+1, err)
			}
			show.add()
			return nil
		})
	}
	err := group.Wait()
	return answers, time.Since(started), err
}

// lonely tells a failure that is one question's from one that the next question would meet too.
func lonely(code llm.Code) bool {
	switch code {
	case llm.ContextTooLong, llm.Refused, llm.BadReply, llm.EmptyReply, llm.RateLimited, llm.Overloaded, llm.Unavailable, llm.Timeout:
		return true
	default:
		return false
	}
}

const (
	evalAttempts = 4
	evalTimeout  = time.Minute // of one attempt
)

// complete asks one question. Here no Temporal retries, so this does, as patiently as the provider asks for.
func (s *subject) complete(ctx context.Context, question string, choices []string) (llm.Completion, error) {
	req := llm.Request{Options: llm.Options{Choices: choices}}
	if s.instruction != "" && len(choices) > 0 {
		req.Messages = append(req.Messages, llm.Message{Role: llm.System, Text: s.instruction})
	}
	req.Messages = append(req.Messages, llm.Message{Role: llm.User, Text: question})
	wait := s.pause
	for attempt := 1; ; attempt++ {
		out, err := s.once(ctx, req)
		var failed *llm.Error
		if err == nil || attempt == evalAttempts || ctx.Err() != nil || !errors.As(err, &failed) || !failed.Code.Retryable() {
			return out, err
		}
		timer := time.NewTimer(min(max(wait, failed.RetryAfter), evalTimeout))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return llm.Completion{}, err
		}
		wait *= 2
	}
}

func (s *subject) once(ctx context.Context, req llm.Request) (llm.Completion, error) {
	ctx, cancel := context.WithTimeout(ctx, evalTimeout)
	defer cancel()
	return s.Complete(ctx, req, nil)
}

// failures counts the questions without an answer by code; nil when there are none.
func failures(answers []asked) map[llm.Code]int {
	var out map[llm.Code]int
	for _, a := range answers {
		if a.fail == nil {
			continue
		}
		if out == nil {
			out = map[llm.Code]int{}
		}
		out[a.fail.Code]++
	}
	return out
}

// labels gives what --labels names, or nil without it.
func (f evalFlags) labels() ([]string, error) {
	if f.Labels == "" {
		return nil, nil
	}
	var out []string
	path, isFile := strings.CutPrefix(f.Labels, "@")
	switch {
	case isFile && strings.HasSuffix(path, ".jsonl"):
		rows, err := readRows(path)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			out = append(out, r.Expected)
		}
	case isFile:
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		for line := range strings.Lines(string(data)) {
			out = append(out, strings.TrimSpace(line))
		}
	default:
		for label := range strings.SplitSeq(f.Labels, ",") {
			out = append(out, strings.TrimSpace(label))
		}
	}
	out = slices.DeleteFunc(out, func(label string) bool { return label == "" })
	slices.Sort(out)
	return slices.Compact(out), nil
}

func readRows(path string) (rows []evaluation.Row, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return evaluation.ReadRows(f, path)
}

// writeLines writes a JSON line for each of n rows.
func writeLines(path string, n int, line func(int) any) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(f)
	encoder.SetEscapeHTML(false)
	for i := range n {
		if err := encoder.Encode(line(i)); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	return f.Close()
}

// printJSON writes v for people and programs: an indented JSON object.
func printJSON(out io.Writer, v any) error {
	encoder := json.NewEncoder(out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}
