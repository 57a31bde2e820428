package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"teller/corpus"
	"teller/evaluation"
	"teller/transformer/train"
)

type trainCmd struct {
	Out     string  `required:"" type:"path" placeholder:"DIR" help:"Folder for config.json, model.safetensors and tokenizer.json. Point CUSTOM_MODEL_PATH at it to serve the model. The loss curve goes beside it, to DIR.loss.svg, and so does the checkpoint of an unfinished run."`
	Corpus  string  `type:"existingdir" placeholder:"DIR" help:"Folder of .yaml files to train on. Default: the corpus built into this binary (corpus/banking in the repository, which shows the format)."`
	Data    string  `type:"existingdir" placeholder:"DIR" help:"Folder of imported public data sets to train on, too; see 'teller data import'. A tenth of each is held out to measure on."`
	Report  string  `type:"path" placeholder:"FILE" help:"Write the results on held-out questions as JSON, failures included."`
	Seed    uint64  `default:"1" help:"Everything random follows from it. The same seed, --steps and corpus give the same weights on the same kind of processor."`
	Minutes float64 `default:"40" help:"How long to train when --steps is not given. The number of steps is then settled at the start, from a timing; the learning rate falls to its end over exactly these steps."`
	Steps   int     `placeholder:"N" help:"Train for this many steps, however long they take."`
	Resume  bool    `help:"Go on from the checkpoint of a run with the same flags that was interrupted or killed. It ends with the same weights as if it had never stopped. Without a checkpoint, training starts from the beginning."`
	Check   bool    `default:"true" negatable:"" help:"Calibrate the finished model and measure it on questions it was not trained on. The calibration goes into the model's folder, reliability diagrams beside it, to DIR.reliability-*.svg."`
	Examine bool    `help:"Don't train: calibrate and measure the model that is in --out already."`

	Hidden       int     `group:"Size of the model" default:"${hidden}" help:"Width of the residual stream."`
	Intermediate int     `group:"Size of the model" default:"${intermediate}" help:"Width inside the SwiGLU block."`
	Layers       int     `group:"Size of the model" default:"${layers}" help:"Decoder layers."`
	Heads        int     `group:"Size of the model" default:"${heads}" help:"Query heads; divides --hidden."`
	KVHeads      int     `group:"Size of the model" name:"kv-heads" default:"${kv_heads}" help:"Key-value heads; divides --heads."`
	Vocab        int     `group:"Size of the model" default:"${vocab}" help:"Largest vocabulary, in tokens."`
	Window       int     `group:"Size of the model" default:"${window}" help:"Longest dialogue, in tokens."`
	Rate         float64 `group:"Training" default:"${rate}" help:"Peak learning rate."`
	BatchTokens  int     `group:"Training" default:"${batch_tokens}" help:"Tokens a step trains on."`
}

// Help is shown by 'teller train --help'.
func (trainCmd) Help() string {
	return `Trains the custom transformer from nothing: learns a vocabulary from the corpus, trains a Llama-style
decoder on its dialogues with both cores, and writes a folder that the gateway can serve. It then calibrates the model and measures
it on questions that it was not trained on.

  teller train --out my-model                      # 40 minutes on two cores
  teller train --out my-model --data datasets      # public data sets too; see 'teller data import'
  teller train --out my-model --resume             # after Ctrl-C or a crash: goes on where it stopped
  teller train --out my-model --steps 2000 --seed 7
  teller train --out my-model --examine            # only measure
  CUSTOM_MODEL_PATH=my-model teller dev            # serve it

Loss is in nats a token. "held out" is the loss of replies and labels of questions that were never trained on, and how many
of those labels are right; when the loss rises while the training loss still falls, the run is too long or the corpus too small.`
}

// trainVars are the defaults that the flags of trainCmd show.
func trainVars() map[string]string {
	o := train.Default()
	vars := map[string]string{"rate": fmt.Sprint(o.Rate)}
	for name, value := range map[string]int{
		"hidden": o.Hidden, "intermediate": o.Intermediate, "layers": o.Layers, "heads": o.Heads, "kv_heads": o.KVHeads,
		"vocab": o.Vocab, "window": o.Window, "batch_tokens": o.BatchTokens,
	} {
		vars[name] = fmt.Sprint(value)
	}
	return vars
}

func (t trainCmd) options() (train.Options, error) {
	o := train.Default()
	o.Out, o.Seed, o.Steps, o.Resume = t.Out, t.Seed, t.Steps, t.Resume
	if !(t.Minutes > 0 && t.Minutes <= 7*24*60) {
		return o, fmt.Errorf("--minutes is %v, must be above 0 and at most a week", t.Minutes)
	}
	if t.Steps < 0 {
		return o, fmt.Errorf("--steps is %d, must be above 0", t.Steps)
	}
	o.Duration = time.Duration(t.Minutes * float64(time.Minute))
	o.Hidden, o.Intermediate, o.Layers, o.Heads, o.KVHeads = t.Hidden, t.Intermediate, t.Layers, t.Heads, t.KVHeads
	o.Vocab, o.Window, o.Rate, o.BatchTokens = t.Vocab, t.Window, t.Rate, t.BatchTokens
	return o, nil
}

// Run trains, writes the loss curve and shows how well the model answers.
func (t trainCmd) Run(ctx context.Context) error { return t.run(ctx, os.Stdout) }

