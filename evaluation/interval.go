package evaluation

import (
	"encoding/json"
	"fmt"
	"math"

	"gonum.org/v1/gonum/stat/distuv"
)

// Interval is a confidence interval of a proportion, in [0, 1]. As JSON it is [low, high].
type Interval struct{ Low, High float64 }

// MarshalJSON gives [low, high].
func (i Interval) MarshalJSON() ([]byte, error) { return json.Marshal([2]float64{i.Low, i.High}) }

// UnmarshalJSON reads [low, high].
func (i *Interval) UnmarshalJSON(data []byte) error {
	var ends []float64
	if err := json.Unmarshal(data, &ends); err != nil {
		return err
	}
	if len(ends) != 2 {
		return fmt.Errorf("an interval is two numbers, not %d", len(ends))
	}
	i.Low, i.High = ends[0], ends[1]
	return nil
}

// Wilson gives the two-sided score interval of a proportion of which successes of n trials were seen, at
// level, such as 0.95:
//
//	(p + z²/2n ± z √(p(1-p)/n + z²/4n²)) / (1 + z²/n)
//
// (E. B. Wilson, "Probable inference, the law of succession, and statistical inference", 1927). Unlike the
// textbook interval it holds for small n and at 0 and 1. Without trials it is [0, 1]. It panics on counts that are
// none and on a level outside (0, 1).
func Wilson(successes, n int, level float64) Interval {
	if successes < 0 || n < successes || !(level > 0 && level < 1) {
		panic(fmt.Sprintf("evaluation: Wilson(%d, %d, %v)", successes, n, level))
	}
	if n == 0 {
		return Interval{0, 1}
	}
	z := distuv.UnitNormal.Quantile(1 - (1-level)/2)
	trials, p := float64(n), float64(successes)/float64(n)
	centre := p + z*z/(2*trials)
	half := z * math.Sqrt(p*(1-p)/trials+z*z/(4*trials*trials))
	scale := 1 + z*z/trials
	// At the ends the two terms are equal and opposite but for rounding.
	return Interval{max((centre-half)/scale, 0), min((centre+half)/scale, 1)}
}

// Wilson95 is the interval that every report shows.
func Wilson95(successes, n int) Interval { return Wilson(successes, n, 0.95) }
