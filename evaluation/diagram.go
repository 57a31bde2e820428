package evaluation

import (
	"fmt"
	"html"
	"strings"
)

// ReliabilitySVG draws bins as a reliability diagram: accuracy by confidence, the diagonal of perfect calibration,
// and below how many predictions stand in each bin. title is text, not markup.
func ReliabilitySVG(title string, bins []Bin) []byte {
	const (
		width, height      = 480.0, 560.0
		left, side         = 60.0, 390.0 // of the square that holds the curve
		top, below, counts = 50.0, 20.0, 60.0
		foot               = top + side + below + counts
	)
	x := func(confidence float64) float64 { return left + side*confidence }
	y := func(accuracy float64) float64 { return top + side*(1-accuracy) }
	total, most := 0, 1
	for _, b := range bins {
		total, most = total+b.N, max(most, b.N)
	}
	var s strings.Builder
	fmt.Fprintf(&s, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="sans-serif" font-size="12">`+"\n", width, height)
	fmt.Fprintf(&s, `<rect width="%g" height="%g" fill="white"/>`+"\n", width, height)
	fmt.Fprintf(&s, `<text x="%g" y="20" font-size="14">%s</text>`+"\n", left, html.EscapeString(title))
	fmt.Fprintf(&s, `<text x="%g" y="38" fill="#555">expected calibration error %.4f, %d predictions</text>`+"\n", left, ExpectedCalibrationError(bins), total)
	for i := range 6 {
		v := float64(i) / 5
		fmt.Fprintf(&s, `<path d="M%g %.1fH%g" stroke="#ddd"/><text x="%g" y="%.1f" text-anchor="end">%.1f</text>`+"\n", left, y(v), left+side, left-6, y(v)+4, v)
		fmt.Fprintf(&s, `<text x="%.1f" y="%g" text-anchor="middle">%.1f</text>`+"\n", x(v), foot+16, v)
	}
	for _, b := range bins {
		if b.N == 0 {
			continue
		}
		tall := counts * float64(b.N) / float64(most)
		fmt.Fprintf(&s, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="#bbb"><title>%d predictions</title></rect>`+"\n",
			x(b.Low)+1, foot-tall, side*(b.High-b.Low)-2, tall, b.N)
		fmt.Fprintf(&s, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="#1565c0" fill-opacity="0.35"/>`+"\n",
			x(b.Low)+1, y(b.Accuracy), side*(b.High-b.Low)-2, side*b.Accuracy)
		fmt.Fprintf(&s, `<circle cx="%.1f" cy="%.1f" r="3.5" fill="#1565c0"><title>confidence %.3f, accuracy %.3f, %d predictions</title></circle>`+"\n",
			x(b.Confidence), y(b.Accuracy), b.Confidence, b.Accuracy, b.N)
	}
	fmt.Fprintf(&s, `<path d="M%g %gL%g %g" stroke="#c62828" stroke-dasharray="5 4"/>`+"\n", x(0), y(0), x(1), y(1))
	fmt.Fprintf(&s, `<text x="%g" y="%g" text-anchor="middle">confidence</text>`+"\n", left+side/2, foot+32)
	fmt.Fprintf(&s, `<text transform="translate(16 %g) rotate(-90)" text-anchor="middle">accuracy</text>`+"\n", top+side/2)
	fmt.Fprintf(&s, `<text transform="translate(16 %g) rotate(-90)" text-anchor="middle">count</text>`+"\n", foot-counts/2)
	s.WriteString("</svg>\n")
	return []byte(s.String())
}
