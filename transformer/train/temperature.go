package train

import (
	"math"

	"teller/transformer"
)

// prediction is the log-probabilities that a model gave a set of labels, and the place of the right one.
type prediction struct {
	logProbs []float64
	right    int
}

// fitTemperature gives the temperature under which the right labels are likeliest (Guo et al. 2017, section 4.2). The loss has one
// minimum in 1/T, which golden-section search finds. 1 when there is nothing to fit.
func fitTemperature(of []prediction) float64 {
	if len(of) == 0 {
		return 1
	}
	loss := func(inverse float64) float64 {
		var sum float64
		for _, p := range of {
			top := math.Inf(-1)
			for _, l := range p.logProbs {
				top = math.Max(top, l*inverse)
			}
			var norm float64
			for _, l := range p.logProbs {
				norm += math.Exp(l*inverse - top)
			}
			sum += top + math.Log(norm) - p.logProbs[p.right]*inverse
		}
		return sum
	}
	low, high := 0.05, 20.0
	golden := (math.Sqrt(5) - 1) / 2
	for high-low > 1e-4 {
		a, b := high-golden*(high-low), low+golden*(high-low)
		if loss(a) < loss(b) {
			high = b
		} else {
			low = a
		}
	}
	return 2 / (low + high)
}

// top gives the calibrated probability of the likeliest label and whether it is the right one.
func (p prediction) top(temperature float64) (confidence float64, right bool) {
	scaled := make([]float64, len(p.logProbs))
	for i, l := range p.logProbs {
		scaled[i] = l / temperature
	}
	best := 0
	probabilities := transformer.Softmax(scaled)
	for i, v := range probabilities {
		if v > probabilities[best] {
			best = i
		}
	}
	return math.Min(1, probabilities[best]), best == p.right
}

// crossFitted gives confidences and outcomes that no temperature was fitted on: each half of the predictions gets that of the other half.
// With a fit on all of them, an error measured on the same ones would look smaller than it is.
func crossFitted(of []prediction) (confidence []float64, right []bool) {
	var halves [2][]prediction
	for i, p := range of {
		halves[i%2] = append(halves[i%2], p)
	}
	temperatures := [2]float64{fitTemperature(halves[1]), fitTemperature(halves[0])}
	for i, p := range of {
		c, r := p.top(temperatures[i%2])
		confidence, right = append(confidence, c), append(right, r)
	}
	return confidence, right
}
