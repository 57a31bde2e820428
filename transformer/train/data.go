package train

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"strings"
	"unicode"

	"teller/corpus"
	"teller/transformer"
)

// trainTokenizer learns the vocabulary from the training split. It sees no digits, so no token but the ten single
// digits holds one: a model copies figures that it never saw only when it reads them digit by digit.
func trainTokenizer(c *corpus.Corpus, o Options) (*transformer.Tokenizer, error) {
	noDigits := strings.NewReplacer("0", "\n", "1", "\n", "2", "\n", "3", "\n", "4", "\n", "5", "\n", "6", "\n", "7", "\n", "8", "\n", "9", "\n")
	var texts iter.Seq[string] = func(yield func(string) bool) {
		for _, e := range c.Examples(corpus.Train, o.Seed) {
			for _, m := range e.Dialogue {
				text := noDigits.Replace(m.Text)
				if !yield(text) || m.Role == corpus.RoleUser && !yield(strings.ToLower(text)) {
					return
				}
			}
		}
	}
	return transformer.TrainTokenizer(texts, o.Vocab, transformer.SpecialTokens())
}

// encoder turns dialogues into samples.
type encoder struct {
	tokenizer       *transformer.Tokenizer
	end             int32
	user, assistant int32
	promptWeight    float32
	window          int
}

func newEncoder(t *transformer.Tokenizer, o Options) (*encoder, error) {
	e := &encoder{tokenizer: t, promptWeight: float32(o.PromptWeight), window: o.Window}
	for _, s := range []struct {
		token string
		id    *int32
	}{{transformer.EndToken, &e.end}, {transformer.UserToken, &e.user}, {transformer.AssistantToken, &e.assistant}} {
		id, ok := t.TokenID(s.token)
		if !ok {
			return nil, fmt.Errorf("train: the tokenizer lacks %s", s.token)
		}
		*s.id = int32(id)
	}
	return e, nil
}

// sample lays a dialogue out. Predicting the last reply counts 1 a token, its end included; what users say counts the
// prompt weight; contexts, whose figures nobody can predict, and earlier replies count nothing.
func (e *encoder) sample(dialogue []corpus.Message) (Sample, error) {
	msgs := make([]transformer.Message, len(dialogue))
	for i, m := range dialogue {
		msgs[i] = transformer.Message{Role: m.Role, Text: m.Text}
	}
	ids, err := e.tokenizer.EncodeDialogue(msgs)
	if err != nil {
		return Sample{}, err
	}
	if len(ids) > e.window {
		return Sample{}, fmt.Errorf("train: a dialogue of %d tokens does not fit the window of %d: %.80q", len(ids), e.window, dialogue[len(dialogue)-1].Text)
	}
	s := Sample{IDs: make([]int32, len(ids)), Weights: make([]float32, len(ids))}
	last := 0
	for i, id := range ids {
		s.IDs[i] = int32(id)
		if int32(id) == e.assistant {
			last = i
		}
	}
	weight := float32(0)
	for i, id := range s.IDs[:len(ids)-1] {
		switch {
		case id == e.end:
			weight = 0
		case id == e.user:
			weight = e.promptWeight
		case i == last:
			weight = 1
		}
		s.Weights[i] = weight
	}
	return s, nil
}

// stream is the endless sequence of training samples. Its place is the pair (epoch, next); what stands there depends on
// the seed and the place alone.
type stream struct {
	corpus  *corpus.Corpus
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

// load makes an epoch's samples. The first epoch is the echoes that teach copying; each later one is a pass over the corpus.
func (s *stream) load(epoch int) ([]Sample, error) {
	rng := rand.New(rand.NewPCG(s.options.Seed, streamEpoch+uint64(epoch)))
	var examples []corpus.Example
	if epoch == 0 {
		examples = s.echoes(rng, s.options.EchoesFirst)
	} else {
		examples = s.pass(rng)
	}
	samples := make([]Sample, 0, len(examples))
	for _, e := range examples {
		question := &e.Dialogue[len(e.Dialogue)-2]
		if rng.Float64() < s.options.Noise {
			question.Text = noisy(rng, question.Text)
		}
		sample, err := s.encoder.sample(e.Dialogue)
		if err != nil {
			return nil, err
		}
		samples = append(samples, sample)
	}
	if epoch > 0 && len(samples) == 0 {
		return nil, fmt.Errorf("train: the corpus has no training examples")
	}
	return samples, nil
}

// pass draws each phrasing of the training split, account questions on top until they have their share, more of those
// whose context does not settle them, and echoes, all shuffled and with fresh figures.
func (s *stream) pass(rng *rand.Rand) []corpus.Example {
	examples := s.corpus.Epoch(rng, corpus.Train)
	account := 0
	for _, e := range examples {
		if e.Kind == corpus.Account {
			account++
		}
	}
	for account > 0 && float64(account) < s.options.AccountShare*float64(len(examples)) {
		if e := s.corpus.Sample(rng, corpus.Train); e.Kind == corpus.Account {
			examples = append(examples, e)
			account++
		}
	}
	wanted := int(s.options.Unsettled * float64(len(examples)))
	for range wanted * 1000 { // a corpus with one kind of context has no other to put in its place
		if wanted == 0 {
			break
		}
		if e := s.corpus.Sample(rng, corpus.Train); unsettled(e) {
			examples = append(examples, e)
			wanted--
		}
	}
	examples = append(examples, s.echoes(rng, int(s.options.Echoes*float64(len(examples))))...)
	rng.Shuffle(len(examples), func(i, j int) { examples[i], examples[j] = examples[j], examples[i] })
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
func (s *stream) echoes(rng *rand.Rand, n int) []corpus.Example {
	contexts := false
	for _, intent := range s.corpus.Intents {
		contexts = contexts || intent.Context != nil
	}
	if !contexts {
		return nil
	}
	questions := []string{"What do you know about my account?", "Repeat the facts above.", "Read me everything you can see."}
	var out []corpus.Example
	for len(out) < n {
		e := s.corpus.Sample(rng, corpus.Train)
		if context := e.Dialogue[0]; context.Role == corpus.RoleSystem {
			e.Dialogue = []corpus.Message{
				context,
				{Role: corpus.RoleUser, Text: questions[rng.IntN(len(questions))]},
				{Role: corpus.RoleAssistant, Text: context.Text},
			}
			out = append(out, e)
		}
	}
	return out
}

// validation makes batches of the held-out families, the same for each measurement.
func validation(c *corpus.Corpus, e *encoder) ([]Sample, error) {
	var samples []Sample
	for _, example := range c.Examples(corpus.Validation, streamValidation) {
		s, err := e.sample(example.Dialogue)
		if err != nil {
			return nil, err
		}
		for i, w := range s.Weights {
			if w != 1 { // the loss of replies alone is what comparisons need
				s.Weights[i] = 0
			}
		}
		samples = append(samples, s)
	}
	return samples, nil
}
