package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

var lengths = []int{1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 100, 257, 1000}

// onEachLength gives a test slices that end at inaccessible pages, and begin at addresses of any kind.
func onEachLength(t *testing.T, test func(t *testing.T, rng *rand.Rand, random func() []float32)) {
	onEachLevel(t, func(t *testing.T) {
		for _, n := range lengths {
			t.Run(fmt.Sprint(n), func(t *testing.T) {
				rng := rand.New(rand.NewPCG(uint64(n), 1))
				test(t, rng, func() []float32 {
					s := guarded[float32](t, n)
					copy(s, randomFloats(rng, n))
					return s
				})
			})
		}
	})
}

func TestAdd(t *testing.T) {
	onEachLength(t, func(t *testing.T, _ *rand.Rand, random func() []float32) {
		x, y := random(), random()
		want := slices.Clone(x)
		for i := range want {
			want[i] += y[i]
		}
		Add(x, y)
		require.Equal(t, want, x)
	})
}

func TestRMSNorm(t *testing.T) {
	onEachLength(t, func(t *testing.T, _ *rand.Rand, random func() []float32) {
		x, w, out := random(), random(), random()
		RMSNorm(out, x, w, 1e-5)
		var sum float64
		for _, v := range x {
			sum += float64(v) * float64(v)
		}
		for i := range x {
			require.InDelta(t, float64(x[i])*float64(w[i])/math.Sqrt(sum/float64(len(x))+1e-5), out[i], 1e-5)
		}
		RMSNorm(x, x, w, 1e-5)
		require.Equal(t, out, x)
	})
}

func TestSwiGLU(t *testing.T) {
	onEachLength(t, func(t *testing.T, rng *rand.Rand, random func() []float32) {
		gate, up := random(), random()
		for i := range gate {
			gate[i] *= 10
		}
		gate[rng.IntN(len(gate))] = -1000
		want := make([]float64, len(gate))
		for i, g := range gate {
			want[i] = float64(g) / (1 + math.Exp(-float64(g))) * float64(up[i])
		}
		SwiGLU(gate, up)
		for i := range gate {
			require.InDelta(t, want[i], gate[i], 1e-6*math.Abs(want[i])+1e-6)
		}
	})
}

func TestSoftmax(t *testing.T) {
	onEachLength(t, func(t *testing.T, rng *rand.Rand, random func() []float32) {
		for _, by := range []float32{1, 0.125, 30, -2, 0} {
			x := random()
			if len(x) > 1 {
				x[rng.IntN(len(x))] += 500
			}
			want := make([]float64, len(x))
			shift := math.Inf(-1)
			for _, v := range x {
				shift = max(shift, float64(v)*float64(by))
			}
			var sum float64
			for i, v := range x {
				want[i] = math.Exp(float64(v)*float64(by) - shift)
				sum += want[i]
			}
			total := Softmax(x, by)
			require.InEpsilon(t, shift+math.Log(sum)+1e4, total+1e4, 1e-6)
			for i := range x {
				require.InDelta(t, want[i]/sum, x[i], 1e-5*want[i]/sum+1e-30)
			}
		}
	})
	require.Equal(t, math.Inf(-1), Softmax(nil, 1))
}

func TestExpIsNear(t *testing.T) {
	onEachLevel(t, func(t *testing.T) {
		x := make([]float32, 16)
		for v := float32(-87); v < 88; v += 0.0137 {
			for i := range x {
				x[i] = v
			}
			expSum(x, 1, 0)
			require.InEpsilon(t, math.Exp(float64(v)), x[0], 3e-7)
			require.Equal(t, x[0], x[15])
		}
		nan := []float32{float32(math.NaN()), 1000, -1000, float32(math.Inf(-1)), 8: 0}
		expSum(nan, 1, 0)
		require.True(t, math.IsNaN(float64(nan[0])))
		require.False(t, math.IsInf(float64(nan[1]), 1))
		require.InDelta(t, 0, nan[2], 1e-37)
		require.InDelta(t, 0, nan[3], 1e-37)
	})
}

func TestRotate(t *testing.T) {
	onEachLength(t, func(t *testing.T, rng *rand.Rand, random func() []float32) {
		cos, sin := random(), random()
		half := len(cos)
		const heads = 3
		x := guarded[float32](t, heads*2*half)
		for _, pairs := range []bool{false, true} {
			copy(x, randomFloats(rng, len(x)))
			want := make([]float64, len(x))
			for h := range heads {
				for i := range half {
					a, b := h*2*half+i, h*2*half+half+i
					if pairs {
						a, b = h*2*half+2*i, h*2*half+2*i+1
					}
					c, s := float64(cos[i]), float64(sin[i])
					want[a] = float64(x[a])*c - float64(x[b])*s
					want[b] = float64(x[b])*c + float64(x[a])*s
				}
			}
			if pairs {
				RotatePairs(x, cos, sin)
			} else {
				RotateHalves(x, cos, sin)
			}
			for i := range x {
				require.InDelta(t, want[i], x[i], 1e-5)
			}
		}
	})
}

