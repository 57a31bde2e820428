package gguf

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// pending makes a tensor to write of values.
func pending(t testing.TB, name string, kind Type, shape []int, values []float32) Pending {
	t.Helper()
	data, err := Encode(kind, nil, values)
	require.NoError(t, err)
	return Pending{Name: name, Type: kind, Shape: shape, Data: func() ([]byte, error) { return data, nil }}
}

func metadata(t testing.TB, entries ...KV) *Metadata {
	t.Helper()
	m, err := NewMetadata(entries)
	require.NoError(t, err)
	return m
}

func file(t testing.TB, m *Metadata, tensors ...Pending) []byte {
	t.Helper()
	var out bytes.Buffer
	require.NoError(t, Write(&out, m, tensors))
	return out.Bytes()
}

func ramp(n int) []float32 {
	out := make([]float32, n)
	for i := range out {
		out[i] = float32(i-n/2) / 4
	}
	return out
}

func TestRoundTrip(t *testing.T) {
	entries := []KV{
		{"u8", uint8(200)}, {"i8", int8(-3)}, {"u16", uint16(60000)}, {"i16", int16(-300)}, {"u32", uint32(1 << 31)}, {"i32", int32(-1 << 31)},
		{"f32", float32(1.5)}, {"bool", true}, {"no", false}, {"text", "é\x00"}, {"u64", uint64(1 << 63)}, {"i64", int64(-1 << 63)}, {"f64", math.Pi},
		{"list.u8", []uint8{1, 2}}, {"list.i8", []int8{-1}}, {"list.u16", []uint16{3}}, {"list.i16", []int16{-4}}, {"list.u32", []uint32{5, 6}},
		{"list.i32", []int32{-7}}, {"list.f32", []float32{1, 2}}, {"list.bool", []bool{true, false}}, {"list.text", []string{"", "a", "bc"}},
		{"list.u64", []uint64{8}}, {"list.i64", []int64{-9}}, {"list.f64", []float64{0.5}}, {"empty", []string{}},
	}
	for _, alignment := range []uint32{0, 8, 64} {
		all := entries
		if alignment > 0 {
			all = append(all, KV{alignmentKey, alignment})
		}
		data := file(t, metadata(t, all...),
			pending(t, "a", F32, []int{3}, []float32{1, -2, 3.5}), pending(t, "b", F16, []int{2, 2}, []float32{1, 2, 3, 4}),
			pending(t, "c", BF16, []int{1, 2, 1, 1}, []float32{1, 2}), pending(t, "d", Q8_0, []int{2, 32}, ramp(64)))
		f, err := Parse(data)
		require.NoError(t, err)
		require.Equal(t, 3, f.Version)
		require.Equal(t, all, f.Metadata.Entries())
		require.Len(t, f.Tensors, 4)
		require.Equal(t, []float32{1, -2, 3.5}, f.Tensors[0].Float32s())
		require.Equal(t, []int{1, 2, 1, 1}, f.Tensors[2].Shape)
		require.Equal(t, 2, f.Tensors[3].Rows())
		require.Len(t, f.Tensors[3].Row(1), 34)
		require.Equal(t, 64, f.Tensors[3].Len())

		var again []Pending
		for _, tensor := range f.Tensors {
			again = append(again, Pending{tensor.Name, tensor.Type, tensor.Shape, func() ([]byte, error) { return tensor.Data, nil }})
		}
		require.Equal(t, data, file(t, f.Metadata, again...))
	}
}

func TestGetters(t *testing.T) {
	m := metadata(t, KV{"n", uint16(7)}, KV{"huge", uint64(math.MaxUint64)}, KV{"f", float32(0.5)}, KV{"s", "x"}, KV{"ids", []int32{-1, 2}})
	n, ok, err := m.Int("n")
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, 7, n)
	_, ok, err = m.Int("absent")
	require.NoError(t, err)
	require.False(t, ok)
	_, _, err = m.Int("huge")
	require.ErrorContains(t, err, "too large")
	_, _, err = m.Int("s")
	require.ErrorContains(t, err, `"s"`)
	f, _, err := m.Float("f")
	require.NoError(t, err)
	require.Equal(t, 0.5, f)
	_, _, err = m.String("n")
	require.ErrorContains(t, err, "not a string")
	ids, _, err := m.Ints("ids")
	require.NoError(t, err)
	require.Equal(t, []int{-1, 2}, ids)
	_, err = NewMetadata([]KV{{"a", 1}})
	require.ErrorContains(t, err, "no type")
}

