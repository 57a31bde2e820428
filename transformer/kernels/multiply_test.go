package kernels

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func randomFloats(rng *rand.Rand, n int) []float32 {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(rng.NormFloat64())
	}
	return v
}

var formats = []Format{F32, F16, BF16, Q8, Q4}

// guard moves a matrix to memory that ends at an inaccessible page.
func guard(t testing.TB, m *Matrix) {
	copyOf := func(b []byte) []byte { c := guarded[byte](t, len(b)); copy(c, b); return c }
	m.weights = copyOf(m.weights)
	scales, floats, halves := guarded[uint16](t, len(m.scales)), guarded[float32](t, len(m.floats)), guarded[uint16](t, len(m.halves))
	copy(scales, m.scales)
	copy(floats, m.floats)
	copy(halves, m.halves)
	m.scales, m.floats, m.halves = scales, floats, halves
}

// seen gives the numbers of an input as the matrix sees them: quantised, if it is.
func (in *Input) seen(i, col int) float64 {
	if in.quantised {
		g := in.quant[col/groupSize*in.n+i]
		return float64(g.values[col%groupSize]) * float64(g.scale)
	}
	block := i / inputRows
	return float64(in.floats[block*inputRows*in.cols+col*min(inputRows, in.n-block*inputRows)+i%inputRows])
}

func checkMultiply(t testing.TB, pool *Pool, format Format, rows, cols, n int, add bool) {
	rng := rand.New(rand.NewPCG(uint64(rows), uint64(cols)))
	m := NewMatrix(format, rows, cols)
	require.NoError(t, m.SetFloats(0, randomFloats(rng, rows*cols)))
	guard(t, m)
	var in Input
	in.Reset(format, n, cols)
	in.quant = guarded[quantGroup](t, len(in.quant))
	in.floats = guarded[float32](t, len(in.floats))
	x := guarded[float32](t, cols)
	for i := range n {
		copy(x, randomFloats(rng, cols))
		in.Set(i, x)
	}
	step := rows + 3
	out := guarded[float32](t, (n-1)*step+rows)
	copy(out, randomFloats(rng, len(out)))
	before := append([]float32(nil), out...)
	if !add {
		out[0] = float32(math.NaN()) // must not be read
	}
	Multiply(pool, &in, Product{W: m, Out: out, Step: step, Add: add})

	seen := make([]float64, n*cols)
	for i := range n {
		for c := range cols {
			seen[i*cols+c] = in.seen(i, c)
		}
	}
	w := make([]float32, cols)
	for r := range rows {
		m.Row(r, w)
		for i := range n {
			var want, size float64
			for c, v := range seen[i*cols:][:cols] {
				p := float64(w[c]) * v
				want += p
				size += math.Abs(p)
			}
			if add {
				want += float64(before[i*step+r])
			}
			if got := float64(out[i*step+r]); !(math.Abs(got-want) <= 1e-6*size+1e-6) {
				require.InDelta(t, want, got, 1e-6*size+1e-6, "%s %d rows, %d columns, %d inputs, add %t: row %d of input %d", format, rows, cols, n, add, r, i)
			}
		}
	}
	for i := range n - 1 { // what lies between the outputs is left alone
		require.True(t, slices.Equal(before[i*step+rows:(i+1)*step], out[i*step+rows:(i+1)*step]))
	}
}

func TestMultiplyAgreesWithFloat64(t *testing.T) {
	pool := NewPool(3)
	defer pool.Close()
	onEachLevel(t, func(t *testing.T) {
		for _, format := range formats {
			for _, size := range [][3]int{
				{1, 1, 1}, {3, 31, 1}, {16, 32, 1}, {17, 33, 1}, {100, 63, 1}, {288, 288, 1}, {65, 600, 1}, {300, 500, 1},
				{1, 1, 2}, {31, 3, 3}, {32, 32, 5}, {33, 100, 7}, {16, 64, 12}, {50, 65, 13}, {33, 300, 33}, {63, 31, 70}, {130, 31, 100},
			} {
				for _, add := range []bool{false, true} {
					checkMultiply(t, nil, format, size[0], size[1], size[2], add)
				}
				checkMultiply(t, pool, format, size[0], size[1], size[2], false)
			}
		}
	})
}

func FuzzMultiply(f *testing.F) {
	f.Add(uint8(3), uint16(17), uint16(33), uint8(2), true)
	f.Fuzz(func(t *testing.T, format uint8, rows, cols uint16, n uint8, add bool) {
		defer func(l Level) { level = l }(level)
		for _, level = range supported() {
			checkMultiply(t, nil, formats[int(format)%len(formats)], int(rows)%200+1, int(cols)%400+1, int(n)%70+1, add)
		}
	})
}

func TestMultiplyTakesSeveralMatrices(t *testing.T) {
	pool := NewPool(2)
	defer pool.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	const cols, n = 96, 40
	a, b := NewMatrix(Q8, 40, cols), NewMatrix(Q4, 70, cols)
	require.NoError(t, a.SetFloats(0, randomFloats(rng, 40*cols)))
	require.NoError(t, b.SetFloats(0, randomFloats(rng, 70*cols)))
	var in Input
	in.Reset(Q8, n, cols)
	for i := range n {
		in.Set(i, randomFloats(rng, cols))
	}
	alone, together := [2][]float32{make([]float32, n*40), make([]float32, n*70)}, [2][]float32{make([]float32, n*40), make([]float32, n*70)}
	Multiply(nil, &in, Product{W: a, Out: alone[0], Step: 40})
	Multiply(nil, &in, Product{W: b, Out: alone[1], Step: 70})
	Multiply(pool, &in, Product{W: a, Out: together[0], Step: 40}, Product{W: b, Out: together[1], Step: 70})
	require.Equal(t, alone, together)
	require.Zero(t, testing.AllocsPerRun(10, func() {
		Multiply(pool, &in, Product{W: a, Out: together[0], Step: 40}, Product{W: b, Out: together[1], Step: 70})
	}))
}

