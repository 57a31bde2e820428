package report

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"slices"
	"strings"
)

// Sizes of a plot in pixels, before the page scales it.
const (
	plotWidth, plotHeight                    = 480.0, 340.0
	plotLeft, plotRight, plotTop, plotBottom = 60.0, 16.0, 16.0, 52.0
)

// plot is an SVG under construction. Its colours are classes, which the page's style sets for light and dark.
type plot struct {
	strings.Builder
	width, height float64
}

// newPlot begins a plot. title is read out in place of the picture.
func newPlot(title string, width, height float64) *plot {
	p := &plot{width: width, height: height}
	p.f(`<svg class="plot" viewBox="0 0 %g %g" role="img" aria-label="%s">`, width, height, title)
	return p
}

// f writes markup; texts among the arguments are escaped.
func (p *plot) f(format string, args ...any) {
	for i, a := range args {
		switch a := a.(type) {
		case string:
			args[i] = html.EscapeString(a)
		case float64:
			args[i] = math.Round(a*10) / 10
		}
	}
	fmt.Fprintf(p, format, args...)
}

func (p *plot) end() template.HTML {
	p.WriteString("</svg>")
	return template.HTML(p.String()) //nolint:gosec // f escapes every text
}

// axes draws grid, ticks and descriptions.
func (p *plot) axes(x, y axis) {
	for _, v := range y.ticks {
		p.f(`<path class="grid" d="M%v %vH%v"/><text x="%v" y="%v" text-anchor="end">%s</text>`, x.start, y.at(v), x.end, x.start-6, y.at(v)+4, y.label(v))
	}
	for _, v := range x.ticks {
		p.f(`<path class="grid" d="M%v %vV%v"/><text x="%v" y="%v" text-anchor="middle">%s</text>`, x.at(v), y.start, y.end, x.at(v), y.start+17, x.label(v))
	}
	p.f(`<path class="line" d="M%v %vV%vH%v"/>`, x.start, y.end, y.start, x.end)
	p.f(`<text class="says" x="%v" y="%v" text-anchor="middle">%s</text>`, (x.start+x.end)/2, p.height-8, x.description)
	p.f(`<text class="says" transform="translate(13 %v) rotate(-90)" text-anchor="middle">%s</text>`, (y.start+y.end)/2, y.description)
}

// tag is a name beside a point.
type tag struct {
	x, y  float64
	text  string
	class int
}

// tags writes names beside their points: to the left near the right edge, apart from one another.
func (p *plot) tags(list []tag, right float64) {
	const apart = 15
	slices.SortStableFunc(list, func(a, b tag) int {
		if a.y < b.y {
			return -1
		}
		return 1
	})
	last := math.Inf(-1)
	for _, t := range list {
		y := math.Max(t.y, last+apart)
		last = y
		anchor, x := "start", t.x+9
		wide := 9 + 7*float64(len([]rune(short(t.text)))) // about
		if t.x+wide > right && t.x-wide > 0 {
			anchor, x = "end", t.x-9
		}
		p.f(`<text class="tag c%d" x="%v" y="%v" text-anchor="%s">%s</text>`, t.class, x, y-6, anchor, short(t.text))
	}
}

// short cuts a name that would leave the plot.
func short(name string) string {
	if runes := []rune(name); len(runes) > 24 {
		return string(runes[:23]) + "…"
	}
	return name
}
