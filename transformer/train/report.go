package train

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"teller/corpus"
	"teller/evaluation"
	"teller/transformer"
)

// Rate is how many of a number of cases went well, with its 95% Wilson interval.
type Rate struct {
	Good     int                 `json:"good"`
	Total    int                 `json:"total"`
	Interval evaluation.Interval `json:"interval95"`
}

func (r *Rate) count(good bool) {
	r.Total++
	if good {
		r.Good++
	}
	r.Interval = evaluation.Wilson95(r.Good, r.Total)
}

// Share is Good/Total, 0 of nothing.
func (r Rate) Share() float64 { return float64(r.Good) / float64(max(1, r.Total)) }

func (r Rate) String() string {
	return fmt.Sprintf("%5.1f%%  (%d of %d; %.1f%% to %.1f%%)", 100*r.Share(), r.Good, r.Total, 100*r.Interval.Low, 100*r.Interval.High)
}

// Choice is how well the model chooses among the labels of one namespace, on questions that it was not trained on.
type Choice struct {
	Accuracy    Rate             `json:"accuracy"`
	Baseline    *Rate            `json:"baseline,omitempty"` // of evaluation.Baseline, trained and measured on the same rows
	ECE         float64          `json:"expected_calibration_error"`
	Temperature float64          `json:"temperature"`
	Bins        []evaluation.Bin `json:"bins"`
}

// Report is how well a model does on what was held out of its training: the corpus's held-out families and each data set's held-out
// rows. Account figures are drawn at random and were never seen.
type Report struct {
	Version string            `json:"version"`
	Choices map[string]Choice `json:"choices"` // by namespace

	Answers Rate                 `json:"answers"` // all required facts, nothing forbidden, no invented figure
	ByKind  map[corpus.Kind]Rate `json:"answers_by_kind"`

	Refusals Rate `json:"refusals"`       // of questions to refuse, those refused
	Refused  Rate `json:"benign_refused"` // of benign look-alikes, those refused

	CopiedHeldOut Rate `json:"copied_held_out_wordings"` // figures copied exactly, where the context has them
	CopiedTrained Rate `json:"copied_trained_wordings"`  // the same for wordings seen in training
	SignIn        Rate `json:"asks_to_sign_in"`          // account questions without the fact in the context, held-out wordings

	OutOfScopeAUROC map[string]float64 `json:"out_of_scope_auroc"` // of Bundle.Confidence, by where the questions come from

	Failures []Failure `json:"failures"`
}

// Failure is an answer with something wrong in it.
type Failure struct {
	Intent   string   `json:"intent"`
	Question string   `json:"question"`
	Label    string   `json:"label"` // what the model took the question for
	Answer   string   `json:"answer"`
	Problems []string `json:"problems"`
}

// copyTrials is how many account questions in trained wordings are measured.
const copyTrials = 300

// Examine calibrates the model in folder dir on what was held out of its training on the corpus and the data sets, writes the
// calibration beside the weights, and reports how well the model does there. It takes a few minutes of one core.
func Examine(ctx context.Context, dir string, c *corpus.Corpus, sets []Dataset) (Report, error) {
	b, err := transformer.LoadDir(dir)
	if err != nil {
		return Report{}, err
	}
	x := examination{student: newStudent(b), source: newSource(c, sets), report: Report{
		Version: b.Version, Choices: map[string]Choice{}, ByKind: map[corpus.Kind]Rate{}, OutOfScopeAUROC: map[string]float64{},
	}}
	calibration := transformer.Calibration{Temperatures: map[string]float64{}, OutOfScope: x.outOfScope()}
	if err := x.choices(ctx, calibration.Temperatures); err != nil {
		return x.report, err
	}
	if err := transformer.SaveCalibration(dir, b, calibration); err != nil {
		return x.report, err
	}
	b.Calibration = &calibration
	if err := x.answers(ctx); err != nil {
		return x.report, err
	}
	return x.report, nil
}

type examination struct {
	student
	source source
	report Report
}