func (t trainCmd) run(ctx context.Context, out io.Writer) error {
	o, err := t.options()
	if err != nil {
		return err
	}
	c, sets, err := t.material()
	if err != nil {
		return err
	}
	stats := c.Stats()
	fmt.Fprintf(out, "Corpus: %d phrasings of %d intents in %d families, of which %d are held out.\n", stats.Phrasings, stats.Intents, stats.Families, stats.HeldOut)
	for _, d := range sets {
		fmt.Fprintf(out, "Data set %s: %d questions, and %d of our own.\n", d.Name, len(d.Rows), len(d.Extra))
	}
	if !t.Examine {
		if err := t.train(ctx, out, c, sets, o); err != nil {
			return err
		}
	}
	if t.Check || t.Examine {
		return t.examine(ctx, out, c, sets)
	}
	return nil
}

// material loads the corpus and the data sets.
func (t trainCmd) material() (*corpus.Corpus, []train.Dataset, error) {
	c, err := corpus.Load()
	if t.Corpus != "" {
		c, err = corpus.LoadDir(t.Corpus)
	}
	if err != nil || t.Data == "" {
		return c, nil, err
	}
	sets, err := train.LoadDatasets(t.Data)
	if err != nil {
		return nil, nil, err
	}
	labelled, err := corpus.LoadLabelled()
	if err != nil {
		return nil, nil, err
	}
	if err := train.AddLabelled(sets, labelled); err != nil {
		return nil, nil, err
	}
	if t.Corpus != "" { // its intents are others
		return c, sets, nil
	}
	equivalents, err := c.Equivalents()
	if err != nil {
		return nil, nil, err
	}
	return c, sets, train.AddEquivalents(sets, equivalents)
}

func (t trainCmd) train(ctx context.Context, out io.Writer, c *corpus.Corpus, sets []train.Dataset, o train.Options) error {
	show := newTrainProgress(out)
	result, err := train.Run(ctx, c, sets, o, show.update)
	show.end()
	if errors.Is(err, context.Canceled) {
		return fmt.Errorf("stopped; the same command with --resume goes on from here (%w)", err)
	}
	if err != nil {
		return err
	}
	curve := filepath.Clean(t.Out) + ".loss.svg"
	if err := os.WriteFile(curve, result.Curve.SVG(), 0o644); err != nil {
		return err
	}
	fmt.Fprintf(out, "Trained %.1fM parameters for %d steps: %d tokens, %d passes over the corpus, %s.\n",
		float64(result.Parameters)/1e6, result.Steps, result.Tokens, result.Epochs, result.Elapsed.Round(time.Second))
	fmt.Fprintf(out, "Loss %.3f, held out %.3f nats a token. Model: %s  Curve: %s\n", result.Loss, result.ValLoss, t.Out, curve)
	return nil
}

// examine calibrates the model in --out, prints how well it does and writes the report and the diagrams.
func (t trainCmd) examine(ctx context.Context, out io.Writer, c *corpus.Corpus, sets []train.Dataset) error {
	report, err := train.Examine(ctx, t.Out, c, sets)
	if err != nil {
		return err
	}
	fmt.Fprint(out, report.Text())
	for namespace, choice := range report.Choices {
		diagram := filepath.Clean(t.Out) + ".reliability-" + namespace + ".svg"
		svg := evaluation.ReliabilitySVG(report.Version+": labels of "+namespace, choice.Bins)
		if err := os.WriteFile(diagram, svg, 0o644); err != nil {
			return err
		}
	}
	if t.Report == "" {
		return nil
	}
	data, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(t.Report, append(data, '\n'), 0o644)
}

// trainProgress shows a run's progress: a bar on a terminal, a line now and then elsewhere.
type trainProgress struct {
	out  io.Writer
	pool *mpb.Progress // nil when out is not a terminal
	bar  *mpb.Bar
	line atomic.Pointer[string] // what the bar's own goroutine shows beside it
	next time.Time              // when the next plain line is due
}

func newTrainProgress(out io.Writer) *trainProgress {
	p := &trainProgress{out: out}
	if f, ok := out.(*os.File); ok && isatty.IsTerminal(f.Fd()) {
		p.pool = mpb.New(mpb.WithOutput(out), mpb.WithWidth(32))
	}
	return p
}

func (p *trainProgress) update(now train.Progress) {
	line := progressLine(now)
	p.line.Store(&line)
	if p.pool == nil {
		const every = 10 * time.Second
		if time.Now().After(p.next) || now.Step == now.Steps {
			fmt.Fprintln(p.out, line)
			p.next = time.Now().Add(every)
		}
		return
	}
	if p.bar == nil {
		status := decor.Any(func(decor.Statistics) string { return *p.line.Load() })
		p.bar = p.pool.AddBar(int64(now.Steps), mpb.AppendDecorators(status))
	}
	p.bar.SetCurrent(int64(now.Step))
}

// end leaves the bar as it stands.
func (p *trainProgress) end() {
	if p.bar != nil && !p.bar.Completed() {
		p.bar.Abort(false)
	}
	if p.pool != nil {
		p.pool.Wait()
	}
}

func progressLine(now train.Progress) string {
	held := "-"
	if !math.IsNaN(now.ValLoss) {
		held = fmt.Sprintf("%.3f (%.1f%%)", now.ValLoss, 100*now.LabelAccuracy)
	}
	return fmt.Sprintf("step %d/%d  loss %.3f  held out %s  %.0f tokens/s  %s left",
		now.Step, now.Steps, now.Loss, held, now.TokensPerSecond, now.Left.Round(time.Second))
}
