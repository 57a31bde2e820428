package benchmark

import (
	"time"

	"teller/prices"
)

// The bases of a cost.
const (
	ByTokens   = "tokens"   // the provider charges tokens
	ByHardware = "hardware" // an hour of the hardware costs so much, whatever it answers
)

// Cost is what a model's part of a run cost, in US dollars. A figure without a price or without turns is nil.
type Cost struct {
	// Basis is ByTokens, ByHardware or, without a price, empty.
	Basis    string   `json:"basis,omitempty"`
	TotalUSD *float64 `json:"total_usd"`
	// PerThousandUSD is that of 1,000 answered turns. With ByHardware it holds for the throughput of this run: TurnsPerHour at
	// PerHourUSD. Hardware that idles costs more per turn.
	PerThousandUSD *float64 `json:"per_1000_turns_usd"`
	// PerCorrectUSD is that of a right answer.
	PerCorrectUSD *float64 `json:"per_correct_answer_usd"`
	PerHourUSD    float64  `json:"per_hour_usd,omitempty"`
	TurnsPerHour  *float64 `json:"turns_per_hour,omitempty"`
}

// spent is what rows say of their cost.
type spent struct {
	nanoUSD         int64
	priced          int // answered rows that have a cost
	answered, right int
}

func costOf(s spent, price prices.Price, known bool, took time.Duration) Cost {
	var c Cost
	var total float64
	switch {
	case known && price.PerHour > 0:
		c.Basis, c.PerHourUSD = ByHardware, price.PerHour
		if took <= 0 {
			return c
		}
		total = price.PerHour * took.Hours()
		c.TurnsPerHour = ratio(float64(s.answered), took.Hours())
	case s.priced > 0 && s.priced == s.answered:
		c.Basis, total = ByTokens, float64(s.nanoUSD)/1e9
	default:
		return c // a sum over some of the turns would look cheap
	}
	c.TotalUSD = &total
	c.PerThousandUSD = ratio(1000*total, float64(s.answered))
	c.PerCorrectUSD = ratio(total, float64(s.right))
	return c
}

func ratio(a, b float64) *float64 {
	if b == 0 {
		return nil
	}
	v := a / b
	return &v
}