func TestHalfIsExact(t *testing.T) {
	onEachLevel(t, func(t *testing.T) {
		all := make([]uint16, 1<<16)
		for i := range all {
			all[i] = uint16(i)
		}
		floats, back := make([]float32, len(all)), make([]uint16, len(all))
		FromHalf(floats, all)
		ToHalf(back, floats)
		for i, f := range floats {
			if all[i]&0x7fff > 0x7c00 {
				if f == f || back[i]&0x7fff <= 0x7c00 {
					t.Fatalf("%#x, a NaN, becomes %g and then %#x", all[i], f, back[i])
				}
				continue
			}
			if all[i] != back[i] || halfToFloat(all[i]) != f {
				t.Fatalf("%#x becomes %g and then %#x", all[i], f, back[i])
			}
		}
	})
	require.EqualValues(t, 1.5, halfToFloat(0x3e00))
	require.EqualValues(t, 65504, halfToFloat(0x7bff))
	require.EqualValues(t, 1.0/(1<<24), halfToFloat(1))
	require.EqualValues(t, -2, halfToFloat(0xc000))
}

func TestHalfRounds(t *testing.T) {
	onEachLength(t, func(t *testing.T, rng *rand.Rand, random func() []float32) {
		x := random()
		for i := range x {
			x[i] *= float32(math.Pow(2, rng.Float64()*50-30))
		}
		half := guarded[uint16](t, len(x))
		ToHalf(half, x)
		back := guarded[float32](t, len(x))
		FromHalf(back, half)
		for i, v := range x {
			require.Equal(t, floatToHalf(v), half[i], "%g", v)
			if math.Abs(float64(v)) < 65504 {
				require.InDelta(t, v, back[i], math.Abs(float64(v))/2048+1.0/(1<<25))
			}
		}
	})
	for f, want := range map[float32]uint16{1 + 1.0/2048: 0x3c00, 1 + 3.0/2048: 0x3c02, 65519: 0x7bff, 65520: 0x7c00, 1.0 / (1 << 25): 0, 1.5 / (1 << 25): 1, -1e10: 0xfc00} {
		require.Equal(t, want, floatToHalf(f), "%g", f)
	}
	for f, want := range map[float32]uint16{1: 0x3f80, 1 + 1.0/256: 0x3f80, 1 + 3.0/256: 0x3f82, -2: 0xc000, 3.4e38: 0x7f80} {
		require.Equal(t, want, floatToBfloat(f), "%g", f)
	}
	require.True(t, math.IsNaN(float64(bfloatToFloat(floatToBfloat(float32(math.NaN()))))))
}

func TestArgMaxAndTopK(t *testing.T) {
	onEachLength(t, func(t *testing.T, rng *rand.Rand, random func() []float32) {
		x := random()
		for i := range x { // many are equal
			x[i] = float32(math.Round(float64(x[i]) * 3))
		}
		if len(x) > 5 {
			x[rng.IntN(len(x))] = float32(math.NaN())
			x[rng.IntN(len(x))] = float32(math.Inf(-1))
		}
		var want []int32
		for i, v := range x {
			if v == v {
				want = append(want, int32(i))
			}
		}
		slices.SortStableFunc(want, func(a, b int32) int {
			switch {
			case x[a] > x[b]:
				return -1
			case x[a] < x[b]:
				return 1
			default:
				return 0
			}
		})
		require.EqualValues(t, want[0], ArgMax(x))
		for _, k := range []int{0, 1, 2, 5, 40, len(x), len(x) + 3} {
			top := make([]int32, k)
			n := TopK(top, x)
			require.Equal(t, want[:min(k, len(want))], append([]int32{}, top[:n]...))
		}
	})
	nan, inf := float32(math.NaN()), float32(math.Inf(-1))
	require.Equal(t, -1, ArgMax(nil))
	require.Equal(t, -1, ArgMax([]float32{nan, nan}))
	require.Equal(t, 1, ArgMax([]float32{nan, inf, inf}))
	require.Equal(t, 1, TopK(make([]int32, 2), []float32{nan, inf}))
	require.Equal(t, 0, TopK(make([]int32, 2), nil))
}

// What a step of a 110M model does beside its products, for one token.
func BenchmarkVector(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 2))
	x, y, w := randomFloats(rng, 768), randomFloats(rng, 768), randomFloats(rng, 768)
	gate, up := randomFloats(rng, 2048), randomFloats(rng, 2048)
	logits, top := randomFloats(rng, 32000), make([]int32, 40)
	var in Input
	in.Reset(Q8, 1, 768)
	for name, f := range map[string]func(){
		"Add":          func() { Add(x, y) },
		"RMSNorm":      func() { RMSNorm(y, x, w, 1e-5) },
		"Input.Set":    func() { in.Set(0, y) },
		"RotateHalves": func() { RotateHalves(x, w[:32], y[:32]) },
		"RotatePairs":  func() { RotatePairs(x, w[:32], y[:32]) },
		"SwiGLU":       func() { SwiGLU(gate, up) },
		"Softmax32000": func() { Softmax(logits, 1) },
		"ArgMax32000":  func() { ArgMax(logits) },
		"TopK32000":    func() { TopK(top, logits) },
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				f()
			}
		})
	}
}

func TestExpSum(t *testing.T) {
	for _, n := range []int{1, 7, 16, 100, 1001} {
		x := randomFloats(rand.New(rand.NewPCG(uint64(n), 1)), n)
		var want float64
		for _, v := range x {
			want += math.Exp(float64(v) - 2)
		}
		first := x[0]
		require.InEpsilon(t, want, ExpSum(x, 2), 1e-5)
		require.InEpsilon(t, math.Exp(float64(first)-2), x[0], 1e-5)
	}
}
