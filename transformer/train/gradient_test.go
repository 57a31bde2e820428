package train

import (
	"math"
	"math/rand/v2"
	"slices"
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
	for _, eps := range []float32{0, 0.1} {
		b := oddBatch(t, 7)
		t.Run("loss", func(t *testing.T) {
			checkOp(t, []tensor.Shape{{b.Size(), 5}, {7, 5}}, func(in []*gorgonia.Node) *gorgonia.Node {
				return gorgonia.Must(gorgonia.ApplyOp(newLoss(b, 7, 5, nil, smoothing{text: eps}), in...))
			}, func(in [][]float64) []float64 {
				return []float64{lossReference(b, 7, 5, float64(eps), in[0], in[1])}
			})
		})
	}
}

// The softmax at a label holds its namespace alone, with its own smoothing.
func TestLossOfLabels(t *testing.T) {
	const vocab, hidden = 9, 5
	b := oddBatch(t, vocab)
	labels := []span{{4, 6}, {6, 9}}
	checkOp(t, []tensor.Shape{{b.Size(), hidden}, {vocab, hidden}}, func(in []*gorgonia.Node) *gorgonia.Node {
		return gorgonia.Must(gorgonia.ApplyOp(newLoss(b, vocab, hidden, labels, smoothing{text: 0.05, label: 0.2}), in...))
	}, func(in [][]float64) []float64 {
		var loss, total float64
		for i, w := range b.Weights {
			target, eps := int(b.Targets[i]), 0.05
			among := span{0, vocab}
			for _, s := range labels {
				if target >= s.from && target < s.to {
					among, eps = s, 0.2
				}
			}
			var sum, mean float64
			z := func(v int) float64 { return dot(in[0][i*hidden:][:hidden], in[1][v*hidden:][:hidden]) }
			for v := among.from; v < among.to; v++ {
				sum += math.Exp(z(v))
				mean += z(v) / float64(among.to-among.from)
			}
			loss += float64(w) * (math.Log(sum) - (1-eps)*z(target) - eps*mean)
			total += float64(w)
		}
		return []float64{loss / total}
	})
}

func TestBagOps(t *testing.T) {
	b := oddBatch(t, 7)
	b.Bags = []Bag{{0, []int32{3}}, {4, []int32{1, 3, 5}}, {14, []int32{0, 1}}}
	const rows, dim, hidden = 6, 3, 4
	checkOp(t, []tensor.Shape{{rows, dim}}, func(in []*gorgonia.Node) *gorgonia.Node {
		return gorgonia.Must(gorgonia.ApplyOp(newBag(b, rows, dim), in...))
	}, func(in [][]float64) []float64 {
		y := make([]float64, bagRoom(b.Size())*dim)
		for k, bag := range b.Bags {
			for _, f := range bag.Features {
				for j := range dim {
					y[k*dim+j] += in[0][int(f)*dim+j] / math.Sqrt(float64(len(bag.Features)))
				}
			}
		}
		return y
	})
	checkOp(t, []tensor.Shape{{b.Size(), hidden}, {bagRoom(b.Size()), hidden}}, func(in []*gorgonia.Node) *gorgonia.Node {
		return gorgonia.Must(gorgonia.ApplyOp(newPlace(b, hidden), in...))
	}, func(in [][]float64) []float64 {
		y := slices.Clone(in[0])
		for k, bag := range b.Bags {
			for j := range hidden {
				y[bag.Place*hidden+j] += in[1][k*hidden+j]
			}
		}
		return y
	})
}

func TestDropout(t *testing.T) {
	const rows, dim, p = 70, 33, 0.3
	rate := func(row int) float64 {
		if row == 3 {
			return 0
		}
		return p
	}
	noise := &noiseSource{seed: 5, step: 2}
	x := make([]float32, rows*dim)
	for i := range x {
		x[i] = 1
	}
	drawn := func() []float32 {
		y := make([]float32, len(x))
		op := &dropoutOp{newFused("dropout", tensor.Shape{rows, dim}, 2), rate, noise, 1}
		op.apply(y, x)
		return y
	}
	mask := drawn()
	dropped := 0
	for i, v := range mask {
		if i/dim == 3 {
			require.Equal(t, float32(1), v)
		} else if v == 0 {
			dropped++
		} else {
			require.InDelta(t, 1/(1-p), v, 1e-6)
		}
	}
	require.InDelta(t, p, float64(dropped)/float64(len(mask)), 0.03)
	require.Equal(t, mask, drawn(), "the same step drops the same")
	noise.step++
	require.NotEqual(t, mask, drawn())

	noise.step = 2
	checkOp(t, []tensor.Shape{{rows, dim}}, func(in []*gorgonia.Node) *gorgonia.Node {
		noise.ops = 0
		return gorgonia.Must(dropout(in[0], rate, noise))
	}, func(in [][]float64) []float64 {
		y := make([]float64, len(in[0]))
		for i, v := range in[0] {
			y[i] = v * float64(mask[i])
		}
		return y
	})
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
