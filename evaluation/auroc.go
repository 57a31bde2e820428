package evaluation

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/integrate"
	"gonum.org/v1/gonum/stat"
)

// AUROC is the area under the receiver operating characteristic of scores: the probability that a positive drawn
// at random scores above a negative drawn at random, ties counting half (J. A. Hanley, B. J. McNeil, "The
// meaning and use of the area under a receiver operating characteristic curve", 1982). 0.5 is a coin, 1 tells
// all apart. It is NaN when one of the kinds is missing. It panics when the lists differ in length and on a
// score that is NaN.
func AUROC(scores []float64, positive []bool) float64 {
	if len(scores) != len(positive) {
		panic(fmt.Sprintf("evaluation: %d scores of %d rows", len(scores), len(positive)))
	}
	positives := 0
	for i, s := range scores {
		if math.IsNaN(s) {
			panic("evaluation: a score is NaN")
		}
		if positive[i] {
			positives++
		}
	}
	if positives == 0 || positives == len(scores) {
		return math.NaN()
	}
	// Copies: gonum sorts in place.
	y, classes := append([]float64(nil), scores...), append([]bool(nil), positive...)
	stat.SortWeightedLabeled(y, classes, nil)
	tpr, fpr, _ := stat.ROC(nil, y, classes, nil)
	return integrate.Trapezoidal(fpr, tpr)
}
