package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"text/tabwriter"

	"golang.org/x/sync/errgroup"

	"teller/transformer"
	"teller/transformer/devices"
	"teller/transformer/llama"
	"teller/transformer/modelfile"
)

type engineCmd struct {
	Bench      engineBenchCmd      `cmd:"" help:"Measure the engine's speed: prompts, generation, many sequences at once."`
	Perplexity enginePerplexityCmd `cmd:"" help:"Measure how well a model predicts a text."`
	Logits     engineLogitsCmd     `cmd:"" help:"Print what a model computes after some tokens, for comparison with other engines."`
	Devices    engineDevicesCmd    `cmd:"" help:"List what can run models: the processor, and all that has an OpenCL driver."`
}

// engineModel is the model that the engine's commands run.
type engineModel struct {
	Model    string `short:"m" type:"path" placeholder:"PATH" help:"A GGUF file or a model's folder. Default: CUSTOM_MODEL_PATH, else the embedded weights."`
	Quantise bool   `name:"quantise" help:"Keep matrices of floats as eight-bit integers."`
	Device   string `env:"CUSTOM_DEVICE" default:"auto" placeholder:"DEVICE" help:"What computes: auto (a graphics card if there is one), cpu, opencl, or one that 'teller engine devices' lists. Default: ${default}."`
}

// engine makes an engine of the weights on the device that was asked for. What was named must be able to run them, unlike in a worker, where
// the processor would take over: a measurement of something else is of no use.
func (m engineModel) engine(model *transformer.Model, o transformer.EngineOptions) (*transformer.Engine, error) {
	var err error
	if o.Accelerators, err = devices.Choose(m.Device); err != nil {
		return nil, err
	}
	e := transformer.NewEngineWith(model, o)
	if err := e.Refused(); err != nil && m.Device != devices.Auto && e.Device() == devices.CPU {
		return nil, err
	}
	return e, nil
}

// open loads the weights. The file's tokenizer and what else is in it stay usable.
func (m engineModel) open() (*modelfile.Model, *transformer.Model, error) {
	file, err := openModel(m.Model)
	if err != nil {
		return nil, nil, err
	}
	model, err := transformer.OpenModel(file.Weights, file.Stop, llama.Options{Quantise: m.Quantise})
	return file, model, errors.Join(err, file.Close())
}

type enginePerplexityCmd struct {
	engineModel
	Context int    `short:"c" default:"512" help:"Tokens of a window. Those of its first half are read only, those of its second predicted, as llama-perplexity does."`
	Output  string `short:"o" enum:"text,json" default:"text" help:"${enum}"`
	File    string `arg:"" type:"existingfile" help:"The text."`
}

func (c enginePerplexityCmd) Run(ctx context.Context) error {
	text, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	file, model, err := c.open()
	if err != nil {
		return err
	}
	tokens := file.Tokenizer.Encode(string(text))
	if c.Context < 4 || c.Context > model.Window() {
		return fmt.Errorf("the window of %d tokens must be between 4 and the model's %d", c.Context, model.Window())
	}
	if len(tokens) < c.Context {
		return fmt.Errorf("the text has %d tokens, a window %d", len(tokens), c.Context)
	}
	bos, begins := file.Tokenizer.BOS()
	document := file.Tokenizer.EncodeDocument("") // what the file asks for around a text
	begins = begins && len(document) > 0 && document[0] == bos
	windows := make([]float64, len(tokens)/c.Context) // log-probability of each one's second half
	half := c.Context / 2
	predicted := c.Context - half - 1
	engine, err := c.engine(model, transformer.EngineOptions{})
	if err != nil {
		return err
	}
	defer engine.Close()
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(min(engine.Slots(), 2*runtime.GOMAXPROCS(0)))
	for i := range windows {
		group.Go(func() error {
			window := append([]int{}, tokens[i*c.Context:][:c.Context]...)
			if begins {
				window[0] = bos
			}
			scores, err := engine.Score(ctx, window[:half+1], [][]int{window[half+1:]})
			if err == nil {
				windows[i] = scores[0]
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	sum := 0.0
	for _, w := range windows {
		sum -= w
	}
	count := predicted * len(windows)
	result := struct {
		Device     string  `json:"device"`
		Perplexity float64 `json:"perplexity"`
		Tokens     int     `json:"tokens"` // predicted
		Windows    int     `json:"windows"`
		Context    int     `json:"context"`
	}{engine.Device(), math.Exp(sum / float64(count)), count, len(windows), c.Context}
	if c.Output == "json" {
		return json.NewEncoder(os.Stdout).Encode(result)
	}
	fmt.Printf("perplexity %.4f over %d tokens in %d windows of %d\n", result.Perplexity, result.Tokens, result.Windows, result.Context)
	return nil
}

type engineLogitsCmd struct {
	engineModel
	Tokens []int `required:"" placeholder:"1,2,3" help:"Ids of the tokens."`
}

func (c engineLogitsCmd) Run(ctx context.Context) error {
	_, model, err := c.open()
	if err != nil {
		return err
	}
	engine, err := c.engine(model, transformer.EngineOptions{Slots: 1})
	if err != nil {
		return err
	}
	defer engine.Close()
	logits, err := engine.Logits(ctx, c.Tokens)
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(struct {
		Device string    `json:"device"`
		Tokens []int     `json:"tokens"`
		Logits []float32 `json:"logits"` // of the token that follows
	}{engine.Device(), c.Tokens, logits})
}

type engineDevicesCmd struct{}

func (engineDevicesCmd) Run() error {
	list, err := devices.List()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, d := range list {
		memory, auto := "", ""
		if d.Memory > 0 {
			memory = fmt.Sprintf("%d MB", d.Memory>>20)
		}
		if d.Auto {
			auto = "auto"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", d.Choice, d.Name, memory, auto, d.Detail)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err != nil {
		fmt.Printf("Nothing else: %v\n", err)
	}
	return nil
}
