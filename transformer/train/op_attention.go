package train

import (
	"math"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	"teller/transformer/kernels"
)

// heads describes grouped-query attention: query heads share key-value heads in equal consecutive groups.
type heads struct {
	query, kv, dim int
}

func (h heads) packed() int  { return (h.query + 2*h.kv) * h.dim } // columns of q, k and v side by side
func (h heads) rotated() int { return (h.query + h.kv) * h.dim }   // columns of q and k
func (h heads) width() int   { return h.query * h.dim }

// rope holds the rotation angles of rotary position embedding (Su et al. 2021) in the rotate-half convention:
// column j of a head turns together with column j + dim/2.
type rope struct {
	half     int
	cos, sin []float32 // (positions, half)
}

func newRope(positions, dim int, theta float64) *rope {
	r := &rope{dim / 2, make([]float32, positions*dim/2), make([]float32, positions*dim/2)}
	for p := range positions {
		for j := range r.half {
			angle := float64(p) * math.Pow(theta, -2*float64(j)/float64(dim))
			r.cos[p*r.half+j] = float32(math.Cos(angle))
			r.sin[p*r.half+j] = float32(math.Sin(angle))
		}
	}
	return r
}

// turn writes head x rotated to position p into y; sign -1 turns back, which is also the gradient.
func (r *rope) turn(y, x []float32, p int, sign float32) {
	cos, sin := r.cos[p*r.half:][:r.half], r.sin[p*r.half:][:r.half]
	for j, c := range cos {
		s := sign * sin[j]
		a, b := x[j], x[j+r.half]
		y[j], y[j+r.half] = a*c-b*s, b*c+a*s
	}
}

// attentionOp is causal grouped-query attention with RoPE, separately for each document of the batch. Its input
// (tokens, packed) holds the query heads, then the key heads, then the value heads; its output is (tokens, query·dim).
// Positions count from the start of the document. Rows after the last document give zeros.
type attentionOp struct {
	fused
	heads
	batch *Batch
	rope  *rope
	turn  []float32 // (tokens, rotated): q and k after rotation, kept for the gradient
	probs []float32 // for each document, for each query head, (length, length)
	work  []float32 // as large as probs; shared by all layers, used within one gradient only
}

func newAttention(batch *Batch, h heads, r *rope, work []float32) *attentionOp {
	n := batch.Size()
	return &attentionOp{
		newFused("attention", tensor.Shape{n, h.width()}, 2), h, batch, r,
		make([]float32, n*h.rotated()), make([]float32, len(work)), work,
	}
}

// attentionWork is the number of floats that the probabilities of a batch can need.
func attentionWork(batch *Batch, h heads) int { return batch.Size() * batch.MaxLen * h.query }

// perGroup calls f for each document and key-value head: its first token, its length, where its probabilities start.
func (op *attentionOp) perGroup(f func(start, length, offset, kv int)) {
	docs := op.batch.Docs
	offsets := make([]int, len(docs))
	for i := 1; i < len(docs); i++ {
		l := docs[i-1].Len()
		offsets[i] = offsets[i-1] + l*l*op.query
	}
	parallel(len(docs)*op.kv, func(i int) {
		d := docs[i/op.kv]
		f(d.Start, d.Len(), offsets[i/op.kv], i%op.kv)
	})
}

// Do implements gorgonia.Op.
func (op *attentionOp) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	x, y := floats(in[0]), op.data()
	packed, rotated, width, dim := op.packed(), op.rotated(), op.width(), op.dim
	scale := float32(1 / math.Sqrt(float64(dim)))
	clear(y[op.batch.used*width:])
	op.perGroup(func(start, n, offset, kv int) {
		group := op.query / op.kv
		rotate := func(head int) {
			for p := range n {
				op.rope.turn(op.turn[(start+p)*rotated+head*dim:][:dim], x[(start+p)*packed+head*dim:][:dim], p, 1)
			}
		}
		rotate(op.query + kv)
		k := op.turn[start*rotated+(op.query+kv)*dim:]
		v := x[start*packed+(op.query+op.kv+kv)*dim:]
		for h := kv * group; h < (kv+1)*group; h++ {
			rotate(h)
			p := op.probs[offset+h*n*n:][:n*n]
			gemm(false, true, n, n, dim, scale, op.turn[start*rotated+h*dim:], rotated, k, rotated, 0, p, n)
			for i := range n {
				kernels.Softmax(p[i*n:][:i+1], 1)
				clear(p[i*n+i+1 : (i+1)*n])
			}
			gemm(false, false, n, dim, n, 1, p, n, v, packed, 0, y[start*width+h*dim:], width)
		}
	})
	return op.out, nil
}

// DiffWRT implements gorgonia.SDOp.
func (op *attentionOp) DiffWRT(n int) []bool { return all(n) }

// SymDiff implements gorgonia.SDOp.
func (op *attentionOp) SymDiff(in gorgonia.Nodes, _, grad *gorgonia.Node) (gorgonia.Nodes, error) {
	dx, err := gorgonia.ApplyOp(&attentionGrad{newFused("attentionGrad", in[0].Shape().Clone(), 2, 2), op}, in[0], grad)
	return gorgonia.Nodes{dx}, err
}

// attentionGrad is the gradient of attentionOp by its packed input, from the probabilities that the forward pass kept:
// dV = Pᵀ·dO, dS = P∘(dP − rowsum(dP∘P)) with dP = dO·Vᵀ, dQ = dS·K, dK = dSᵀ·Q, then q and k are turned back.
type attentionGrad struct {
	fused
	of *attentionOp
}

// Do implements gorgonia.Op.
func (g *attentionGrad) Do(in ...gorgonia.Value) (gorgonia.Value, error) {
	x, dy, dx, op := floats(in[0]), floats(in[1]), g.data(), g.of
	packed, rotated, width, dim := op.packed(), op.rotated(), op.width(), op.dim
	scale := float32(1 / math.Sqrt(float64(dim)))
	clear(dx[op.batch.used*packed:])
	op.perGroup(func(start, n, offset, kv int) {
		group := op.query / op.kv
		kCol, vCol := (op.query+kv)*dim, (op.query+op.kv+kv)*dim
		turnBack := func(col int) {
			for p := range n {
				head := dx[(start+p)*packed+col:][:dim]
				op.rope.turn(head, head, p, -1)
			}
		}
		beta := float32(0) // the first head of the group overwrites, the others add
		for h := kv * group; h < (kv+1)*group; h++ {
			p, ds := op.probs[offset+h*n*n:][:n*n], op.work[offset+h*n*n:][:n*n]
			do := dy[start*width+h*dim:]
			gemm(false, true, n, n, dim, 1, do, width, x[start*packed+vCol:], packed, 0, ds, n)
			for i := range n {
				pi, dsi := p[i*n:][:n], ds[i*n:][:n]
				var dot float32
				for j, v := range pi[:i+1] {
					dot += v * dsi[j]
				}
				for j, v := range pi {
					dsi[j] = v * (dsi[j] - dot) * scale
				}
			}
			gemm(true, false, n, dim, n, 1, p, n, do, width, beta, dx[start*packed+vCol:], packed)
			gemm(false, false, n, dim, n, 1, ds, n, op.turn[start*rotated+kCol:], rotated, 0, dx[start*packed+h*dim:], packed)
			gemm(true, false, n, dim, n, 1, ds, n, op.turn[start*rotated+h*dim:], rotated, beta, dx[start*packed+kCol:], packed)
			turnBack(h * dim)
			beta = 1
		}
		turnBack(kCol)
	})
	return g.out, nil
}