func TestMultiplyRefusesWhatDoesNotFit(t *testing.T) {
	m := NewMatrix(Q8, 8, 64)
	var in Input
	in.Reset(Q8, 2, 64)
	require.Panics(t, func() { Multiply(nil, &in, Product{W: m, Out: make([]float32, 15), Step: 8}) })
	require.Panics(t, func() { Multiply(nil, &in, Product{W: m, Out: make([]float32, 16), Step: 7}) })
	in.Reset(Q8, 2, 32)
	require.Panics(t, func() { Multiply(nil, &in, Product{W: m, Out: make([]float32, 16), Step: 8}) })
	in.Reset(F32, 2, 64)
	require.Panics(t, func() { Multiply(nil, &in, Product{W: m, Out: make([]float32, 16), Step: 8}) })
	require.Panics(t, func() { in.Set(2, make([]float32, 64)) })
	require.Panics(t, func() { in.Set(0, make([]float32, 63)) })
}

// The bytes are those that GGML writes, put together by hand.
func TestSetRowsReadsFiles(t *testing.T) {
	const rows, cols = 3, 64
	want := make([]float32, rows*cols)
	for _, format := range formats {
		t.Run(format.String(), func(t *testing.T) {
			var file []byte
			for i := range want {
				want[i] = float32(i%16-8) * 0.5 // exact in every format
			}
			for r := range rows {
				row := want[r*cols:][:cols]
				switch format {
				case F32:
					for _, v := range row {
						file = binary.LittleEndian.AppendUint32(file, math.Float32bits(v))
					}
				case F16, BF16:
					for _, v := range row {
						if format == F16 {
							file = binary.LittleEndian.AppendUint16(file, floatToHalf(v))
						} else {
							file = binary.LittleEndian.AppendUint16(file, floatToBfloat(v))
						}
					}
				default:
					for g := 0; g < cols; g += 32 {
						file = append(file, 0x00, 0x38) // 0.5
						if format == Q8 {
							for _, v := range row[g : g+32] {
								file = append(file, byte(int8(v*2)))
							}
							continue
						}
						for i := range 16 {
							file = append(file, byte(row[g+i]*2+8)|byte(row[g+i+16]*2+8)<<4)
						}
					}
				}
			}
			m := NewMatrix(format, rows, cols)
			require.Equal(t, len(file), rows*format.RowBytes(cols))
			require.NoError(t, m.SetRows(1, file[:2*format.RowBytes(cols)]))
			require.NoError(t, m.SetRows(0, file[:format.RowBytes(cols)]))
			require.NoError(t, m.SetRows(1, file[format.RowBytes(cols):]))
			got := make([]float32, cols)
			for r := range rows {
				m.Row(r, got)
				require.Equal(t, want[r*cols:][:cols], got)
			}
			require.ErrorContains(t, m.SetRows(2, file), "rows 2 to 5 of a matrix of 3")
			require.ErrorContains(t, m.SetRows(0, file[1:]), "whole rows")
			require.ErrorContains(t, m.SetRows(-1, file), "rows -1")
			require.ErrorContains(t, m.SetFloats(0, want[1:]), "whole rows")
			require.ErrorContains(t, m.SetFloats(1, want), "rows 1 to 4")
		})
	}
	require.ErrorContains(t, NewMatrix(Q8, 1, 33).SetRows(0, nil), "groups of 32")
}

// What rounding to eight and four bits may cost at most.
func TestQuantisedWeightsStayNear(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	w := randomFloats(rng, 32*7)
	w[5], w[6] = 0, 1e-9
	for format, levels := range map[Format]float64{Q8: 127, Q4: 8} {
		m := NewMatrix(format, 7, 32)
		require.NoError(t, m.SetFloats(0, w))
		got := make([]float32, 32)
		for r := range 7 {
			m.Row(r, got)
			var most float64
			for _, v := range w[r*32:][:32] {
				most = max(most, math.Abs(float64(v)))
			}
			for i, v := range w[r*32:][:32] {
				require.InDelta(t, v, got[i], most/levels*1.01, fmt.Sprint(format, r, i))
			}
		}
	}
	zeros := NewMatrix(Q8, 1, 32)
	got := []float32{31: 1}
	zeros.Row(0, got)
	require.Equal(t, make([]float32, 32)[1:], got[1:])
}

func TestInputsAreQuantisedAlikeOnEveryLevel(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	const cols, n = 100, 3
	x := randomFloats(rng, n*cols)
	clear(x[32:64])
	x[70] = 1e-38 // its group's scale is what overflows when inverted
	for i := 64; i < 96; i++ {
		x[i] = 1e-38
	}
	var want Input
	level0 := level
	level = Plain
	want.Reset(Q8, n, cols)
	for i := range n {
		want.Set(i, x[i*cols:][:cols])
	}
	level = level0
	onEachLevel(t, func(t *testing.T) {
		var in Input
		in.Reset(Q4, n, cols)
		for i := range n {
			in.Set(i, x[i*cols:][:cols])
		}
		require.Equal(t, want.quant, in.quant)
		for i := range n {
			for c := range cols {
				g := in.quant[c/32*n+i]
				require.InDelta(t, x[i*cols+c], in.seen(i, c), float64(g.scale)*0.5001+1e-30)
			}
		}
	})
}
