package train

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	_ "go4.org/unsafe/assume-no-moving-gc" // Gorgonia refuses to start on a Go version it does not know without it
)

// The operations run in float32; their references below run in float64, and so do the finite differences, which are
// taken of the references. What remains between them is the operations' rounding.
const (
	valueTolerance    = 2e-5 // absolute plus relative
	gradientTolerance = 1e-4 // absolute plus relative
	difference        = 1e-5 // step of the central difference; its own error is near 1e-9 in float64
)

// checkOp runs an operation on random inputs of the given shapes, compares its value with the reference, and its gradients with
// central differences of the reference, through the random linear functional L = Σ c∘y.
func checkOp(t *testing.T, shapes []tensor.Shape, build func(in []*gorgonia.Node) *gorgonia.Node, reference func(in [][]float64) []float64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 11))
	random := func(n int) ([]float32, []float64) {
		a, b := make([]float32, n), make([]float64, n)
		for i := range a {
			a[i] = float32(rng.NormFloat64())
			b[i] = float64(a[i])
		}
		return a, b
	}
	g := gorgonia.NewGraph()
	nodes := make([]*gorgonia.Node, len(shapes))
	in := make([][]float64, len(shapes))
	for i, s := range shapes {
		var backing []float32
		backing, in[i] = random(s.TotalSize())
		nodes[i] = inputNode(g, string(rune('a'+i)), s, backing)
	}
	y := build(nodes)
	want := reference(in)
	cost := y
	c := []float64{1}
	if !y.IsScalar() {
		require.Equal(t, len(want), y.Shape().TotalSize())
		var backing []float32
		backing, c = random(len(want))
		weights := inputNode(g, "weights", y.Shape(), backing)
		cost = gorgonia.Must(gorgonia.Sum(gorgonia.Must(gorgonia.HadamardProd(y, weights))))
	}
	grads, err := gorgonia.Grad(cost, nodes...)
	require.NoError(t, err)
	var value gorgonia.Value
	gorgonia.Read(y, &value)
	m := gorgonia.NewTapeMachine(g)
	defer func() { require.NoError(t, m.Close()) }()
	// Twice: the second run finds the buffers that the first one left.
	for range 2 {
		require.NoError(t, m.RunAll())
		if y.IsScalar() {
			requireNear(t, want[0], float64(scalar(value)), valueTolerance, "value")
		} else {
			for i, v := range floats(value) {
				requireNear(t, want[i], float64(v), valueTolerance, "value %d", i)
			}
		}
		for k := range nodes {
			got := floats(grads[k].Value())
			for i := range in[k] {
				at := in[k][i]
				in[k][i] = at + difference
				up := dot(c, reference(in))
				in[k][i] = at - difference
				down := dot(c, reference(in))
				in[k][i] = at
				requireNear(t, (up-down)/(2*difference), float64(got[i]), gradientTolerance, "gradient of input %d at %d", k, i)
			}
		}
		m.Reset()
	}
}

func requireNear(t *testing.T, want, got, tolerance float64, format string, args ...any) {
	t.Helper()
	if !(math.Abs(want-got) <= tolerance*(1+math.Abs(want))) {
		require.InDelta(t, want, got, tolerance*(1+math.Abs(want)), append([]any{format}, args...)...)
	}
}

func dot(a, b []float64) float64 {
	var sum float64
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}

// oddBatch has three documents of different lengths, padding, and a token without weight in each document.
func oddBatch(t *testing.T, vocab int) *Batch {
	t.Helper()
	rng := rand.New(rand.NewPCG(3, 5))
	b := NewBatch(19, 9)
	for _, n := range []int{5, 1, 9} {
		s := Sample{IDs: make([]int32, n+1), Weights: make([]float32, n+1)}
		for i := range s.IDs {
			s.IDs[i] = int32(rng.IntN(vocab))
			s.Weights[i] = []float32{0, 1, 0.25}[i%3]
		}
		ok, err := b.Add(s)
		require.NoError(t, err)
		require.True(t, ok)
	}
	return b
}

