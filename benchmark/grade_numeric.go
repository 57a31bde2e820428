package benchmark

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// maxOwnNumbers is how many different numbers a reply may bring up that its question does not hold. One that lists more may
// hold the right one by chance.
const maxOwnNumbers = 8

// written finds numbers: 1,234.50, 1.234,50, 0.5, -45, -£45 and £-45. A hyphen is a sign only at the start of a word, where it is
// neither a range's, nor a date's, nor a bullet.
var written = regexp.MustCompile(`(?:(?:^|[\s(=:*])[-−–])?(?:[£€$][-−]?)?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d{1,3}(?:\.\d{3})+,\d+|\d+(?:\.\d+)?)`)

// gradeNumeric asks for the number within the tolerance among those that the reply brings up itself: numbers of the question don't
// count, unless the right one is among them.
func gradeNumeric(a *Assertion, c Case, reply Reply) (bool, float64, string) {
	near := func(v float64) bool { return math.Abs(v-a.Value) <= a.Tolerance+1e-9*math.Max(1, math.Abs(a.Value)) }
	given := append(numbers(c.Context), numbers(c.Message)...)
	if slices.ContainsFunc(given, near) {
		given = nil
	}
	text := plain(reply.Text)
	own := ownNumbers(numbers(text), given)
	if len(own) == 0 || !slices.ContainsFunc(own, near) {
		if words := numberWords(text); slices.ContainsFunc(words, near) {
			own = append(own, ownNumbers(words, given)...)
		}
	}
	switch {
	case !slices.ContainsFunc(own, near):
		return false, 0, fmt.Sprintf("the reply's numbers are %s, not %v", listed(own), a.Value)
	case len(own) > maxOwnNumbers:
		return false, 0, fmt.Sprintf("the reply brings up %d numbers; %v is among them", len(own), a.Value)
	default:
		return true, 1, fmt.Sprintf("the reply says %v", a.Value)
	}
}

// ownNumbers are the different ones of said that are not among given.
func ownNumbers(said, given []float64) []float64 {
	var own []float64
	for _, v := range said {
		if !slices.Contains(given, v) && !slices.Contains(own, v) {
			own = append(own, v)
		}
	}
	return own
}

// numbers are those that a text holds in digits.
func numbers(text string) []float64 {
	var out []float64
	for _, found := range written.FindAllString(text, -1) {
		sign := 1.0
		if strings.ContainsAny(found, "-−–") {
			sign = -1
		}
		digits := strings.TrimLeft(found, "-−–£€$ \t\r\n(=:*")
		if comma, dot := strings.LastIndex(digits, ","), strings.LastIndex(digits, "."); comma > dot && dot >= 0 {
			digits = strings.NewReplacer(".", "", ",", ".").Replace(digits) // 1.234,50
		}
		if v, err := strconv.ParseFloat(strings.ReplaceAll(digits, ",", ""), 64); err == nil {
			out = append(out, sign*v)
		}
	}
	return out
}

var (
	units = strings.Fields("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen")
	tens  = strings.Fields("_ _ twenty thirty forty fifty sixty seventy eighty ninety")
)

// numberWords are the numbers from 0 to 99 that a text spells out.
func numberWords(text string) []float64 {
	var out []float64
	open := 0 // a word of tens just before
	for _, word := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return r < 'a' || r > 'z' }) {
		if i := slices.Index(tens, word); i >= 2 {
			out = append(out, float64(10*i))
			open = 10 * i
			continue
		}
		if i := slices.Index(units, word); i >= 0 {
			if open > 0 && i > 0 && i < 10 {
				out[len(out)-1] = float64(open + i)
			} else {
				out = append(out, float64(i))
			}
		}
		open = 0
	}
	return out
}

func listed(values []float64) string {
	if len(values) == 0 {
		return "none"
	}
	var parts []string
	for _, v := range values[:min(len(values), maxOwnNumbers)] {
		parts = append(parts, strconv.FormatFloat(v, 'f', -1, 64))
	}
	return strings.Join(parts, ", ")
}