// All halves against the definition of IEEE 754 binary16, and each is what its neighbours round to.
func TestHalf(t *testing.T) {
	for bits := range 1 << 16 {
		h := uint16(bits)
		sign, exponent, mantissa := 1.0, int(h>>10&31), float64(h&1023)
		if h>>15 == 1 {
			sign = -1
		}
		got := float64(fromHalf(h))
		switch {
		case exponent == 31 && mantissa != 0:
			require.True(t, math.IsNaN(got))
			require.True(t, math.IsNaN(float64(fromHalf(toHalf(float32(got))))))
			continue
		case exponent == 31:
			require.Equal(t, math.Inf(int(sign)), got)
		case exponent == 0:
			require.Equal(t, sign*mantissa*0x1p-24, got)
		default:
			require.Equal(t, sign*math.Ldexp(1+mantissa/1024, exponent-15), got)
		}
		require.Equal(t, h, toHalf(float32(got)))
	}
	for _, c := range []struct {
		in   float32
		want uint16
	}{
		{1 + 0x1p-11, 0x3c00}, {1 + 0x3p-11, 0x3c02}, // half way: to even
		{65519, 0x7bff}, {65520, 0x7c00}, {1e9, 0x7c00}, {-1e9, 0xfc00},
		{0x1p-25, 0}, {0x1.8p-25, 1}, {-0x1p-24, 0x8001}, {0x1.ffep-15, 0x0400},
	} {
		require.Equal(t, c.want, toHalf(c.in), "%v", c.in)
	}
}

// Q8_0 is off by no more than half a step of its block, which is the largest value / 127.
func TestQ8(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	values := make([]float32, 40*Block)
	for i := range values {
		values[i] = float32(r.NormFloat64()) * float32(math.Pow(10, float64(i/Block%10-5)))
	}
	clear(values[:Block])
	values[Block] = 1e-42 // a scale too small for F16
	clear(values[Block+1 : 2*Block])
	data, err := Encode(Q8_0, nil, values)
	require.NoError(t, err)
	require.Len(t, data, 40*34)
	got := Tensor{Type: Q8_0, Shape: []int{40, Block}, Data: data}.Float32s()
	for b := range 40 {
		var largest float64
		for _, v := range values[b*Block : (b+1)*Block] {
			largest = max(largest, math.Abs(float64(v)))
		}
		for i := range Block {
			at := b*Block + i
			require.InDelta(t, float64(values[at]), float64(got[at]), largest*(0.5/127+1.0/1024)+0x1p-18, "block %d", b)
		}
	}
	_, err = Encode(Q8_0, nil, values[:5])
	require.ErrorContains(t, err, "whole blocks")
	_, err = Encode(Q8_0, nil, append([]float32{1e9}, values[:31]...))
	require.ErrorContains(t, err, "too large")
	_, err = Encode(F16, nil, []float32{70000})
	require.ErrorContains(t, err, "too large")
	_, err = Encode(F32, nil, []float32{float32(math.NaN())})
	require.ErrorContains(t, err, "NaN")
	_, err = Encode(Q4_0, nil, values)
	require.ErrorContains(t, err, "cannot be written")
}

func TestQ4(t *testing.T) {
	data := binary.LittleEndian.AppendUint16(nil, 0x3800) // 0.5
	for i := range 16 {
		data = append(data, byte(i|(15-i)<<4))
	}
	got := Tensor{Type: Q4_0, Shape: []int{Block}, Data: data}.Float32s()
	for i := range 16 {
		require.Equal(t, 0.5*float32(i-8), got[i])
		require.Equal(t, 0.5*float32(15-i-8), got[i+16])
	}
}

func TestCheckFinite(t *testing.T) {
	for _, c := range []struct {
		kind Type
		bits uint16
		want string
	}{{F16, 0x7c00, "+Inf at 3"}, {F16, 0x7e00, "NaN at 3"}, {BF16, 0xff80, "-Inf at 3"}, {Q8_0, 0x7e00, "scale of block 3 is NaN"}, {Q4_0, 0x7c00, "scale of block 3 is +Inf"}} {
		_, size := c.kind.Layout()
		tensor := Tensor{Name: "x", Type: c.kind, Data: make([]byte, 8*size)}
		require.NoError(t, tensor.CheckFinite())
		binary.LittleEndian.PutUint16(tensor.Data[3*size:], c.bits)
		require.ErrorContains(t, tensor.CheckFinite(), c.want)
	}
	tensor := Tensor{Name: "x", Type: F32, Data: make([]byte, 16)}
	require.NoError(t, tensor.CheckFinite())
	binary.LittleEndian.PutUint32(tensor.Data[8:], math.Float32bits(float32(math.Inf(1))))
	require.ErrorContains(t, tensor.CheckFinite(), "+Inf at 2")
}

// raw builds a file by hand, well formed or not.
type raw struct{ bytes.Buffer }

