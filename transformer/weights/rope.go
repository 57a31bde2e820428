package weights

import (
	"fmt"
	"math"
)

// Rope is how positions turn queries and keys.
type Rope struct {
	Pairing Pairing
	Theta   float64
	// Factor divides every frequency (linear scaling, Chen et al. 2023); 1 for none.
	Factor float64
	// Llama3 is the scaling of Llama 3.1, nil for none.
	Llama3 *Llama3Scaling
	// Divisors divides each of the HeadDim/2 frequencies: a GGUF file has Llama 3.1's scaling in this form. Nil for none.
	Divisors []float32
}

// Llama3Scaling stretches the low frequencies by Factor, leaves the high ones, and goes smoothly from one to the other. What is low and
// high is told by how many turns a pair makes within the context of the first training.
type Llama3Scaling struct {
	Factor          float64 // at least 1
	LowFreqFactor   float64 // turns up to which a pair is stretched by Factor
	HighFreqFactor  float64 // turns from which it is left alone
	OriginalContext int
}

func (r Rope) validate(headDim int) error {
	switch {
	case !(r.Theta >= 1 && r.Theta <= math.MaxFloat32):
		return fmt.Errorf("RoPE's theta is %v, must be at least 1", r.Theta)
	case !(r.Factor > 0 && r.Factor <= math.MaxFloat32):
		return fmt.Errorf("RoPE's scaling factor is %v, must be positive", r.Factor)
	case r.Divisors != nil && len(r.Divisors) != headDim/2:
		return fmt.Errorf("RoPE has %d divisors, must be %d", len(r.Divisors), headDim/2)
	}
	for i, d := range r.Divisors {
		if !(d > 0 && d <= math.MaxFloat32) {
			return fmt.Errorf("RoPE's divisor %d is %v, must be positive", i, d)
		}
	}
	if s := r.Llama3; s != nil {
		switch {
		case !(s.Factor >= 1 && s.Factor <= math.MaxFloat32):
			return fmt.Errorf("RoPE's llama3 factor is %v, must be at least 1", s.Factor)
		case !(s.LowFreqFactor > 0 && s.HighFreqFactor > s.LowFreqFactor && s.HighFreqFactor <= math.MaxFloat32):
			return fmt.Errorf("RoPE's llama3 low_freq_factor %v and high_freq_factor %v must be positive and in this order", s.LowFreqFactor, s.HighFreqFactor)
		case s.OriginalContext < 1 || s.OriginalContext > maxContext:
			return fmt.Errorf("RoPE's original_max_position_embeddings is %d, must be 1 to %d", s.OriginalContext, maxContext)
		}
	}
	return nil
}

// Frequencies gives the angle in radians by which one position turns each of the HeadDim/2 pairs: theta^(-2i/HeadDim), scaled.
func (a Architecture) Frequencies() []float64 {
	out := make([]float64, a.HeadDim/2)
	for i := range out {
		f := math.Pow(a.Rope.Theta, -2*float64(i)/float64(a.HeadDim)) / a.Rope.Factor
		if s := a.Rope.Llama3; s != nil {
			f /= s.divisor(f)
		}
		if a.Rope.Divisors != nil {
			f /= float64(a.Rope.Divisors[i])
		}
		out[i] = f
	}
	return out
}

// divisor is what a frequency is divided by.
func (s Llama3Scaling) divisor(frequency float64) float64 {
	turns := float64(s.OriginalContext) * frequency / (2 * math.Pi)
	switch {
	case turns < s.LowFreqFactor:
		return s.Factor
	case turns > s.HighFreqFactor:
		return 1
	}
	smooth := (turns - s.LowFreqFactor) / (s.HighFreqFactor - s.LowFreqFactor)
	return 1 / ((1-smooth)/s.Factor + smooth)
}

// RopeDivisors gives Llama 3.1's scaling as the divisors that a GGUF file holds, nil without it.
func (a Architecture) RopeDivisors() []float32 {
	if a.Rope.Llama3 == nil {
		return a.Rope.Divisors
	}
	out := make([]float32, a.HeadDim/2)
	for i := range out {
		f := math.Pow(a.Rope.Theta, -2*float64(i)/float64(a.HeadDim))
		out[i] = float32(a.Rope.Llama3.divisor(f))
	}
	return out
}

// HalvesRow gives the row of the file's query or key projection that stands at place row when pairs are Halves: row itself for a
// Hugging Face file, a row of the same head for a GGUF one. An engine that packs the rows in this order needs one RoPE only.
func (a Architecture) HalvesRow(row int) int {
	if a.Rope.Pairing == Halves {
		return row
	}
	head, i := row/a.HeadDim*a.HeadDim, row%a.HeadDim
	half := a.HeadDim / 2
	return head + i%half*2 + i/half
}

// NeighboursRow is HalvesRow for pairs that are Neighbours.
func (a Architecture) NeighboursRow(row int) int {
	if a.Rope.Pairing == Neighbours {
		return row
	}
	head, i := row/a.HeadDim*a.HeadDim, row%a.HeadDim
	return head + i/2 + i%2*(a.HeadDim/2)
}
