package evaluation

import (
	"fmt"
	"math"
)

// Bin is the predictions whose confidence lies in [Low, High); the last bin has its upper end too.
type Bin struct {
	Low        float64 `json:"low"`
	High       float64 `json:"high"`
	N          int     `json:"n"`
	Confidence float64 `json:"confidence"` // their mean confidence; 0 in an empty bin
	Accuracy   float64 `json:"accuracy"`   // how many of them were right; 0 in an empty bin
}

// ReliabilityBins is how many bins of equal width every report uses.
const ReliabilityBins = 15

// Reliability sorts predictions into bins of equal width by their confidence, which is in [0, 1]: the points of a
// reliability diagram (A. Niculescu-Mizil, R. Caruana, "Predicting good probabilities with supervised
// learning", 2005). It panics when the two lists differ in length, on a confidence outside [0, 1] and on bins
// below 1.
func Reliability(confidence []float64, right []bool, bins int) []Bin {
	requireOutcomes(confidence, right)
	if bins < 1 {
		panic(fmt.Sprintf("evaluation: Reliability in %d bins", bins))
	}
	out := make([]Bin, bins)
	for i := range out {
		out[i].Low, out[i].High = float64(i)/float64(bins), float64(i+1)/float64(bins)
	}
	for i, c := range confidence {
		b := &out[min(int(c*float64(bins)), bins-1)]
		b.N++
		b.Confidence += c
		if right[i] {
			b.Accuracy++
		}
	}
	for i := range out {
		if n := float64(out[i].N); n > 0 {
			out[i].Confidence /= n
			out[i].Accuracy /= n
		}
	}
	return out
}

// ExpectedCalibrationError is the mean distance between confidence and accuracy over the bins, weighted by their
// size: Σ N_b/N |accuracy_b - confidence_b| (C. Guo et al., "On calibration of modern neural networks",
// 2017, equation 3). It is 0 without predictions.
func ExpectedCalibrationError(bins []Bin) float64 {
	total, sum := 0, 0.0
	for _, b := range bins {
		total += b.N
		sum += float64(b.N) * math.Abs(b.Accuracy-b.Confidence)
	}
	return sum / float64(max(total, 1))
}

// Brier is the mean squared distance between a confidence and what became of it, 1 for right and 0 for wrong
// (G. W. Brier, "Verification of forecasts expressed in terms of probability", 1950, in the usual form
// for two outcomes). 0 is best; always saying 0.5 gives 0.25. It is 0 without predictions, and panics as
// Reliability does.
func Brier(confidence []float64, right []bool) float64 {
	requireOutcomes(confidence, right)
	sum := 0.0
	for i, c := range confidence {
		if right[i] {
			c = 1 - c
		}
		sum += c * c
	}
	return sum / float64(max(len(confidence), 1))
}

func requireOutcomes(confidence []float64, right []bool) {
	if len(confidence) != len(right) {
		panic(fmt.Sprintf("evaluation: %d confidences of %d predictions", len(confidence), len(right)))
	}
	for _, c := range confidence {
		if !(c >= 0 && c <= 1) {
			panic(fmt.Sprintf("evaluation: the confidence %v is outside [0, 1]", c))
		}
	}
}
