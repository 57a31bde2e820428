package train

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"time"

	"teller/corpus"
	"teller/transformer"
)

// Progress tells where a run is.
type Progress struct {
	Step, Steps     int
	Loss            float64 // of this step's batch, in nats a token, without label smoothing
	LabelAccuracy   float64 // share of held-out labels that the averaged weights get right; NaN until first measured
	ValLoss         float64 // of the held-out replies with the averaged weights, in nats a token; NaN until first measured
	TokensPerSecond float64
	Elapsed, Left   time.Duration // of this process; Left is an estimate
}

// Result sums a run up.
type Result struct {
	Config     transformer.Config
	Parameters int
	Steps      int
	Epochs     int // passes over the corpus begun, after the echoes
	Tokens     int // trained on, over all
	Loss       float64
	ValLoss    float64
	Elapsed    time.Duration // of this process
	Curve      Curve
}

// Run trains a model on a corpus and labelled data sets, of which there may be none, and saves it in o.Out. progress is called after each step, on the caller's
// goroutine; it may be nil. When ctx ends, Run saves a checkpoint and returns ctx's error; a later Run with Resume ends
// with the same weights as one that was never stopped.
func Run(ctx context.Context, c *corpus.Corpus, sets []Dataset, o Options, progress func(Progress)) (Result, error) {
	if err := o.validate(); err != nil {
		return Result{}, err
	}
	if progress == nil {
		progress = func(Progress) {}
	}
	r, err := newRun(c, sets, o)
	if err != nil {
		return Result{}, err
	}
	err = r.loop(ctx, progress)
	if err == nil {
		err = r.save()
	}
	if err = errors.Join(err, r.close()); err != nil {
		return Result{}, err
	}
	return Result{
		Config: r.config, Parameters: r.config.Parameters(), Steps: r.at.Steps, Epochs: r.data.epoch, Tokens: r.at.Tokens,
		Loss: r.at.Curve.last(trainLoss), ValLoss: r.at.Curve.last(validationLoss), Elapsed: time.Since(r.began), Curve: r.at.Curve,
	}, nil
}

// run is a training run in progress. The slices of at are the live ones: saving at is saving the run.
type run struct {
	options       Options
	config        transformer.Config
	tokenizer     *transformer.Tokenizer
	params        []parameter
	at            *checkpoint
	optimizer     *adamW
	data          *stream
	batch         *Batch
	training      *graph
	held          []Sample
	heldBatch     *Batch
	measuring     *graph // forward only, on the averaged weights
	labelAccuracy float64
	began         time.Time
}

func newRun(c *corpus.Corpus, sets []Dataset, o Options) (*run, error) {
	r := &run{options: o, began: time.Now(), labelAccuracy: math.NaN()}
	from := newSource(c, sets)
	mark, err := fingerprint(c, sets, o)
	if err != nil {
		return nil, err
	}
	if o.Resume {
		if r.at, err = loadCheckpoint(checkpointPath(o.Out), mark); err != nil {
			return nil, err
		}
	}
	if r.at != nil {
		r.tokenizer, err = transformer.LoadTokenizer(r.at.Tokenizer)
	} else {
		r.tokenizer, err = trainTokenizer(from, o)
	}
	if err != nil {
		return nil, err
	}
	enc, err := newEncoder(r.tokenizer, o)
	if err != nil {
		return nil, err
	}
	begin, _ := r.tokenizer.TokenID(transformer.BeginToken)
	r.config = o.config(r.tokenizer.VocabSize(), begin, int(enc.end))
	if err := r.config.Validate(); err != nil {
		return nil, err
	}
	r.params = layout(r.config)
	r.data = &stream{source: from, encoder: enc, options: o}
	if r.at == nil {
		weights := initial(r.config, r.params, o.Seed)
		r.optimizer = newAdamW(r.params, weights, o)
		r.at = &checkpoint{Fingerprint: mark, Steps: o.Steps, Weights: weights, First: r.optimizer.m, Second: r.optimizer.v, Average: r.optimizer.ema}
		if r.at.Tokenizer, err = r.tokenizer.MarshalJSON(); err != nil {
			return nil, err
		}
	} else {
		r.optimizer = newAdamW(r.params, r.at.Weights, o)
		r.optimizer.m, r.optimizer.v, r.optimizer.ema = r.at.First, r.at.Second, r.at.Average
		r.data.epoch, r.data.next = r.at.Epoch, r.at.Next
	}
	r.batch = NewBatch(o.BatchTokens, o.Window)
	var labels []span
	for _, set := range r.tokenizer.Labels() {
		labels = append(labels, span{set.From, set.To()})
	}
	if r.training, err = newGraph(r.config, r.params, r.at.Weights, r.batch, graphOptions{
		labels: labels, smoothing: smoothing{float32(o.Smoothing), float32(o.LabelSmoothing)},
		dropout: o.Dropout, labelDropout: o.LabelDropout, seed: mixed(o.Seed + streamDropout), gradients: true,
	}); err != nil {
		return nil, err
	}
	if r.held, err = from.validation(enc); err != nil {
		return nil, err
	}
	r.heldBatch = NewBatch(o.BatchTokens, o.Window)
	r.measuring, err = newGraph(r.config, r.params, r.at.Average, r.heldBatch, graphOptions{labels: labels})
	return r, err
}

