package train

// Streams of random numbers that follow from one seed (the second word of a PCG). Each use has its own, so
// that none depends on how much another one drew.
const (
	streamWeights = iota
	streamValidation
	streamInduction
	streamHoldout
	streamDropout
	streamEpoch // plus the epoch's number; must stay last
)