func TestOpsAgreeWithFloat64AndFiniteDifferences(t *testing.T) {
	t.Run("embed", func(t *testing.T) {
		b := oddBatch(t, 7)
		checkOp(t, []tensor.Shape{{7, 3}}, func(in []*gorgonia.Node) *gorgonia.Node {
			return gorgonia.Must(gorgonia.ApplyOp(newEmbed(b, 7, 3), in...))
		}, func(in [][]float64) []float64 {
			y := make([]float64, b.Size()*3)
			for i := range b.Used() {
				copy(y[i*3:(i+1)*3], in[0][b.Tokens[i]*3:])
			}
			return y
		})
	})
	for _, s := range [][3]int{{1, 1, 1}, {5, 7, 3}, {33, 5, 66}} {
		rows, in, out := s[0], s[1], s[2]
		matrix := func(v [][]float64) []float64 {
			y := make([]float64, rows*out)
			for i := range rows {
				for o := range out {
					for j := range in {
						y[i*out+o] += v[0][i*in+j] * v[1][o*in+j]
					}
					if len(v) == 3 {
						y[i*out+o] += v[2][i*out+o]
					}
				}
			}
			return y
		}
		t.Run("linear", func(t *testing.T) {
			checkOp(t, []tensor.Shape{{rows, in}, {out, in}}, func(in []*gorgonia.Node) *gorgonia.Node {
				return gorgonia.Must(linear(in[0], in[1], nil))
			}, matrix)
		})
		t.Run("linear with residual", func(t *testing.T) {
			checkOp(t, []tensor.Shape{{rows, in}, {out, in}, {rows, out}}, func(in []*gorgonia.Node) *gorgonia.Node {
				return gorgonia.Must(linear(in[0], in[1], in[2]))
			}, matrix)
		})
	}
	for _, s := range [][2]int{{1, 3}, {67, 5}} {
		rows, dim := s[0], s[1]
		t.Run("norm", func(t *testing.T) {
			checkOp(t, []tensor.Shape{{rows, dim}, {dim}}, func(in []*gorgonia.Node) *gorgonia.Node {
				return gorgonia.Must(norm(in[0], in[1], 1e-5))
			}, func(in [][]float64) []float64 {
				y := make([]float64, rows*dim)
				for i := range rows {
					x := in[0][i*dim:][:dim]
					r := 1 / math.Sqrt(dot(x, x)/float64(dim)+1e-5)
					for j, v := range x {
						y[i*dim+j] = v * r * in[1][j]
					}
				}
				return y
			})
		})
		t.Run("swiglu", func(t *testing.T) {
			checkOp(t, []tensor.Shape{{rows, 2 * dim}}, func(in []*gorgonia.Node) *gorgonia.Node {
				return gorgonia.Must(swiglu(in[0]))
			}, func(in [][]float64) []float64 {
				y := make([]float64, rows*dim)
				for i := range rows {
					for j := range dim {
						g := in[0][i*2*dim+j]
						y[i*dim+j] = g / (1 + math.Exp(-g)) * in[0][i*2*dim+dim+j]
					}
				}
				return y
			})
		})
	}
	for _, h := range []heads{{query: 3, kv: 1, dim: 2}, {query: 4, kv: 2, dim: 6}} {
		b := oddBatch(t, 7)
		t.Run("attention", func(t *testing.T) {
			checkOp(t, []tensor.Shape{{b.Size(), h.packed()}}, func(in []*gorgonia.Node) *gorgonia.Node {
				op := newAttention(b, h, newRope(b.MaxLen, h.dim, 100), make([]float32, attentionWork(b, h)))
				return gorgonia.Must(gorgonia.ApplyOp(op, in...))
			}, func(in [][]float64) []float64 { return attentionReference(b, h, 100, in[0]) })
		})
	}
	for _, smoothing := range []float32{0, 0.1} {
		b := oddBatch(t, 7)
		t.Run("loss", func(t *testing.T) {
			checkOp(t, []tensor.Shape{{b.Size(), 5}, {7, 5}}, func(in []*gorgonia.Node) *gorgonia.Node {
				return gorgonia.Must(gorgonia.ApplyOp(newLoss(b, 7, 5, smoothing), in...))
			}, func(in [][]float64) []float64 {
				return []float64{lossReference(b, 7, 5, float64(smoothing), in[0], in[1])}
			})
		})
	}
}

// attentionReference goes query by query, as the definition does.
func attentionReference(b *Batch, h heads, theta float64, x []float64) []float64 {
	y := make([]float64, b.Size()*h.width())
	turned := func(row, col, p int) []float64 {
		v, out, half := x[row*h.packed()+col:][:h.dim], make([]float64, h.dim), h.dim/2
		for j := range half {
			a := float64(p) / math.Pow(theta, 2*float64(j)/float64(h.dim))
			out[j] = v[j]*math.Cos(a) - v[j+half]*math.Sin(a)
			out[j+half] = v[j+half]*math.Cos(a) + v[j]*math.Sin(a)
		}
		return out
	}
	for _, d := range b.Docs {
		for head := range h.query {
			kv := head / (h.query / h.kv)
			for i := range d.Len() {
				q := turned(d.Start+i, head*h.dim, i)
				scores, sum := make([]float64, i+1), 0.0
				for j := range scores {
					scores[j] = math.Exp(dot(q, turned(d.Start+j, (h.query+kv)*h.dim, j)) / math.Sqrt(float64(h.dim)))
					sum += scores[j]
				}
				for j, s := range scores {
					v := x[(d.Start+j)*h.packed()+(h.query+h.kv+kv)*h.dim:]
					for c := range h.dim {
						y[(d.Start+i)*h.width()+head*h.dim+c] += s / sum * v[c]
					}
				}
			}
		}
	}
	return y
}

func lossReference(b *Batch, vocab, hidden int, smoothing float64, h, e []float64) float64 {
	var loss, total float64
	for i, w := range b.Weights {
		z, sum := make([]float64, vocab), 0.0
		for v := range z {
			z[v] = dot(h[i*hidden:][:hidden], e[v*hidden:][:hidden])
			sum += math.Exp(z[v])
		}
		var mean float64
		for _, v := range z {
			mean += (math.Log(sum) - v) / float64(vocab)
		}
		loss += float64(w) * ((1-smoothing)*(math.Log(sum)-z[b.Targets[i]]) + smoothing*mean)
		total += float64(w)
	}
	return loss / total
}