// fingerprint tells whether two runs are the same but for where they stand.
func fingerprint(c *corpus.Corpus, sets []Dataset, o Options) (string, error) {
	o.Out, o.Resume, o.ValidateEvery, o.CheckpointEvery = "", false, 0, 0
	data, err := json.Marshal(struct {
		Options Options
		Intents []corpus.Intent
		Sets    []Dataset
	}{o, c.Intents, sets})
	if err != nil {
		return "", fmt.Errorf("train: %w", err)
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:]), nil
}

func (r *run) loop(ctx context.Context, progress func(Progress)) error {
	if r.at.Steps == 0 {
		if err := r.settleSteps(); err != nil {
			return err
		}
	}
	from, start, tokens := r.at.Step, time.Now(), 0
	for r.at.Step < r.at.Steps {
		if ctx.Err() != nil {
			return errors.Join(context.Cause(ctx), r.checkpoint())
		}
		loss, err := r.step()
		if err != nil {
			return err
		}
		tokens += r.batch.Used()
		step, every := r.at.Step, r.options.ValidateEvery
		r.at.Curve.add(trainLoss, step, loss)
		if step == r.at.Steps || every > 0 && step%every == 0 {
			if err := r.validate(); err != nil {
				return err
			}
		}
		if every := r.options.CheckpointEvery; every > 0 && step%every == 0 && step < r.at.Steps {
			if err := r.checkpoint(); err != nil {
				return err
			}
		}
		spent := time.Since(start)
		progress(Progress{
			Step: step, Steps: r.at.Steps, Loss: loss, ValLoss: r.at.Curve.last(validationLoss), LabelAccuracy: r.labelAccuracy,
			TokensPerSecond: float64(tokens) / spent.Seconds(), Elapsed: time.Since(r.began),
			Left: spent / time.Duration(step-from) * time.Duration(r.at.Steps-step),
		})
	}
	return nil
}

// settleSteps times a few steps that change nothing and takes as many as fit the duration.
func (r *run) settleSteps() error {
	const timed = 10
	if err := r.data.fill(r.batch); err != nil {
		return err
	}
	var start time.Time
	for i := range timed + 1 { // the first one warms caches
		if i == 1 {
			start = time.Now()
		}
		if _, err := r.training.run(0); err != nil {
			return err
		}
	}
	r.data.epoch, r.data.next, r.data.samples = 0, 0, nil
	each := time.Since(start) / timed
	const overhead = 1.1 // the update, validation, checkpoints
	r.at.Steps = max(1, int(float64(r.options.Duration)/(float64(each)*overhead)))
	return nil
}

// step trains on one batch and gives its loss.
func (r *run) step() (float64, error) {
	if err := r.data.fill(r.batch); err != nil {
		return 0, err
	}
	loss, err := r.training.run(r.at.Step + 1)
	if err != nil {
		return 0, err
	}
	if math.IsNaN(loss) || math.IsInf(loss, 0) {
		return 0, fmt.Errorf("train: the loss is %v at step %d; a lower learning rate may help", loss, r.at.Step+1)
	}
	r.at.Step++
	r.optimizer.step(r.at.Weights, r.training.gradient, rate(r.options.Rate, r.at.Step, r.options.WarmUp, r.at.Steps), r.at.Step)
	r.at.Tokens += r.batch.Used()
	return loss, nil
}

// validate measures the mean loss of the held-out replies' tokens.
func (r *run) validate() error {
	var sum, weight float64
	var labelled, right int64
	for next := 0; next < len(r.held); {
		r.heldBatch.Reset()
		for ; next < len(r.held); next++ {
			ok, err := r.heldBatch.Add(r.held[next])
			if err != nil {
				return err
			}
			if !ok {
				break
			}
		}
		loss, err := r.measuring.run(0)
		if err != nil {
			return err
		}
		var w float64
		for _, v := range r.heldBatch.Weights {
			w += float64(v)
		}
		sum, weight = sum+loss*w, weight+w
		labelled, right = labelled+r.measuring.loss.labelled.Load(), right+r.measuring.loss.right.Load()
	}
	r.labelAccuracy = float64(right) / float64(labelled)
	if weight > 0 {
		r.at.Curve.add(validationLoss, r.at.Step, sum/weight)
	}
	return nil
}

func (r *run) checkpoint() error {
	r.at.Epoch, r.at.Next = r.data.epoch, r.data.next
	return r.at.save(checkpointPath(r.options.Out))
}

// save writes the averaged weights; with them in place the checkpoint has served.
func (r *run) save() error {
	tensors, err := export(r.config, r.params, r.at.Average)
	if err != nil {
		return err
	}
	if err := transformer.SaveDir(r.options.Out, r.config, tensors, r.tokenizer); err != nil {
		return err
	}
	if err := os.Remove(checkpointPath(r.options.Out)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (r *run) close() error { return errors.Join(r.training.close(), r.measuring.close()) }
