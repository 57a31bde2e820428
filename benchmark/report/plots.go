package report

import (
	"fmt"
	"html/template"
	"math"
	"time"

	"teller/benchmark"
	"teller/evaluation"
)

// colours is how many classes of colour the style has; further models begin again.
const colours = 6

// point is a model in a plot of accuracy against something.
type point struct {
	name     string
	class    int
	accuracy benchmark.Proportion
	x, to    float64 // to is the end of a line to the right; equal to x for none
	says     string
}

// accuracyAgainst draws accuracy with its interval against a quantity of each model.
func accuracyAgainst(title, description string, points []point) template.HTML {
	lowest, least, most := 1.0, math.Inf(1), 0.0
	for _, q := range points {
		lowest, least, most = math.Min(lowest, q.accuracy.Clustered.Low), math.Min(least, q.x), math.Max(most, q.to)
	}
	p := newPlot(title, plotWidth, plotHeight)
	x := valueAxis(least, most, plotLeft, plotWidth-plotRight, description)
	y := shareAxis(lowest, plotHeight-plotBottom, plotTop, "accuracy")
	p.axes(x, y)
	var tags []tag
	for _, q := range points {
		cx, cy := x.at(q.x), y.at(*q.accuracy.Value)
		low, high := y.at(q.accuracy.Clustered.Low), y.at(q.accuracy.Clustered.High)
		p.f(`<g class="c%d"><title>%s</title><path class="bar" d="M%v %vV%vM%v %vH%vM%v %vH%v"/>`, q.class, q.says, cx, low, high, cx-4, low, cx+4, cx-4, high, cx+4)
		if q.to > q.x {
			p.f(`<path class="reach" d="M%v %vH%v"/>`, cx, cy, x.at(q.to))
		}
		p.f(`<circle class="dot" cx="%v" cy="%v" r="5"/></g>`, cx, cy)
		tags = append(tags, tag{x: cx, y: cy, text: q.name, class: q.class})
	}
	p.tags(tags, x.end)
	return p.end()
}

func latencyPlot(run benchmark.Run, class map[string]int) template.HTML {
	var points []point
	for _, name := range modelNames(run) {
		m := run.Models[name]
		if d := m.Latency.EndToEnd; m.Accuracy.Value != nil && d.N > 0 {
			points = append(points, point{name: name, class: class[name], accuracy: m.Accuracy, x: d.P50, to: d.P90,
				says: fmt.Sprintf("%s: accuracy %s (%s), p50 %s ms, p90 %s ms", name, percent(m.Accuracy.Value), percents(m.Accuracy.Clustered), threeDigits(d.P50), threeDigits(d.P90))})
		}
	}
	if len(points) == 0 {
		return ""
	}
	return accuracyAgainst("Accuracy against latency", "end-to-end latency in ms: p50 (dot) to p90 (line)", points)
}

func costPlot(run benchmark.Run, class map[string]int) template.HTML {
	var points []point
	for _, name := range modelNames(run) {
		m := run.Models[name]
		if c := m.Cost.PerThousandUSD; m.Accuracy.Value != nil && c != nil {
			points = append(points, point{name: name, class: class[name], accuracy: m.Accuracy, x: *c, to: *c,
				says: fmt.Sprintf("%s: accuracy %s (%s), %s for 1,000 turns", name, percent(m.Accuracy.Value), percents(m.Accuracy.Clustered), usd(c))})
		}
	}
	if len(points) == 0 {
		return ""
	}
	return accuracyAgainst("Accuracy against cost", "US dollars for 1,000 turns", points)
}

// distributionPlot draws which share of the replies took at most how long.
func distributionPlot(title string, run benchmark.Run, class map[string]int, of func(benchmark.Latency) benchmark.Distribution) template.HTML {
	least, most := math.Inf(1), 0.0
	var names []string
	for _, name := range modelNames(run) {
		if d := of(run.Models[name].Latency); d.N > 0 && len(d.Curve) > 1 {
			names = append(names, name)
			least, most = math.Min(least, d.Curve[1]), math.Max(most, d.Max) // the least time of all would stretch the scale
		}
	}
	if len(names) == 0 {
		return ""
	}
	p := newPlot(title, plotWidth, plotHeight)
	x := valueAxis(least, most, plotLeft, plotWidth-plotRight, "milliseconds")
	y := shareAxis(0, plotHeight-plotBottom, plotTop, "share of replies")
	p.axes(x, y)
	for i, name := range names {
		d := of(run.Models[name].Latency)
		p.f(`<g class="c%d"><title>%s</title><path class="curve" d="`, class[name], fmt.Sprintf("%s: p50 %s ms, p90 %s ms, p99 %s ms", name, threeDigits(d.P50), threeDigits(d.P90), threeDigits(d.P99)))
		for j, v := range d.Curve {
			v, share := math.Max(v, least), float64(j)/float64(len(d.Curve)-1)
			if j == 0 {
				p.f("M%v %v", x.at(v), y.at(share))
			} else {
				p.f("H%vV%v", x.at(v), y.at(share)) // a step, as the share is that of times up to v
			}
		}
		p.f(`"/><circle class="dot" cx="%v" cy="%v" r="3.5"/></g>`, x.at(d.P50), y.at(0.5))
		p.f(`<text class="tag c%d" x="%v" y="%v" text-anchor="end">%s</text>`, class[name], x.end-6, y.start-10-15*float64(len(names)-1-i), short(name))
	}
	return p.end()
}

