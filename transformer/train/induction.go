package train

import (
	"math"
	"math/rand/v2"

	"teller/transformer"
)

// plantInduction starts a model with a rough circuit for copying, which training then sharpens or takes apart as it likes: an
// induction head (Olsson et al. 2022, "In-context learning and induction heads"). Heads of the first layer note at each token which
// ones stand just before it; a head of the second looks for the place whose notes match the last tokens, and copies
// what stands there. Without it a model of 1.6M parameters had not learnt to copy after 2.5M
// tokens; with it, contexts are repeated word for word after 0.4M tokens of echoes (docs/training.md).
//
// It leaves models alone that have no room for it: it takes two layers, lookBack heads that share no keys, and 16 numbers a head.
func plantInduction(c transformer.Config, params []parameter, flat []float32, seed uint64) {
	h := headsOf(c)
	if c.NumHiddenLayers < 2 || h.query < lookBack || h.query != h.kv || h.dim < 16 {
		return
	}
	rng := rand.New(rand.NewPCG(seed, streamInduction))
	views := map[string]matrix{}
	for _, p := range params {
		if len(p.shape) == 2 {
			views[p.name] = matrix{p.view(flat), p.shape[1]}
		}
	}
	hidden, half := c.HiddenSize, h.dim/2

	// One number of each embedding is the same for all tokens: what a bias would be. As every token of the tied head has it too, it
	// moves no probability.
	const bias, deviation = 0.06, 0.02 // deviation is that of the embeddings
	for token := range c.VocabSize {
		views["embed"].row(token)[0] = bias
	}

	// A token's code is its projection by code; notes[n] is where a head writes the code of the token n+1 back. Codes are compared in
	// the slow half of a head's dimensions, which rotation leaves nearly alone over the length of a dialogue.
	slow := make([]int, 0, h.dim)
	for m := half / 2; m < half; m++ {
		slow = append(slow, m, m+half)
	}
	size := len(slow)
	code := randomMatrix(rng, size, hidden, 1/math.Sqrt(float64(hidden)))
	for i := range size {
		code.row(i)[0] = 0
	}
	const noted = 0.6 * deviation // deviation of a note in the residual stream
	var notes [lookBack]matrix
	for n := range notes {
		notes[n] = randomMatrix(rng, hidden, size, noted/math.Sqrt(float64(size)))
		clear(notes[n].row(0))
		writeLookBack(c, views, n, code, notes[n])
	}

	// At the second layer the residual stream holds the embedding and the notes; reading turns a note back into a code.
	spread := math.Sqrt(deviation*deviation + lookBack*noted*noted)
	reading := spread * float64(size) / (float64(hidden) * noted * noted)
	qkv, out := views["layers.1.qkv"], views["layers.1.o"]
	for n := range lookBack {
		turn := randomMatrix(rng, size, size, 1/math.Sqrt(float64(size))) // keeps the codes of different distances apart
		if n == 0 {
			turn = identity(size)
		}
		for i, dim := range slow {
			query, key := qkv.row(dim), qkv.row((h.query)*h.dim+dim)
			for j := range size {
				for d := range hidden {
					now := code.at(j, d) * float32(spread/deviation)
					if n > 0 {
						now = notes[n-1].at(d, j) * float32(reading)
					}
					query[d] += turn.at(i, j) * now
					key[d] += turn.at(i, j) * notes[n].at(d, j) * float32(reading)
				}
			}
		}
	}
	const strength = 0.1 // about twice an embedding; more drowns what the other heads learn
	copied := randomMatrix(rng, h.dim, hidden, 1/math.Sqrt(float64(hidden)))
	for i := range h.dim {
		copied.row(i)[0] = 0
		value := qkv.row((h.query+h.kv)*h.dim + i)
		for d := range hidden {
			value[d] = copied.at(i, d)
			out.row(d)[i] = strength * copied.at(i, d)
		}
	}
}

// lookBack is how many tokens before a place are noted there.
const lookBack = 3

// writeLookBack makes head n of the first layer attend to the token n+1 back, by rotation alone, and write its code to note.
func writeLookBack(c transformer.Config, views map[string]matrix, n int, code, note matrix) {
	h := headsOf(c)
	half := h.dim / 2
	qkv, out := views["layers.0.qkv"], views["layers.0.o"]
	const constant = 2.9 // of the embeddings, after RMSNorm
	for m, weight := range []float64{16, 12, 8, 4, 2} {
		if m >= half {
			break
		}
		amplitude := math.Sqrt(weight*math.Sqrt(float64(h.dim))) / constant
		phase := float64(n+1) * math.Pow(c.RopeTheta, -float64(m)/float64(half))
		qkv.row(n*h.dim + m)[0] = float32(amplitude)
		qkv.row((h.query+n)*h.dim + m)[0] = float32(amplitude * math.Cos(phase))
		qkv.row((h.query+n)*h.dim + m + half)[0] = float32(amplitude * math.Sin(phase))
	}
	for i := range code.rows() {
		copy(qkv.row((h.query+h.kv+n)*h.dim+i), code.row(i))
		for d := range c.HiddenSize {
			out.row(d)[n*h.dim+i] = note.at(d, i)
		}
	}
}

// matrix is a row-major matrix.
type matrix struct {
	data []float32
	cols int
}

func (m matrix) row(i int) []float32 { return m.data[i*m.cols:][:m.cols] }
func (m matrix) at(i, j int) float32 { return m.data[i*m.cols+j] }
func (m matrix) rows() int           { return len(m.data) / m.cols }

func randomMatrix(rng *rand.Rand, rows, cols int, deviation float64) matrix {
	m := matrix{make([]float32, rows*cols), cols}
	for i := range m.data {
		m.data[i] = float32(rng.NormFloat64() * deviation)
	}
	return m
}

func identity(n int) matrix {
	m := matrix{make([]float32, n*n), n}
	for i := range n {
		m.row(i)[i] = 1
	}
	return m
}
