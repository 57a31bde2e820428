package train

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"unicode"

	"teller/corpus"
	"teller/transformer"
)

// source is all that a run trains on.
type source struct {
	corpus *corpus.Corpus
	sets   []trainingSet
}

// trainingSet is a data set cut into what is trained on and what is held out.
type trainingSet struct {
	name              string
	labels            transformer.LabelSet
	training, heldOut []Row
	intents           []Row // those of training whose label is an intent of the corpus, under that intent
}

// newSource holds a part of each data set out. The part depends on the data alone, not on the run's seed, so that no figure measured on it
// comes from a model that another seed showed it to.
func newSource(c *corpus.Corpus, sets []Dataset) source {
	s := source{corpus: c}
	for _, d := range sets {
		training, heldOut := d.Split(holdoutSeed)
		var intents []Row
		for _, row := range training {
			if intent, ok := d.Intents[row.Expected]; ok {
				intents = append(intents, Row{Input: row.Input, Expected: intent})
			}
		}
		if slices.Contains(d.labels().Names, transformer.OutOfScopeLabel) {
			training = append(training, outOfScope(c)...)
		}
		s.sets = append(s.sets, trainingSet{d.Name, d.labels(), training, heldOut, intents})
	}
	return s
}

const holdoutSeed = 1

// outOfScope gives the corpus's training phrasings that are not about banking, as rows of a data set that has such a label.
func outOfScope(c *corpus.Corpus) []Row {
	var rows []Row
	for _, e := range c.Examples(corpus.Train, streamValidation) {
		if e.Kind == corpus.OutOfScope {
			rows = append(rows, Row{Input: e.Question(), Expected: transformer.OutOfScopeLabel})
		}
	}
	return rows
}

// labelSets gives the labels that the model learns: the corpus's intents, then each data set's.
func (s source) labelSets() []transformer.LabelSet {
	var out []transformer.LabelSet
	if names := s.corpus.Names(); len(names) > 0 {
		out = append(out, transformer.LabelSet{Namespace: transformer.TellerNamespace, Names: names})
	}
	for _, set := range s.sets {
		out = append(out, set.labels)
	}
	return out
}

// trainTokenizer learns the vocabulary from the training parts and adds the labels. It sees no digits, so no token but the ten single
// digits holds one: a model copies figures that it never saw only when it reads them digit by digit.
func trainTokenizer(s source, o Options) (*transformer.Tokenizer, error) {
	noDigits := strings.NewReplacer("0", "\n", "1", "\n", "2", "\n", "3", "\n", "4", "\n", "5", "\n", "6", "\n", "7", "\n", "8", "\n", "9", "\n")
	var texts iter.Seq[string] = func(yield func(string) bool) {
		for _, e := range s.corpus.Examples(corpus.Train, o.Seed) {
			for _, m := range e.Dialogue {
				text := noDigits.Replace(m.Text)
				if !yield(text) || m.Role == corpus.RoleUser && !yield(strings.ToLower(text)) {
					return
				}
			}
		}
		for _, set := range s.sets {
			for _, row := range set.training {
				text := noDigits.Replace(row.Input)
				if !yield(text) || !yield(strings.ToLower(text)) {
					return
				}
			}
		}
	}
	t, err := transformer.TrainTokenizer(texts, o.Vocab, transformer.SpecialTokens())
	if err != nil {
		return nil, err
	}
	return t.WithLabels(s.labelSets()...)
}

// stream is the endless sequence of training samples. Its place is the pair (epoch, next); what stands there depends on
// the seed and the place alone.
type stream struct {
	source  source
	encoder *encoder
	options Options
	epoch   int
	next    int
	samples []Sample // of the epoch; nil until it is needed
}

// fill replaces the batch by the next samples, as many as fit.
func (s *stream) fill(b *Batch) error {
	b.Reset()
	for {
		if s.samples == nil {
			var err error
			if s.samples, err = s.load(s.epoch); err != nil {
				return err
			}
		}
		for ; s.next < len(s.samples); s.next++ {
			ok, err := b.Add(s.samples[s.next])
			if err != nil {
				return err
			}
			if !ok {
				return nil
			}
		}
		s.epoch, s.next, s.samples = s.epoch+1, 0, nil
	}
}

// load makes an epoch's samples. The first epoch is the echoes that teach copying; each later one is a pass over all there is.
func (s *stream) load(epoch int) ([]Sample, error) {
	rng := rand.New(rand.NewPCG(s.options.Seed, streamEpoch+uint64(epoch)))
	var lessons []lesson
	if epoch == 0 {
		lessons = s.echoes(rng, s.options.EchoesFirst)
	} else {
		lessons = s.pass(rng)
	}
	samples := make([]Sample, 0, len(lessons))
	for _, l := range lessons {
		if rng.Float64() < s.options.Noise {
			question := &l.prompt[len(l.prompt)-1]
			question.Text = noisy(rng, question.Text)
		}
		sample, err := s.encoder.sample(l, rng)
		if err != nil {
			return nil, err
		}
		samples = append(samples, sample)
	}
	if epoch > 0 && len(samples) == 0 {
		return nil, fmt.Errorf("train: there is nothing to train on")
	}
	return samples, nil
}