// categoryPlot draws accuracy with its interval for each category and model, one line each.
func categoryPlot(run benchmark.Run, class map[string]int) template.HTML {
	categories, names := categoryNames(run), modelNames(run)
	if len(categories) == 0 {
		return ""
	}
	const line, gap, left = 16.0, 12.0, 118.0
	rows, lowest := 0, 1.0
	for _, c := range categories {
		for _, name := range names {
			if q, ok := run.Models[name].Categories[c]; ok {
				rows++
				lowest = math.Min(lowest, q.Clustered.Low)
			}
		}
	}
	height := plotTop + line*float64(rows) + gap*float64(len(categories)) + plotBottom
	p := newPlot("Accuracy by category", plotWidth, height)
	x := shareAxis(lowest, left, plotWidth-plotRight, "accuracy with 95% interval")
	y := axis{start: height - plotBottom, end: plotTop}
	p.axes(x, y)
	top := plotTop
	for _, c := range categories {
		first := top + line
		for _, name := range names {
			q, ok := run.Models[name].Categories[c]
			if !ok {
				continue
			}
			top += line
			cy := top - 2
			p.f(`<g class="c%d"><title>%s</title><path class="bar" d="M%v %vH%v"/><circle class="dot" cx="%v" cy="%v" r="4"/></g>`, class[name],
				fmt.Sprintf("%s, %s: %s (%s) of %d cases", c, name, percent(q.Value), percents(q.Clustered), q.N), x.at(q.Clustered.Low), cy, x.at(q.Clustered.High), x.at(*q.Value), cy)
		}
		p.f(`<text x="%v" y="%v" text-anchor="end">%s</text>`, left-10, (first+top)/2+2, cut(c, 14))
		top += gap
		if c != categories[len(categories)-1] {
			p.f(`<path class="grid" d="M%v %vH%v"/>`, 8.0, top-gap/2+2, x.end)
		}
	}
	return p.end()
}

func cut(text string, most int) string {
	if runes := []rune(text); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return text
}

// historyPlot draws each model's accuracy with its interval over the runs of the suite.
func historyPlot(runs []benchmark.Run, names []string, class map[string]int) template.HTML {
	if len(runs) < 2 {
		return ""
	}
	times, lowest := make([]time.Time, len(runs)), 1.0
	for i, r := range runs {
		times[i] = at(r)
		for _, name := range names {
			if m, ok := r.Models[name]; ok && m.Accuracy.Value != nil {
				lowest = math.Min(lowest, m.Accuracy.Clustered.Low)
			}
		}
	}
	p := newPlot("Accuracy over runs", 2*plotWidth, plotHeight)
	x := runAxis(times, plotLeft, p.width-plotRight-90)
	y := shareAxis(lowest, plotHeight-plotBottom, plotTop, "accuracy")
	p.axes(x, y)
	var tags []tag
	for k, name := range names {
		aside := (float64(k) - float64(len(names)-1)/2) * math.Min(6, (x.at(1)-x.at(0))/float64(2*len(names)))
		var line []string
		for i, r := range runs {
			m, ok := r.Models[name]
			if !ok || m.Accuracy.Value == nil {
				continue
			}
			cx, cy := x.at(float64(i))+aside, y.at(*m.Accuracy.Value)
			p.f(`<g class="c%d"><title>%s</title><path class="faint" d="M%v %vV%v"/><circle class="dot" cx="%v" cy="%v" r="3.5"/></g>`, class[name],
				fmt.Sprintf("%s, %s: %s (%s)", name, moment(at(r)), percent(m.Accuracy.Value), percents(m.Accuracy.Clustered)),
				cx, y.at(m.Accuracy.Clustered.Low), y.at(m.Accuracy.Clustered.High), cx, cy)
			line = append(line, fmt.Sprintf("%.1f %.1f", cx, cy))
			if i == len(runs)-1 {
				tags = append(tags, tag{x: x.end - 4, y: cy + 10, text: name, class: class[name]})
			}
		}
		p.f(`<path class="curve c%d" d="`, class[name])
		for i, at := range line {
			p.f([]string{"L%s", "M%s"}[b2i(i == 0)], at)
		}
		p.f(`"/>`)
	}
	p.tags(tags, p.width)
	return p.end()
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

// reliabilityPlots are one diagram for each model that has confidences.
func reliabilityPlots(run benchmark.Run) []template.HTML {
	var out []template.HTML
	for _, name := range modelNames(run) {
		if c := run.Models[name].Calibration; c != nil {
			out = append(out, template.HTML(evaluation.ReliabilitySVG(short(name), c.Bins))) //nolint:gosec // it escapes the title
		}
	}
	return out
}
