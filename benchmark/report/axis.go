package report

import (
	"math"
	"time"
)

// axis maps values to pixels.
type axis struct {
	low, high   float64 // values, of log10 where log is set
	start, end  float64 // pixels
	log         bool
	ticks       []float64
	label       func(float64) string
	description string
}

func (a axis) at(v float64) float64 {
	if a.log {
		v = math.Log10(math.Max(v, 1e-9))
	}
	return a.start + (a.end-a.start)*(v-a.low)/(a.high-a.low)
}

// shareAxis shows shares from near the lowest value to 1, in steps that people count in.
func shareAxis(lowest, start, end float64, description string) axis {
	low := math.Max(0, math.Floor(10*(lowest-0.02))/10)
	step := 0.1
	if low < 0.5 {
		step = 0.2
		low = math.Floor(low/step+1e-9) * step
	}
	a := axis{low: low, high: 1, start: start, end: end, description: description, label: func(v float64) string { return percent(&v)[:len(percent(&v))-3] + "%" }}
	for i := 0; low+float64(i)*step <= 1+1e-9; i++ {
		a.ticks = append(a.ticks, low+float64(i)*step)
	}
	return a
}

// valueAxis shows values from 0 on, or on a logarithmic scale where they span more than a factor of 20.
func valueAxis(low, high, start, end float64, description string) axis {
	a := axis{start: start, end: end, description: description, label: threeDigits}
	if low > 0 && high/low > 20 {
		a.log = true
		a.low, a.high = math.Log10(low)-0.05, math.Log10(high)+0.05
		for _, factors := range [][]float64{{1, 2, 5}, {1, 3}, {1}} {
			a.ticks = nil
			for e := math.Floor(a.low); e <= a.high; e++ {
				for _, f := range factors {
					if v := f * math.Pow(10, e); math.Log10(v) >= a.low && math.Log10(v) <= a.high {
						a.ticks = append(a.ticks, v)
					}
				}
			}
			if len(a.ticks) <= 7 {
				break
			}
		}
		return a
	}
	if high <= 0 {
		high = 1
	}
	step := niceStep(high / 5)
	a.high = math.Ceil(high/step-1e-9) * step
	for i := 0; float64(i)*step <= a.high+step/2; i++ {
		a.ticks = append(a.ticks, float64(i)*step)
	}
	return a
}

// niceStep is 1, 2 or 5 times a power of ten, not below v.
func niceStep(v float64) float64 {
	power := math.Pow(10, math.Floor(math.Log10(v)))
	for _, f := range []float64{1, 2, 5} {
		if v <= f*power*(1+1e-9) {
			return f * power
		}
	}
	return 10 * power
}

// runAxis shows runs side by side, oldest first; times label as many of them as there is room for.
func runAxis(times []time.Time, start, end float64) axis {
	a := axis{low: -0.5, high: float64(len(times)) - 0.5, start: start, end: end, description: "runs of this suite"}
	every := (len(times) + 5) / 6
	for i := 0; i < len(times); i += every {
		a.ticks = append(a.ticks, float64(i))
	}
	layout := "Jan 2"
	if first, last := times[0].UTC(), times[len(times)-1].UTC(); first.Format(time.DateOnly) == last.Format(time.DateOnly) {
		layout = "15:04"
	}
	a.label = func(v float64) string { return times[int(v)].UTC().Format(layout) }
	return a
}