// pass draws the corpus's examples and the data sets' rows for one epoch, shuffled.
func (s *stream) pass(rng *rand.Rand) []lesson {
	var lessons []lesson
	examples := s.corpusPass(rng)
	for _, e := range examples {
		if e.Kind == corpus.Account || rng.Float64() < s.options.Replies {
			lessons = append(lessons, lessonOf(e))
		}
		if e.Kind != corpus.Account && rng.Float64() < s.options.LabelOnly {
			only := lessonOf(e)
			only.prompt, only.replies = slices.Clone(only.prompt), false // each is mistyped in its own way
			lessons = append(lessons, only)
		}
	}
	lessons = append(lessons, s.echoes(rng, int(s.options.Echoes*float64(len(examples))))...)
	for _, set := range s.source.sets {
		share, ok := s.options.SetShare[set.name]
		if !ok {
			share = 1
		}
		for _, row := range set.training {
			for times := share; times > 0 && rng.Float64() < times; times-- {
				lessons = append(lessons, lessonOfRow(set.name, row))
			}
		}
		for _, row := range set.intents {
			lessons = append(lessons, lessonOfRow(transformer.TellerNamespace, row))
		}
	}
	rng.Shuffle(len(lessons), func(i, j int) { lessons[i], lessons[j] = lessons[j], lessons[i] })
	return lessons
}

// corpusPass draws each phrasing of the training split, account questions on top until they have their share, and more of those
// whose context does not settle them, all with fresh figures.
func (s *stream) corpusPass(rng *rand.Rand) []corpus.Example {
	c := s.source.corpus
	examples := c.Epoch(rng, corpus.Train)
	account := 0
	for _, e := range examples {
		if e.Kind == corpus.Account {
			account++
		}
	}
	for account > 0 && float64(account) < s.options.AccountShare*float64(len(examples)) {
		if e := c.Sample(rng, corpus.Train); e.Kind == corpus.Account {
			examples = append(examples, e)
			account++
		}
	}
	wanted := int(s.options.Unsettled * float64(len(examples)))
	for range wanted * 1000 { // a corpus with one kind of context has no other to put in its place
		if wanted == 0 {
			break
		}
		if e := c.Sample(rng, corpus.Train); unsettled(e) {
			examples = append(examples, e)
			wanted--
		}
	}
	return examples
}

// unsettled tells an account question whose context is about other things. The right answer quotes no figure of it, so
// an answer without a digit tells.
func unsettled(e corpus.Example) bool {
	return e.Kind == corpus.Account && e.Dialogue[0].Role == corpus.RoleSystem && !strings.ContainsFunc(e.Answer(), unicode.IsDigit)
}

// echoes draws n dialogues whose reply is their context, word for word; none when the corpus has no contexts. Copying a figure into an
// answer is the same skill, on a few tokens of each reply: from those alone a small model does not learn it in millions of tokens,
// from echoes it does in a few hundred thousand.
func (s *stream) echoes(rng *rand.Rand, n int) []lesson {
	contexts := false
	for _, intent := range s.source.corpus.Intents {
		contexts = contexts || intent.Context != nil
	}
	if !contexts {
		return nil
	}
	questions := []string{"What do you know about my account?", "Repeat the facts above.", "Read me everything you can see."}
	var out []lesson
	for len(out) < n {
		e := s.source.corpus.Sample(rng, corpus.Train)
		if context := e.Dialogue[0]; context.Role == corpus.RoleSystem {
			question := corpus.Message{Role: corpus.RoleUser, Text: questions[rng.IntN(len(questions))]}
			out = append(out, lesson{prompt: []corpus.Message{context, question}, reply: context.Text, replies: true})
		}
	}
	return out
}

// validation makes the samples that the held-out loss is measured on, the same for each measurement: replies to the held-out families and their labels,
// and the labels of the data sets' held-out rows.
func (s source) validation(e *encoder) ([]Sample, error) {
	var lessons []lesson
	for _, example := range s.corpus.Examples(corpus.Validation, streamValidation) {
		lessons = append(lessons, lessonOf(example))
	}
	for _, set := range s.sets {
		for _, row := range set.heldOut {
			lessons = append(lessons, lessonOfRow(set.name, row))
		}
	}
	plain := *e
	plain.promptWeight, plain.labelWeight, plain.ngramDrop, plain.bagDrop, plain.tokenDrop = 0, 1, 0, 0, 0
	var samples []Sample
	for _, l := range lessons {
		sample, err := plain.sample(l, nil)
		if err != nil {
			return nil, err
		}
		samples = append(samples, sample)
	}
	return samples, nil
}