func header(version uint32, tensors, entries uint64) *raw {
	r := &raw{}
	r.WriteString(magic)
	r.num(version)
	r.num(tensors)
	r.num(entries)
	return r
}

func (r *raw) num(v any) *raw {
	_ = binary.Write(r, binary.LittleEndian, v)
	return r
}

func (r *raw) text(s string) *raw {
	r.num(uint64(len(s)))
	r.WriteString(s)
	return r
}

func (r *raw) tensor(name string, kind Type, offset uint64, extents ...uint64) *raw {
	r.text(name).num(uint32(len(extents)))
	for _, e := range extents {
		r.num(e)
	}
	return r.num(uint32(kind)).num(offset)
}

// data pads to the alignment and adds n bytes.
func (r *raw) data(n int) []byte {
	r.Write(make([]byte, padding(r.Len(), defaultAlignment)+n))
	return r.Bytes()
}

func TestParseRefuses(t *testing.T) {
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "does not start with GGUF"},
		{"another format", []byte("GGML0000"), "does not start with GGUF"},
		{"a magic alone", []byte("GGUF"), "cut short"},
		{"version 1", header(1, 0, 0).Bytes(), "version 1"},
		{"version 4", header(4, 0, 0).Bytes(), "version 4"},
		{"big-endian", header(3<<24, 0, 0).Bytes(), "big-endian"},
		{"2^63 keys", header(3, 0, 1<<63).Bytes(), "keys do not fit"},
		{"2^63 tensors", header(3, 1<<63, 0).Bytes(), "tensors do not fit"},
		{"an empty key", header(3, 0, 1).text("").num(uint32(typeUint8)).num(uint8(1)).num(uint64(0)).Bytes(), "empty"},
		{"a key of 2^40 bytes", header(3, 0, 1).num(uint64(1 << 40)).data(64), "over the bound"},
		{"a key that ends after the file", header(3, 0, 1).num(uint64(1000)).data(64), "ends after the file"},
		{"a key twice", header(3, 0, 2).text("a").num(uint32(typeUint8)).num(uint8(1)).text("a").num(uint32(typeUint8)).num(uint8(1)).data(0), "occurs twice"},
		{"a value of an unknown type", header(3, 0, 1).text("a").num(uint32(13)).data(64), "no type"},
		{"a list in a list", header(3, 0, 1).text("a").num(uint32(typeArray)).num(uint32(typeArray)).num(uint64(1)).data(64), "lists inside lists"},
		{"a list of 2^62 numbers", header(3, 0, 1).text("a").num(uint32(typeArray)).num(uint32(typeUint32)).num(uint64(1 << 62)).data(64), "end after the file"},
		{"a list of 2^62 strings", header(3, 0, 1).text("a").num(uint32(typeArray)).num(uint32(typeString)).num(uint64(1 << 62)).data(64), "do not fit"},
		{"a string of 2^63 bytes", header(3, 0, 1).text("a").num(uint32(typeString)).num(uint64(1 << 63)).data(64), "over the bound"},
		{"a bool of 2", header(3, 0, 1).text("a").num(uint32(typeBool)).num(uint8(2)).data(0), "not a bool"},
		{"an alignment of 24", header(3, 0, 1).text(alignmentKey).num(uint32(typeUint32)).num(uint32(24)).data(0), "power of two"},
		{"an alignment of 2^30", header(3, 0, 1).text(alignmentKey).num(uint32(typeUint32)).num(uint32(1 << 30)).data(0), "power of two"},
		{"an alignment that is text", header(3, 0, 1).text(alignmentKey).num(uint32(typeString)).text("32").data(0), "not an integer"},
		{"a tensor without a name", header(3, 1, 0).tensor("", F32, 0, 1).data(32), "empty"},
		{"a long name", header(3, 1, 0).tensor(strings.Repeat("x", 64), F32, 0, 1).data(32), "over the bound"},
		{"a name twice", header(3, 2, 0).tensor("a", F32, 0, 1).tensor("a", F32, 32, 1).data(64), "occurs twice"},
		{"five dimensions", header(3, 1, 0).tensor("a", F32, 0, 1, 1, 1, 1, 1).data(32), "5 dimensions"},
		{"a negative extent", header(3, 1, 0).tensor("a", F32, 0, 1<<63).data(32), "extent"},
		{"extents that overflow", header(3, 1, 0).tensor("a", F32, 0, 1<<40, 1<<40).data(32), "too large"},
		{"an unsupported format", header(3, 1, 0).tensor("a", 12, 0, 256).data(256), "Q4_K is not supported"},
		{"an unknown format", header(3, 1, 0).tensor("a", 999, 0, 256).data(256), "type 999"},
		{"half a block", header(3, 1, 0).tensor("a", Q8_0, 0, 33).data(64), "multiple of 32"},
		{"no data", header(3, 1, 0).tensor("a", F32, 0, 100).data(32), "outside the file's data"},
		{"an offset of 2^64-1", header(3, 1, 0).tensor("a", F32, math.MaxUint64, 1).data(32), "starts at"},
		{"an offset off the alignment", header(3, 2, 0).tensor("a", F32, 0, 1).tensor("b", F32, 4, 1).data(64), "starts at 4"},
		{"an overlap", header(3, 2, 0).tensor("a", F32, 0, 9).tensor("b", F32, 32, 1).data(96), "starts at 32"},
		{"shared bytes", header(3, 2, 0).tensor("a", F32, 0, 8).tensor("b", F32, 0, 8).data(96), "starts at 0"},
		{"a gap", header(3, 2, 0).tensor("a", F32, 0, 1).tensor("b", F32, 64, 1).data(96), "starts at 64"},
		{"bytes at the end", header(3, 1, 0).tensor("a", F32, 0, 1).data(64), "belong to no tensor"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(c.data)
			require.ErrorContains(t, err, c.want)
		})
	}
	// The padding after the last tensor may be missing.
	_, err := Parse(header(3, 1, 0).tensor("a", F32, 0, 1).data(4))
	require.NoError(t, err)
	whole := file(t, metadata(t, KV{"k", []string{"a", "b"}}, KV{"n", uint64(1)}), pending(t, "a", F32, []int{2, 3}, ramp(6)))
	for n := range len(whole) - 8 { // the last 8 bytes are padding
		_, err := Parse(whole[:n])
		require.Error(t, err, "cut to %d bytes", n)
	}
}

