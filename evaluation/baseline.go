package evaluation

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"

	"gonum.org/v1/gonum/blas/blas32"
)

// BaselineName says what Baseline is, for reports.
const BaselineName = "linear SVM on TF-IDF of word 1-2-grams and character 2-5-grams"

// Baseline is a linear classifier of short texts: what a model of language has to beat. It is safe for concurrent
// use.
type Baseline struct {
	labels  []string
	tfidf   *tfidf
	weights []float32 // (features+1, labels); the last row is the bias
}

const (
	// penalty is the weight of the rows' losses against that of the length of the weights, the C of LIBSVM.
	// 1 is its usual value; nothing here is tuned.
	penalty = 1.0
	// passes is how often training goes over the rows. The accuracy on rows held out no longer moves after ten.
	passes = 15
)

// TrainBaseline trains a baseline: one L2-regularised support vector machine with squared hinge loss for each
// label against all others, by dual coordinate descent (C.-J. Hsieh et al., "A dual coordinate descent method for
// large-scale linear SVM", 2008, algorithm 1), all labels side by side so that each text's features are walked
// once. The same rows and seed give the same weights. 10,000 rows of 77 labels take some seconds of one core. It fails
// on rows of fewer than two labels, and with ctx's error.
func TrainBaseline(ctx context.Context, rows []Row, seed uint64) (*Baseline, error) {
	b := &Baseline{}
	texts := make([]string, len(rows))
	for i, r := range rows {
		texts[i] = r.Input
		b.labels = append(b.labels, r.Expected)
	}
	slices.Sort(b.labels)
	b.labels = slices.Compact(b.labels)
	if len(b.labels) < 2 {
		return nil, fmt.Errorf("a baseline needs rows of two labels, there are %d", len(b.labels))
	}
	b.tfidf = newTFIDF(texts)
	vectors, norms, of := make([][]feature, len(rows)), make([]float32, len(rows)), make([]int, len(rows))
	for i, text := range texts {
		vectors[i] = b.features(text)
		for _, f := range vectors[i] {
			norms[i] += f.weight * f.weight
		}
		of[i], _ = slices.BinarySearch(b.labels, rows[i].Expected)
	}
	b.weights = make([]float32, (len(b.tfidf.idf)+1)*len(b.labels))
	alphas := make([]float32, len(rows)*len(b.labels)) // (rows, labels), the dual variables
	margins, steps := make([]float32, len(b.labels)), make([]float32, len(b.labels))
	random := rand.New(rand.NewPCG(seed, 0))
	for range passes {
		for _, i := range random.Perm(len(rows)) {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			b.margins(margins, vectors[i])
			alpha := alphas[i*len(b.labels):][:len(b.labels)]
			const ridge = 1 / (2 * penalty) // what the squared loss adds to the diagonal
			moved := false
			for k, margin := range margins {
				sign := float32(-1)
				if k == of[i] {
					sign = 1
				}
				gradient := sign*margin - 1 + ridge*alpha[k]
				next := max(alpha[k]-gradient/(norms[i]+ridge), 0)
				steps[k] = (next - alpha[k]) * sign
				moved = moved || steps[k] != 0
				alpha[k] = next
			}
			if moved {
				b.add(steps, vectors[i])
			}
		}
	}
	return b, nil
}

// Predict gives the label whose machine is surest. A text without a known n-gram gets the one that the bias favours.
func (b *Baseline) Predict(text string) string {
	margins := make([]float32, len(b.labels))
	b.margins(margins, b.features(text))
	best := 0
	for k, m := range margins {
		if m > margins[best] {
			best = k
		}
	}
	return b.labels[best]
}

// features is the text's vector with a constant 1 for the bias.
func (b *Baseline) features(text string) []feature {
	return append(b.tfidf.vector(text), feature{int32(len(b.tfidf.idf)), 1})
}

// margins sets out, (labels), to weights · x.
func (b *Baseline) margins(out []float32, x []feature) {
	clear(out)
	for _, f := range x {
		blas32.Axpy(f.weight, b.row(f.id), blas32.Vector{N: len(out), Inc: 1, Data: out})
	}
}

// add adds steps ⊗ x to the weights.
func (b *Baseline) add(steps []float32, x []feature) {
	for _, f := range x {
		blas32.Axpy(f.weight, blas32.Vector{N: len(steps), Inc: 1, Data: steps}, b.row(f.id))
	}
}

func (b *Baseline) row(id int32) blas32.Vector {
	n := len(b.labels)
	return blas32.Vector{N: n, Inc: 1, Data: b.weights[int(id)*n:][:n]}
}
