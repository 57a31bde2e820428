package benchmark

import (
	"math"

	"gonum.org/v1/gonum/stat/distuv"

	"teller/evaluation"
)

// differenceInterval is the 95% interval of a - b for proportions of different cases, from the interval of each (R. G. Newcombe,
// "Interval estimation for the difference between independent proportions", 1998, method 10).
func differenceInterval(a, b float64, ofA, ofB evaluation.Interval) evaluation.Interval {
	d := a - b
	return evaluation.Interval{
		Low:  d - math.Hypot(a-ofA.Low, ofB.High-b),
		High: d + math.Hypot(ofA.High-a, b-ofB.Low),
	}
}

// twoProportions is the two-sided p-value of the pooled z-test that two proportions of different cases are equal. n need not be
// whole: it is the effective number of cases.
func twoProportions(a, nA, b, nB float64) float64 {
	pooled := (a*nA + b*nB) / (nA + nB)
	variance := pooled * (1 - pooled) * (1/nA + 1/nB)
	if variance == 0 {
		return 1
	}
	return math.Min(1, 2*distuv.UnitNormal.Survival(math.Abs(a-b)/math.Sqrt(variance)))
}