// outOfScope lists the corpus's intents that are not about banking.
func (x *examination) outOfScope() []string {
	var out []string
	for _, intent := range x.source.corpus.Intents {
		if intent.Kind == corpus.OutOfScope {
			out = append(out, intent.Name)
		}
	}
	return out
}

// choices measures each namespace's labels and sets its temperature.
func (x *examination) choices(ctx context.Context, temperatures map[string]float64) error {
	measure := func(namespace string, lessons []lesson, baseline *Rate) error {
		set, ok := x.Tokenizer.LabelSet(namespace)
		if !ok || len(lessons) == 0 {
			return nil
		}
		var of []prediction
		for _, l := range lessons {
			logProbs, err := x.labels(ctx, l.prompt, namespace)
			if err != nil {
				return err
			}
			id, _ := x.Tokenizer.TokenID(l.label)
			of = append(of, prediction{logProbs, id - set.From})
		}
		confidence, right := crossFitted(of)
		choice := Choice{Baseline: baseline, Temperature: fitTemperature(of)}
		for _, r := range right {
			choice.Accuracy.count(r)
		}
		choice.Bins = evaluation.Reliability(confidence, right, evaluation.ReliabilityBins)
		choice.ECE = evaluation.ExpectedCalibrationError(choice.Bins)
		temperatures[namespace] = choice.Temperature
		x.report.Choices[namespace] = choice
		return nil
	}
	var own []lesson
	for _, e := range x.source.corpus.Examples(corpus.Validation, streamValidation) {
		own = append(own, lessonOf(e))
	}
	linear, err := x.source.own().baseline(ctx)
	if err != nil {
		return err
	}
	if err := measure(transformer.TellerNamespace, own, linear); err != nil {
		return err
	}
	for _, set := range x.source.sets {
		var lessons []lesson
		for _, row := range set.heldOut {
			lessons = append(lessons, lessonOfRow(set.name, row))
		}
		baseline, err := set.baseline(ctx)
		if err != nil {
			return err
		}
		if err := measure(set.name, lessons, baseline); err != nil {
			return err
		}
	}
	return nil
}

// own is the corpus as a data set: the last question of each dialogue, all that the linear classifier sees of it, and what data sets add.
func (s source) own() trainingSet {
	rows := func(split corpus.Split) (out []Row) {
		for _, e := range s.corpus.Examples(split, streamValidation) {
			out = append(out, Row{Input: e.Question(), Expected: e.Intent})
		}
		return out
	}
	own := trainingSet{name: transformer.TellerNamespace, training: rows(corpus.Train), heldOut: rows(corpus.Validation)}
	for _, set := range s.sets {
		own.training = append(own.training, set.intents...)
	}
	return own
}

// baseline gives what the linear classifier reaches on the same rows.
func (s trainingSet) baseline(ctx context.Context) (*Rate, error) {
	linear, err := evaluation.TrainBaseline(ctx, s.training, holdoutSeed)
	if err != nil {
		return nil, err
	}
	var rate Rate
	for _, row := range s.heldOut {
		rate.count(linear.Predict(row.Input) == row.Expected)
	}
	return &rate, nil
}

// answers lets the model answer the held-out questions and takes its confidence in each.
func (x *examination) answers(ctx context.Context) error {
	var scores []float64
	var inScope []bool
	for _, e := range x.source.corpus.Examples(corpus.Validation, streamValidation) {
		answer, label, confidence, err := x.reply(ctx, e.Prompt())
		if err != nil {
			return err
		}
		problems := e.Check(answer)
		good := len(problems) == 0
		x.report.Answers.count(good)
		kind := x.report.ByKind[e.Kind]
		kind.count(good)
		x.report.ByKind[e.Kind] = kind
		intent, _ := x.source.corpus.Intent(label)
		switch e.Kind {
		case corpus.Refusal:
			x.report.Refusals.count(intent.Kind == corpus.Refusal)
		case corpus.LookAlike:
			x.report.Refused.count(intent.Kind == corpus.Refusal)
		case corpus.Account:
			if settled(e) {
				x.report.CopiedHeldOut.count(good)
			} else {
				x.report.SignIn.count(good)
			}
		}
		if !good {
			x.report.Failures = append(x.report.Failures, Failure{e.Intent, e.Question(), label, answer, problems})
		}
		if e.Kind != corpus.SmallTalk {
			scores, inScope = append(scores, confidence), append(inScope, e.Kind != corpus.OutOfScope)
		}
	}
	if slices.Contains(inScope, true) && slices.Contains(inScope, false) {
		x.report.OutOfScopeAUROC[transformer.TellerNamespace] = evaluation.AUROC(scores, inScope)
	}
	return x.copies(ctx)
}

