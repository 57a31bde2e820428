package train

import (
	"fmt"
	"math"
	"strings"
)

// Curve is how the losses of a run went, in nats a token by step.
type Curve struct {
	Train, Validation []Point
}

// Point is one measurement.
type Point struct {
	Step int
	Loss float64
}

type series int

const (
	trainLoss series = iota
	validationLoss
)

func (c *Curve) add(s series, step int, loss float64) {
	if s == trainLoss {
		c.Train = append(c.Train, Point{step, loss})
	} else {
		c.Validation = append(c.Validation, Point{step, loss})
	}
}

// last is the newest measurement, NaN before the first.
func (c *Curve) last(s series) float64 {
	points := c.Train
	if s == validationLoss {
		points = c.Validation
	}
	if len(points) == 0 {
		return math.NaN()
	}
	return points[len(points)-1].Loss
}

// SVG draws the curve with logarithmic losses: the training loss, averaged over about a hundredth of the run, in grey, the validation
// loss in blue.
func (c *Curve) SVG() []byte {
	const width, height, left, right, top, bottom = 720.0, 400.0, 60.0, 20.0, 40.0, 45.0
	train := smoothed(c.Train, max(1, len(c.Train)/100))
	steps, low, high := 1, math.Inf(1), math.Inf(-1)
	for _, p := range append(append([]Point{}, train...), c.Validation...) {
		loss := max(p.Loss, 1e-3)
		steps, low, high = max(steps, p.Step), min(low, loss), max(high, loss)
	}
	if math.IsInf(low, 0) {
		low, high = 0.1, 1
	}
	low, high = math.Log(low*0.9), math.Log(high*1.1)
	x := func(step int) float64 { return left + (width-left-right)*float64(step)/float64(steps) }
	y := func(loss float64) float64 {
		return top + (height-top-bottom)*(high-math.Log(max(loss, 1e-3)))/(high-low)
	}
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%g" height="%g" fill="white"/>`+"\n", width, height)
	for _, tick := range []float64{0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10} {
		if l := math.Log(tick); l >= low && l <= high {
			fmt.Fprintf(&b, `<path d="M%g %.1fH%g" stroke="#ddd"/><text x="%g" y="%.1f" text-anchor="end">%g</text>`+"\n", left, y(tick), width-right, left-6, y(tick)+4, tick)
		}
	}
	for i := range 5 {
		step := steps * i / 4
		fmt.Fprintf(&b, `<text x="%.1f" y="%g" text-anchor="middle">%d</text>`+"\n", x(step), height-bottom+18, step)
	}
	fmt.Fprintf(&b, `<text x="%g" y="%g" text-anchor="middle">step</text>`+"\n", left+(width-left-right)/2, height-8)
	for i, line := range []struct {
		name, colour string
		points       []Point
	}{{"training loss", "#888", train}, {"validation loss", "#1565c0", c.Validation}} {
		if len(line.points) == 0 {
			continue
		}
		fmt.Fprintf(&b, `<polyline fill="none" stroke="%s" stroke-width="1.5" points="`, line.colour)
		for _, p := range line.points {
			fmt.Fprintf(&b, "%.1f,%.1f ", x(p.Step), y(p.Loss))
		}
		fmt.Fprintf(&b, `"/><text x="%g" y="22" fill="%s">%s, nats a token: %.3f</text>`+"\n", left+float64(i)*260, line.colour, line.name, line.points[len(line.points)-1].Loss)
	}
	b.WriteString("</svg>\n")
	return []byte(b.String())
}

// smoothed gives the means of groups of n points.
func smoothed(points []Point, n int) []Point {
	var out []Point
	for from := 0; from < len(points); from += n {
		group := points[from:min(from+n, len(points))]
		var sum float64
		for _, p := range group {
			sum += p.Loss
		}
		out = append(out, Point{group[len(group)-1].Step, sum / float64(len(group))})
	}
	return out
}
