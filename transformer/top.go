package transformer

// top gives the k most likely tokens of logits (vocab), best first, the lower id first among equals. norm is what
// makes a logit a log-probability: the logarithm of the sum of their exponentials.
func top(logits []float32, k int, norm float64) []Token {
	best := make([]Token, 0, min(k, len(logits))+1)
	for id, l := range logits {
		logProb := float64(l) - norm
		if len(best) == k && logProb <= best[k-1].LogProb {
			continue
		}
		at := len(best)
		for at > 0 && best[at-1].LogProb < logProb {
			at--
		}
		best = append(best, Token{})
		copy(best[at+1:], best[at:])
		best[at] = Token{ID: id, LogProb: logProb}
		best = best[:min(len(best), k)]
	}
	return best
}