// What a file claims is held against its size before memory is asked for.
func TestAllocatesLittle(t *testing.T) {
	for _, data := range [][]byte{
		header(3, 0, 1).text("a").num(uint32(typeArray)).num(uint32(typeString)).num(uint64(100_000)).data(800_000),
		header(3, 100, 1<<15).data(1 << 20),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = Parse(data)
		runtime.ReadMemStats(&after)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, 10*uint64(len(data)))
	}
}

func TestWriteRefuses(t *testing.T) {
	ok := pending(t, "a", F32, []int{1}, []float32{1})
	m := metadata(t)
	for _, c := range []struct {
		name    string
		tensors []Pending
	}{
		{"a name twice", []Pending{ok, ok}},
		{"no name", []Pending{pending(t, "", F32, []int{1}, []float32{1})}},
		{"a shape that disagrees", []Pending{{"a", F32, []int{2}, ok.Data}}},
		{"five dimensions", []Pending{{"a", F32, []int{1, 1, 1, 1, 1}, ok.Data}}},
		{"an unknown type", []Pending{{"a", 12, []int{1}, ok.Data}}},
		{"no data", []Pending{{"a", F32, []int{1}, func() ([]byte, error) { return nil, errors.New("gone") }}}},
	} {
		t.Run(c.name, func(t *testing.T) { require.Error(t, Write(&bytes.Buffer{}, m, c.tensors)) })
	}
	require.ErrorIs(t, Write(failing{}, m, []Pending{ok}), errFailing)
}

var errFailing = errors.New("no space")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFailing }

func FuzzParse(f *testing.F) {
	f.Add(file(f, metadata(f, KV{"k", []string{"a", "b"}}, KV{"n", uint64(1)}, KV{"b", []bool{true}}, KV{alignmentKey, uint32(8)}),
		pending(f, "a", F32, []int{2, 3}, ramp(6)), pending(f, "b", Q8_0, []int{32}, ramp(32))))
	f.Add(header(3, 1, 0).tensor("a", F32, 0, 1<<40, 1<<40).data(32))
	f.Fuzz(func(t *testing.T, data []byte) {
		parsed, err := Parse(data)
		if err != nil {
			return
		}
		var again []Pending
		for _, tensor := range parsed.Tensors {
			if n := len(tensor.Float32s()); n != tensor.Len() {
				t.Fatalf("%d values of %d", n, tensor.Len())
			}
			_ = tensor.CheckFinite()
			again = append(again, Pending{tensor.Name, tensor.Type, tensor.Shape, func() ([]byte, error) { return tensor.Data, nil }})
		}
		var out bytes.Buffer
		if err := Write(&out, parsed.Metadata, again); err != nil {
			t.Fatalf("what was accepted cannot be written: %v", err)
		}
		if _, err := Parse(out.Bytes()); err != nil {
			t.Fatalf("what was written is refused: %v", err)
		}
	})
}
