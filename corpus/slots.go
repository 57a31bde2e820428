package corpus

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A slot is {kind} or {kind_2}: the number tells two values of one kind apart.
var (
	slotPattern   = regexp.MustCompile(`\{([a-z]+(?:_[a-z]+)*)(_[0-9])?\}`)
	bracesPattern = regexp.MustCompile(`[{}]`)
)

// generators make a value of each kind of slot.
var generators = map[string]func(*rand.Rand) string{
	"amount":    amount,
	"date":      date,
	"rate":      rate,
	"last_four": func(r *rand.Rand) string { return fmt.Sprintf("%04d", r.IntN(10000)) },
	"payee":     func(r *rand.Rand) string { return pick(r, payees) },
	"country":   func(r *rand.Rand) string { return pick(r, countries) },
	"currency":  func(r *rand.Rand) string { return pick(r, currencies) },
	"exchange": func(r *rand.Rand) string {
		return fmt.Sprintf("%.*f", 2+r.IntN(3), 0.2+r.Float64()*pick(r, []float64{2, 2, 20, 200}))
	},
	"reference": reference,
	"status":    func(r *rand.Rand) string { return pick(r, statuses) },
}

var (
	payees     = []string{"a supermarket", "a petrol station", "an online shop", "a cafe", "a hotel", "a pharmacy", "a bookshop", "a restaurant", "a railway company", "an airline", "a hardware shop", "a taxi firm", "a gym", "a mobile phone company", "an energy supplier", "a water company", "a cinema", "a bakery"}
	countries  = []string{"France", "Spain", "Italy", "Germany", "Portugal", "Greece", "Poland", "Japan", "Canada", "Australia", "India", "Turkey", "Norway", "Brazil", "Morocco", "Thailand", "the United States", "Ireland"}
	currencies = []string{"euros", "US dollars", "Japanese yen", "Swiss francs", "Polish zloty", "Australian dollars", "Canadian dollars", "Norwegian kroner", "Indian rupees", "pounds"}
	statuses   = []string{"active", "pending", "under review", "on its way", "blocked", "approved", "completed", "being processed"}
)

// slots gives a text's slot names, sorted, each once.
func slots(s string) []string {
	var names []string
	for _, m := range slotPattern.FindAllStringSubmatch(s, -1) {
		names = append(names, m[1]+m[2])
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func checkSlots(s string) error {
	for _, m := range slotPattern.FindAllStringSubmatch(s, -1) {
		if generators[m[1]] == nil {
			return fmt.Errorf("unknown slot {%s%s}", m[1], m[2])
		}
	}
	if bracesPattern.MatchString(slotPattern.ReplaceAllString(s, "")) {
		return fmt.Errorf("a brace that belongs to no slot")
	}
	return nil
}

// filler fills the slots of texts that belong together: the same slot gets the same value in all of
// them, and different slots of one kind get different values.
type filler struct {
	rng    *rand.Rand
	values map[string]string
}

func newFiller(rng *rand.Rand) *filler { return &filler{rng: rng, values: map[string]string{}} }

func (f *filler) fill(s string) string {
	if !strings.Contains(s, "{") {
		return s
	}
	return slotPattern.ReplaceAllStringFunc(s, func(slot string) string {
		m := slotPattern.FindStringSubmatch(slot)
		name := m[1] + m[2]
		if _, ok := f.values[name]; !ok {
			f.values[name] = f.fresh(m[1])
		}
		return f.values[name]
	})
}

func (f *filler) fresh(kind string) string {
	for range 8 {
		value := generators[kind](f.rng)
		taken := false
		for _, other := range f.values {
			taken = taken || other == value
		}
		if !taken {
			return value
		}
	}
	return generators[kind](f.rng)
}

func pick[T any](rng *rand.Rand, from []T) T { return from[rng.IntN(len(from))] }

// amount is a sum of money from pennies to millions, in the ways people and systems write it.
func amount(r *rand.Rand) string {
	whole := r.IntN(pick(r, []int{10, 100, 1000, 1000, 10_000, 10_000, 100_000, 1_000_000}))
	number := fmt.Sprint(whole)
	if r.IntN(4) > 0 {
		number = thousands(number)
	}
	switch r.IntN(5) {
	case 0:
	case 1:
		number += ".00"
	default:
		number += fmt.Sprintf(".%02d", r.IntN(100))
	}
	switch r.IntN(8) {
	case 0, 1:
		return "GBP " + number
	case 2, 3, 4:
		return "£" + number
	case 5:
		return "EUR " + number
	case 6:
		return "€" + number
	default:
		return pick(r, []string{"USD ", "$", "CHF "}) + number
	}
}

func thousands(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

func date(r *rand.Rand) string {
	day := time.Date(2023, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, r.IntN(8*365))
	return day.Format(pick(r, []string{"2 January 2006", "2 January 2006", "2 January 2006", "2 January", "2 Jan 2006", "January 2, 2006", "02/01/2006", "2006-01-02", "Monday 2 January"}))
}

func rate(r *rand.Rand) string {
	switch r.IntN(4) {
	case 0:
		return fmt.Sprintf("%d%%", 1+r.IntN(39))
	case 1:
		return fmt.Sprintf("%.1f%%", r.Float64()*30)
	default:
		return fmt.Sprintf("%.2f%%", r.Float64()*25)
	}
}

func reference(r *rand.Rand) string {
	const letters = "ABCDEFGHJKLMNPQRSTUVWXYZ"
	var b strings.Builder
	for range 2 + r.IntN(2) {
		b.WriteByte(letters[r.IntN(len(letters))])
	}
	b.WriteString(pick(r, []string{"-", "", "/"}))
	fmt.Fprintf(&b, "%0*d", 4+r.IntN(4), r.IntN(10000))
	return b.String()
}
