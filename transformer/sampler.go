package transformer

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"teller/transformer/kernels"
)

// Sampling says how the next token is chosen. The zero value is greedy.
type Sampling struct {
	// Temperature divides the logits. 0 takes the most likely token, whatever else is set but RepetitionPenalty.
	Temperature float64
	// TopK keeps the K most likely tokens. 0 keeps all.
	TopK int
	// TopP keeps the fewest most likely tokens whose probabilities reach P together, after Temperature and
	// TopK (Holtzman et al. 2020). 0 and 1 keep all.
	TopP float64
	// MinP keeps the tokens that are at least P times as probable as the most likely one, after Temperature. 0 keeps all.
	MinP float64
	// RepetitionPenalty divides the logits of tokens that occurred in the prompt or the reply where they are positive, and multiplies them
	// where they are negative (Keskar et al. 2019, as Hugging Face computes it). 0 and 1 leave them.
	RepetitionPenalty float64
	// Seed makes the choice repeatable: the same seed, prompt and weights give the same tokens.
	Seed uint64
}

func (s Sampling) validate() error {
	switch {
	case !(s.Temperature >= 0) || math.IsInf(s.Temperature, 0):
		return fmt.Errorf("temperature is %v, must be at least 0", s.Temperature)
	case s.TopK < 0:
		return fmt.Errorf("top-k is %d, must be at least 0", s.TopK)
	case !(s.TopP >= 0 && s.TopP <= 1):
		return fmt.Errorf("top-p is %v, must be between 0 and 1", s.TopP)
	case !(s.MinP >= 0 && s.MinP <= 1):
		return fmt.Errorf("min-p is %v, must be between 0 and 1", s.MinP)
	case !(s.RepetitionPenalty >= 0 && s.RepetitionPenalty <= 1e6):
		return fmt.Errorf("the repetition penalty is %v, must be at least 0 and at most a million", s.RepetitionPenalty)
	}
	return nil
}

// coldest is the temperature below which the most likely token is as good as certain: further down float32 would overflow.
const coldest = 1e-6

// errNotFinite tells that the forward pass overflowed: the weights are unfit.
var errNotFinite = errors.New("the model computed logits that are not finite")

// scratch is what choosing a token needs to work in: one for each thread, kept from token to token.
type scratch struct {
	weights    []float32 // (vocab)
	best       []int32
	candidates []scored
}

// scored is a token and its weight, which is proportional to its probability.
type scored struct {
	id     int32
	weight float32
}

// sampler chooses the tokens of one generation.
type sampler struct {
	Sampling
	random *rand.Rand
	seen   []int32 // tokens that occurred, each once, when they are to be penalised
	known  []uint64
}

// start prepares for a generation after prompt.
func (s *sampler) start(how Sampling, prompt []int, vocab int) {
	s.Sampling = how
	s.random = rand.New(rand.NewPCG(how.Seed, 0))
	s.seen, s.known = nil, nil
	if s.penalises() {
		s.known = make([]uint64, (vocab+63)/64)
		for _, id := range prompt {
			s.saw(id)
		}
	}
}

func (s *sampler) penalises() bool { return s.RepetitionPenalty > 0 && s.RepetitionPenalty != 1 }

func (s *sampler) saw(id int) {
	if bit := uint64(1) << (id % 64); s.known[id/64]&bit == 0 {
		s.known[id/64] |= bit
		s.seen = append(s.seen, int32(id))
	}
}

// next chooses a token from logits (vocab), which it overwrites. Its log-probability, and those of the top most likely ones beside it,
// are the model's own, softmax(logits): temperature, penalty and bounds do not change what the model believes.
func (s *sampler) next(work *scratch, logits []float32, top int) (Token, error) {
	best := kernels.ArgMax(logits)
	if best < 0 {
		return Token{}, errNotFinite
	}
	chosen := best
	if s.Temperature > 0 || s.penalises() {
		work.weights = append(work.weights[:0], logits...)
		chosen = s.choose(work)
	}
	token := Token{ID: chosen, LogProb: float64(logits[chosen])}
	if top > 0 {
		work.best = slices.Grow(work.best[:0], top)[:top]
		work.best = work.best[:kernels.TopK(work.best, logits)]
		for _, id := range work.best {
			token.Top = append(token.Top, Token{ID: int(id), LogProb: float64(logits[id])})
		}
	}
	sum, err := logSum(logits, logits[best])
	if err != nil {
		return Token{}, err
	}
	token.LogProb -= sum
	for i := range token.Top {
		token.Top[i].LogProb -= sum
	}
	if s.penalises() {
		s.saw(chosen)
	}
	return token, nil
}

// choose picks a token from work.weights, which are logits before.
func (s *sampler) choose(work *scratch) int {
	w := work.weights
	for _, id := range s.seen {
		if int(id) < len(w) {
			w[id] = penalised(w[id], float32(s.RepetitionPenalty))
		}
	}
	best := kernels.ArgMax(w)
	if s.Temperature < coldest || best < 0 {
		return max(0, best)
	}
	kept := s.keep(work, w[best])
	var total float64
	for _, c := range kept {
		total += float64(c.weight)
	}
	at := s.random.Float64() * total
	for _, c := range kept {
		if at -= float64(c.weight); at < 0 {
			return int(c.id)
		}
	}
	return int(kept[len(kept)-1].id) // rounding left a rest
}

func penalised(logit, penalty float32) float32 {
	if logit > 0 {
		return logit / penalty
	}
	return logit * penalty
}

// keep gives the tokens that temperature, top-k, top-p and min-p leave. largest is the greatest logit.
func (s *sampler) keep(work *scratch, largest float32) []scored {
	w, kept := work.weights, work.candidates[:0]
	limitP, total := s.TopP > 0 && s.TopP < 1, 1.0
	if s.TopK > 0 && s.TopK < len(w) {
		work.best = slices.Grow(work.best[:0], s.TopK)[:s.TopK]
		total = 0
		for _, id := range work.best[:kernels.TopK(work.best, w)] { // the most likely first
			weight := float32(math.Exp(float64(w[id]-largest) / s.Temperature))
			kept = append(kept, scored{id, weight})
			total += float64(weight)
		}
	} else {
		kernels.Softmax(w, float32(1/s.Temperature))
		// Most of a vocabulary has next to no weight. Tokens below this bound have, all together, less than the 1-p that
		// top-p leaves out, so it never needs them, and they need not be sorted.
		var bound float32
		if limitP {
			bound = float32((1 - s.TopP) / float64(len(w)))
		}
		for id, weight := range w {
			if weight >= bound {
				kept = append(kept, scored{int32(id), weight})
			}
		}
		if limitP {
			slices.SortFunc(kept, func(a, b scored) int {
				return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.id, b.id))
			})
		}
	}
	work.candidates = kept
	if limitP {
		kept = kept[:nucleus(kept, s.TopP*total)]
	}
	if s.MinP > 0 {
		var most float32
		for _, c := range kept {
			most = max(most, c.weight)
		}
		kept = slices.DeleteFunc(kept, func(c scored) bool { return float64(c.weight) < s.MinP*float64(most) })
	}
	return kept
}

// nucleus is how many of the candidates, heaviest first, reach the weight together; at least one.
func nucleus(sorted []scored, weight float64) int {
	for i, c := range sorted {
		if weight -= float64(c.weight); weight <= 0 {
			return i + 1
		}
	}
	return len(sorted)
}
