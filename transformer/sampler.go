package transformer

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
)

// Sampling says how the next token is chosen. The zero value is greedy.
type Sampling struct {
	// Temperature divides the logits. 0 takes the most likely token, whatever else is set.
	Temperature float64
	// TopK keeps the K most likely tokens. 0 keeps all.
	TopK int
	// TopP keeps the fewest most likely tokens whose probabilities reach P together, after Temperature and
	// TopK (Holtzman et al. 2020). 0 and 1 keep all.
	TopP float64
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
	}
	return nil
}

// errNotFinite tells that the forward pass overflowed: the weights are unfit.
var errNotFinite = errors.New("the model computed logits that are not finite")

// sampler chooses tokens. Its memory is kept from token to token.
type sampler struct {
	Sampling
	random     *rand.Rand
	candidates []scored
}

// scored is a token and its weight, exp((logit-largest)/temperature).
type scored struct {
	id     int
	weight float64
}

// newSampler makes a sampler for vocab tokens.
func newSampler(vocab int) *sampler { return &sampler{candidates: make([]scored, 0, vocab)} }

// start prepares for a new generation.
func (s *sampler) start(how Sampling) {
	s.Sampling = how
	s.random = rand.New(rand.NewPCG(how.Seed, 0))
}

// next chooses a token from logits (vocab) and gives its log-probability under the model's own
// distribution, softmax(logits): temperature, top-k and top-p do not change what the model believes.
func (s *sampler) next(logits []float32) (id int, logProb float64, err error) {
	best := 0
	for i, l := range logits {
		if l > logits[best] {
			best = i
		}
	}
	top := float64(logits[best])
	var sum float64
	for _, l := range logits {
		sum += math.Exp(float64(l) - top)
	}
	if math.IsNaN(sum) || math.IsInf(sum, 0) {
		return 0, 0, errNotFinite
	}
	id = best
	if s.Temperature > 0 {
		id = s.draw(logits, top)
	}
	return id, float64(logits[id]) - top - math.Log(sum), nil
}

// draw picks one of the tokens that temperature, top-k and top-p leave, by its weight.
func (s *sampler) draw(logits []float32, top float64) int {
	s.candidates = s.candidates[:0]
	var total float64
	for i, l := range logits {
		w := math.Exp((float64(l) - top) / s.Temperature)
		s.candidates = append(s.candidates, scored{i, w})
		total += w
	}
	kept := s.candidates
	limitK := s.TopK > 0 && s.TopK < len(kept)
	limitP := s.TopP > 0 && s.TopP < 1
	if limitP && !limitK {
		// Most of a vocabulary has next to no weight. Tokens below this bound have, all together, less
		// than the 1-p that top-p leaves out, so it never needs them, and they need not be sorted.
		bound := (1 - s.TopP) * total / float64(len(kept))
		kept = slices.DeleteFunc(kept, func(c scored) bool { return c.weight < bound })
	}
	if limitK || limitP {
		slices.SortFunc(kept, func(a, b scored) int {
			return cmp.Or(cmp.Compare(b.weight, a.weight), cmp.Compare(a.id, b.id))
		})
	}
	if limitK {
		kept = kept[:s.TopK]
		total = weightOf(kept)
	}
	if limitP {
		kept = kept[:nucleus(kept, s.TopP*total)]
	}
	at := s.random.Float64() * weightOf(kept)
	for _, c := range kept {
		if at -= c.weight; at < 0 {
			return c.id
		}
	}
	return kept[len(kept)-1].id // rounding left a rest
}

// nucleus is how many of the candidates, heaviest first, reach the weight together; at least one.
func nucleus(sorted []scored, weight float64) int {
	for i, c := range sorted {
		if weight -= c.weight; weight <= 0 {
			return i + 1
		}
	}
	return len(sorted)
}

func weightOf(candidates []scored) float64 {
	var sum float64
	for _, c := range candidates {
		sum += c.weight
	}
	return sum
}
