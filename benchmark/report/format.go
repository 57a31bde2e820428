package report

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"teller/benchmark"
	"teller/evaluation"
)

// none stands where nothing was measured.
const none = "–"

func at(run benchmark.Run) time.Time {
	if run.Ended.IsZero() {
		return run.Started.UTC()
	}
	return run.Ended.UTC()
}

func moment(t time.Time) string {
	if t.IsZero() {
		return none
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

func percent(v *float64) string {
	if v == nil {
		return none
	}
	return strconv.FormatFloat(100**v, 'f', 1, 64) + "%"
}

func percents(i evaluation.Interval) string {
	return fmt.Sprintf("%.1f–%.1f%%", 100*i.Low, 100*i.High)
}

func signedPoints(d float64) string { return fmt.Sprintf("%+.1f", 100*d) }

func pointsBetween(i evaluation.Interval) string {
	return fmt.Sprintf("%+.1f to %+.1f", 100*i.Low, 100*i.High)
}

// millis writes milliseconds of a distribution that may be empty, to three digits.
func millis(v float64, n int) string {
	if n == 0 {
		return none
	}
	return threeDigits(v)
}

func threeDigits(v float64) string {
	switch a := math.Abs(v); {
	case a == 0:
		return "0"
	case a >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case a >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
}

func usd(v *float64) string {
	if v == nil {
		return none
	}
	return "$" + threeDigits(*v)
}

func pValue(p float64) string {
	if p < 0.001 {
		return "< 0.001"
	}
	return strconv.FormatFloat(p, 'f', 3, 64)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// outcome is what became of a case, in one word.
func outcome(row benchmark.CaseResult) string {
	switch {
	case row.Failed():
		return "failed"
	case row.Pass:
		return "right"
	default:
		return "wrong"
	}
}