// reply gives the model's answer, what it took the question for and how sure it is.
func (x *examination) reply(ctx context.Context, dialogue []corpus.Message) (answer, label string, confidence float64, err error) {
	answer, logProbs, err := x.answer(ctx, dialogue)
	if err != nil {
		return "", "", 0, err
	}
	if set, ok := x.Tokenizer.LabelSet(transformer.TellerNamespace); ok && len(logProbs) > 0 {
		best := 0
		for i, l := range logProbs {
			if l > logProbs[best] {
				best = i
			}
		}
		label = set.Names[best]
	}
	confidence, _ = x.Confidence(logProbs)
	return answer, label, confidence, nil
}

// settled tells an account question whose context holds the answer: its facts are figures.
func settled(e corpus.Example) bool {
	return e.Kind == corpus.Account && e.Dialogue[0].Role == corpus.RoleSystem && !unsettled(e)
}

// copies asks account questions in wordings seen in training, with figures that were not.
func (x *examination) copies(ctx context.Context) error {
	c := x.source.corpus
	if !slices.ContainsFunc(c.Intents, func(in corpus.Intent) bool { return in.Kind == corpus.Account }) {
		return nil
	}
	rng := rand.New(rand.NewPCG(holdoutSeed, streamValidation))
	for x.report.CopiedTrained.Total < copyTrials {
		e := c.Sample(rng, corpus.Train)
		if !settled(e) {
			continue
		}
		answer, label, _, err := x.reply(ctx, e.Prompt())
		if err != nil {
			return err
		}
		problems := e.Check(answer)
		x.report.CopiedTrained.count(len(problems) == 0)
		if len(problems) > 0 {
			x.report.Failures = append(x.report.Failures, Failure{e.Intent, e.Question(), label, answer, problems})
		}
	}
	return nil
}

// Text is the report for a terminal, without the failures.
func (r Report) Text() string {
	var s strings.Builder
	line := func(what string, rate Rate) {
		if rate.Total > 0 {
			fmt.Fprintf(&s, "  %-42s %s\n", what, rate)
		}
	}
	fmt.Fprintf(&s, "%s on questions it was not trained on, with 95%% intervals:\n", r.Version)
	for _, namespace := range sortedKeys(r.Choices) {
		c := r.Choices[namespace]
		line("label choice, "+namespace, c.Accuracy)
		if c.Baseline != nil {
			line("  linear baseline", *c.Baseline)
		}
		fmt.Fprintf(&s, "  %-42s %6.4f at temperature %.3f\n", "  calibration error", c.ECE, c.Temperature)
	}
	line("free answers", r.Answers)
	for _, kind := range sortedKeys(r.ByKind) {
		line("  "+string(kind), r.ByKind[kind])
	}
	line("refused, of what must be", r.Refusals)
	line("refused, of benign look-alikes", r.Refused)
	line("figures copied, held-out wordings", r.CopiedHeldOut)
	line("figures copied, trained wordings", r.CopiedTrained)
	line("asks to sign in without the figure", r.SignIn)
	for _, from := range sortedKeys(r.OutOfScopeAUROC) {
		fmt.Fprintf(&s, "  %-42s %6.4f\n", "in scope against out of scope, AUROC", r.OutOfScopeAUROC[from])
	}
	return s.String()
}

func sortedKeys[K ~string, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
