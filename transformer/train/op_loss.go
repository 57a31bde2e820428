package train

import (
	"math"
	"slices"
	"sync/atomic"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"teller/transformer/kernels"
)

// lossOp is the tied output head and its loss in one: z = h·Eᵀ and the weighted mean, over the batch's targets, of
// cross-entropy with label smoothing ε: (1−ε)·(−log p_target) + ε·mean over the vocabulary of (−log p).
// Where the target is a label, only the labels of its namespace are in the softmax, with a smoothing of their own.
// h is (tokens, hidden), E is (vocab, hidden); the result is a scalar in nats. Logits are computed only for tokens whose weight is not 0.
type lossOp struct {
	fused
	batch         *Batch
	vocab, hidden int
	smoothing     smoothing
	labels        []span // by namespace

	rows            []int        // tokens with a weight
	active          []float32    // their rows of h, (rows, hidden)
	dz              []float32    // (rows, vocab): logits, then the loss's gradient by them
	losses          []float64    // of each row, weighted
	plain           float64      // the weighted mean without smoothing, in nats
	labelled, right atomic.Int64 // targets that are labels, and how many of them were the likeliest
}

// smoothing is the share of a target's probability that goes to all alternatives evenly.
type smoothing struct{ text, label float32 }

// span is a range of token ids, [from, to).
type span struct{ from, to int }

func newLoss(batch *Batch, vocab, hidden int, labels []span, smoothing smoothing) *lossOp {
	n := batch.Size()
	return &lossOp{
		fused: newFused("loss", tensor.ScalarShape(), 2, 2), batch: batch, vocab: vocab, hidden: hidden, labels: labels, smoothing: smoothing,
		active: make([]float32, n*hidden), dz: make([]float32, n*vocab), losses: make([]float64, 2*n),
	}
}

// Do implements gorgonia.Op.
func (op *lossOp) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	h, e, b := floats(in[0]), floats(in[1]), op.batch
	op.rows = op.rows[:0]
	op.labelled.Store(0)
	op.right.Store(0)
	var total float64
	for i, w := range b.Weights {
		if w != 0 {
			copy(op.active[len(op.rows)*op.hidden:][:op.hidden], h[i*op.hidden:])
			op.rows = append(op.rows, i)
			total += float64(w)
		}
	}
	if len(op.rows) == 0 {
		op.plain = 0
		loss := gorgonia.F32(0)
		return &loss, nil
	}
	n := len(op.rows)
	gemm(false, true, n, op.vocab, op.hidden, 1, op.active, op.hidden, e, op.hidden, 0, op.dz, op.vocab)
	parallel(n, func(r int) {
		i := op.rows[r]
		w := float64(b.Weights[i]) / total
		z, target, eps := op.dz[r*op.vocab:][:op.vocab], int(b.Targets[i]), op.smoothing.text
		if s, ok := op.among(target); ok {
			clear(z[:s.from])
			clear(z[s.to:])
			z, target, eps = z[s.from:s.to], target-s.from, op.smoothing.label
			op.labelled.Add(1)
			if z[target] >= slices.Max(z) {
				op.right.Add(1)
			}
		}
		op.losses[2*r], op.losses[2*r+1] = crossEntropy(z, target, w, float64(eps))
	})
	var loss float64
	op.plain = 0
	for r := range n {
		loss += op.losses[2*r]
		op.plain += op.losses[2*r+1]
	}
	out := gorgonia.F32(loss)
	return &out, nil
}

// among finds the labels that a target is one of.
func (op *lossOp) among(target int) (span, bool) {
	for _, s := range op.labels {
		if target >= s.from && target < s.to {
			return s, true
		}
	}
	return span{}, false
}

// crossEntropy turns logits into the gradient by them and gives the loss, weighted by w, with smoothing eps and without.
func crossEntropy(z []float32, target int, w, eps float64) (smoothed, plain float64) {
	var mean float64
	top, at := z[0], float64(z[target])
	for _, v := range z {
		mean += float64(v)
		top = max(top, v)
	}
	mean /= float64(len(z))
	sum := float64(kernels.ExpSum(z, top))
	logSum := float64(top) + math.Log(sum)
	scale, off := float32(w/sum), float32(w*eps/float64(len(z)))
	for j := range z {
		z[j] = z[j]*scale - off
	}
	z[target] -= float32(w * (1 - eps))
	return w * (logSum - (1-eps)*at - eps*mean), w * (logSum - at)
}

// DiffWRT implements gorgonia.SDOp.
func (op *lossOp) DiffWRT(n int) []bool { return all(n) }

// SymDiff implements gorgonia.SDOp. The gradients take the loss itself as an input, so that they run after it.
func (op *lossOp) SymDiff(in gorgonia.Nodes, out, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	dh, err := gorgonia.ApplyOp(&lossGradHidden{newFused("lossGradHidden", in[0].Shape().Clone(), 2, 0, 0), op, make([]float32, len(op.active))}, in[1], out, grad)
	if err != nil {
		return nil, err
	}
	de, err := gorgonia.ApplyOp(&lossGradHead{newFused("lossGradHead", in[1].Shape().Clone(), 0, 0), op}, out, grad)
	return gorgonia.Nodes{dh, de}, err
}

// lossGradHidden is dh = dz·E on the rows that have a target, 0 elsewhere.
type lossGradHidden struct {
	fused
	of   *lossOp
	rows []float32 // (rows, hidden) before it is spread over the tokens
}

// Do implements gorgonia.Op.
func (g *lossGradHidden) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	op, e, dh := g.of, floats(in[0]), g.data()
	clear(dh)
	gemm(false, false, len(op.rows), op.hidden, op.vocab, scalar(in[2]), op.dz, op.vocab, e, op.hidden, 0, g.rows, op.hidden)
	for r, i := range op.rows {
		copy(dh[i*op.hidden:][:op.hidden], g.rows[r*op.hidden:])
	}
	return g.out, nil
}

// lossGradHead is dE = dzᵀ·h.
type lossGradHead struct {
	fused
	of *lossOp
}

// Do implements gorgonia.Op.
func (g *lossGradHead) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	op, de := g.of, g.data()
	gemm(true, false, op.vocab, op.hidden, len(op.rows), scalar(in[1]), op.dz, op.vocab, op.active, op.hidden, 0, de, op.hidden)
	return g.out, nil
}
