package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"teller/transformer"
	"teller/transformer/kernels"
)

// The flags and the fields of its JSON are llama-bench's where they mean the same.
type engineBenchCmd struct {
	engineModel
	Prompt      []int  `short:"p" default:"512" help:"Tokens of the prompts to read; 0 for none."`
	Generate    []int  `short:"n" default:"128" help:"Tokens to generate; 0 for none."`
	Threads     []int  `short:"t" default:"0" help:"Threads; 0 for as many as there are processors."`
	Batch       []int  `short:"b" default:"1" help:"Sequences that generate at the same time."`
	Repetitions int    `short:"r" default:"5" help:"Repetitions of each measurement, after one that does not count."`
	Output      string `short:"o" enum:"json,md" default:"md" help:"${enum}"`
}

// benchResult is one measurement. Times are of whole repetitions, tokens/s count prompt or generated tokens of all sequences.
type benchResult struct {
	Model       string    `json:"model_filename"`
	Format      string    `json:"model_type"` // of most of the weights in memory
	Parameters  int       `json:"model_n_params"`
	Device      string    `json:"backends"`
	Kernels     string    `json:"kernels"`
	Threads     int       `json:"n_threads"`
	Prompt      int       `json:"n_prompt"`
	Generate    int       `json:"n_gen"`
	Sequences   int       `json:"n_sequences"`
	SamplesNS   []int64   `json:"samples_ns"`
	SamplesTS   []float64 `json:"samples_ts"`
	AverageTS   float64   `json:"avg_ts"`
	DeviationTS float64   `json:"stddev_ts"`
	MinTS       float64   `json:"min_ts"`
	MaxTS       float64   `json:"max_ts"`
	FirstMS     float64   `json:"first_token_ms"`    // mean time until a sequence's first token
	PeakMemory  int       `json:"peak_memory_bytes"` // of the process until then; 0: not known
	BaseMemory  int       `json:"base_memory_bytes"` // of the process before the model was opened
}

func (c engineBenchCmd) Run(ctx context.Context) error {
	base := peakMemory()
	file, model, err := c.open()
	if err != nil {
		return err
	}
	if c.Repetitions < 1 {
		return fmt.Errorf("%d repetitions, must be at least 1", c.Repetitions)
	}
	var results []benchResult
	for _, threads := range c.Threads {
		measure := func(prompt, generate, sequences int) error {
			// Room for what runs and no more, so that the memory that is reported is what the workload needs.
			engine, err := c.engine(model, transformer.EngineOptions{
				Slots: sequences, Threads: threads, CacheBytes: sequences * model.CacheBytes(max(1, prompt)+generate),
			})
			if err != nil {
				return err
			}
			defer engine.Close()
			r, err := c.measure(ctx, engine, prompt, generate, sequences)
			if err != nil {
				return err
			}
			r.Model, r.Parameters, r.Device, r.Kernels = file.Name, file.Weights.Parameters(), engine.Device(), string(kernels.Active())
			r.Format, r.Threads, r.BaseMemory = model.Format(), engine.Threads(), base
			results = append(results, r)
			return nil
		}
		for _, prompt := range c.Prompt {
			if prompt > 0 {
				if err := measure(prompt, 0, 1); err != nil {
					return err
				}
			}
		}
		for _, generate := range c.Generate {
			for _, sequences := range c.Batch {
				if generate > 0 && sequences > 0 {
					if err := measure(0, generate, sequences); err != nil {
						return err
					}
				}
			}
		}
	}
	if c.Output == "json" {
		out := json.NewEncoder(os.Stdout)
		out.SetIndent("", "  ")
		return out.Encode(results)
	}
	return printBench(results)
}

// measure repeats one workload: a prompt read once, or sequences that each generate from one token. What is read is random and never twice the
// same, so that nothing of it is in the cache.
func (c engineBenchCmd) measure(ctx context.Context, engine *transformer.Engine, prompt, generate, sequences int) (benchResult, error) {
	r := benchResult{Prompt: prompt, Generate: generate, Sequences: sequences}
	var first time.Duration
	for i := range c.Repetitions + 1 {
		took, waited, err := runSequences(ctx, engine, max(1, prompt), max(1, generate), sequences)
		if err != nil {
			return r, err
		}
		if i == 0 {
			continue
		}
		first += waited
		r.SamplesNS = append(r.SamplesNS, took.Nanoseconds())
		r.SamplesTS = append(r.SamplesTS, float64(sequences*(prompt+generate))/took.Seconds())
	}
	n := float64(c.Repetitions)
	for _, ts := range r.SamplesTS {
		r.AverageTS += ts / n
	}
	for _, ts := range r.SamplesTS {
		r.DeviationTS += (ts - r.AverageTS) * (ts - r.AverageTS) / max(1, n-1)
	}
	r.DeviationTS = math.Sqrt(r.DeviationTS)
	r.MinTS, r.MaxTS = slices.Min(r.SamplesTS), slices.Max(r.SamplesTS)
	r.FirstMS = first.Seconds() * 1000 / n
	r.PeakMemory = peakMemory()
	return r, nil
}

// runSequences runs sequences at the same time, and says how long all took and how long they waited for their first token on average.
func runSequences(ctx context.Context, engine *transformer.Engine, prompt, generate, sequences int) (took, first time.Duration, err error) {
	prompts := make([][]int, sequences)
	for i := range prompts {
		prompts[i] = make([]int, prompt)
		for j := range prompts[i] {
			prompts[i][j] = rand.IntN(engine.Vocab())
		}
	}
	firsts, errs := make([]time.Duration, sequences), make([]error, sequences)
	opts := transformer.GenerateOptions{MaxTokens: generate, IgnoreEnd: true}
	var wg sync.WaitGroup
	start := time.Now()
	for i := range sequences {
		wg.Go(func() {
			_, errs[i] = engine.Generate(ctx, prompts[i], opts, func(transformer.Token) {
				if firsts[i] == 0 {
					firsts[i] = time.Since(start)
				}
			})
		})
	}
	wg.Wait()
	took = time.Since(start)
	for i := range sequences {
		if errs[i] != nil {
			return 0, 0, errs[i]
		}
		first += firsts[i] / time.Duration(sequences)
	}
	return took, first, nil
}

func printBench(results []benchResult) error {
	out := bufio.NewWriter(os.Stdout)
	fmt.Fprintln(out, "| model | weights | device | kernels | threads | test | tokens/s | min | max | first token ms | peak MB | before the model |")
	fmt.Fprintln(out, "|---|---|---|---|---:|---|---:|---:|---:|---:|---:|---:|")
	for _, r := range results {
		test := fmt.Sprintf("pp%d", r.Prompt)
		if r.Generate > 0 {
			test = fmt.Sprintf("tg%d", r.Generate)
			if r.Sequences > 1 {
				test += fmt.Sprintf(" x %d", r.Sequences)
			}
		}
		fmt.Fprintf(out, "| %s %.0fM | %s | %s | %s | %d | %s | %.1f ± %.1f | %.1f | %.1f | %.2f | %d | %d |\n", r.Model, float64(r.Parameters)/1e6, r.Format,
			r.Device, r.Kernels, r.Threads, test, r.AverageTS, r.DeviationTS, r.MinTS, r.MaxTS, r.FirstMS, r.PeakMemory>>20, r.BaseMemory>>20)
	}
	return out.Flush()
}

// peakMemory is the most memory that this process ever had, in bytes; 0 where the system does not say.
func peakMemory() int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			if err == nil {
				return kib << 10
			}
		}
	}
	return 0
}
