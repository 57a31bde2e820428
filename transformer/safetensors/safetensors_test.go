package safetensors

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// file builds a file of a header and data bytes.
func file(header string, data int) []byte {
	out := binary.LittleEndian.AppendUint64(nil, uint64(len(header)))
	out = append(out, header...)
	return append(out, make([]byte, data)...)
}

func TestRoundTrip(t *testing.T) {
	a, err := New("b.weight", F32, []int{2, 3}, []float32{1, -2, 3.5, float32(math.Inf(1)), 0, 1e-40})
	require.NoError(t, err)
	b, err := New("a.weight", BF16, []int{3}, []float32{1, -2, 0.15625})
	require.NoError(t, err)
	scalar, err := New("scalar", F32, nil, []float32{7})
	require.NoError(t, err)
	empty, err := New("empty", F32, []int{0, 4}, nil)
	require.NoError(t, err)

	var out, other bytes.Buffer
	require.NoError(t, Write(&out, []Tensor{b, a, scalar, empty}, map[string]string{"format": "pt"}))
	require.NoError(t, Write(&other, []Tensor{empty, scalar, a, b}, map[string]string{"format": "pt"}))
	require.Equal(t, out.Bytes(), other.Bytes(), "the order of tensors must not show")
	require.Zero(t, binary.LittleEndian.Uint64(out.Bytes())%8, "data is aligned")

	f, err := Parse(out.Bytes())
	require.NoError(t, err)
	require.Equal(t, map[string]string{"format": "pt"}, f.Metadata)
	require.Len(t, f.Tensors, 4)
	byName := map[string]Tensor{}
	for _, tensor := range f.Tensors {
		byName[tensor.Name] = tensor
	}
	require.Equal(t, a, byName["b.weight"])
	require.Equal(t, []float32{1, -2, 3.5, float32(math.Inf(1)), 0, 1e-40}, byName["b.weight"].Float32s())
	require.Equal(t, []float32{1, -2, 0.15625}, byName["a.weight"].Float32s())
	require.Equal(t, []float32{7}, byName["scalar"].Float32s())
	require.Equal(t, []int{0, 4}, byName["empty"].Shape)
}

func TestBF16Rounds(t *testing.T) {
	for _, c := range []struct {
		in   uint32
		want uint16
	}{
		{0x3f800000, 0x3f80},
		{0x3f808000, 0x3f80}, // half way: to even
		{0x3f818000, 0x3f82}, // half way: to even
		{0x3f808001, 0x3f81},
		{0x3f807fff, 0x3f80},
		{0xff800000, 0xff80}, // -infinity
		{0x7f7fffff, 0x7f80}, // the largest float32 is beyond bfloat16's
	} {
		require.Equal(t, c.want, toBF16(math.Float32frombits(c.in)), "%#x", c.in)
	}
	nan := toBF16(math.Float32frombits(0x7f800001))
	require.True(t, math.IsNaN(float64(math.Float32frombits(uint32(nan)<<16))))
}

// All 65,536 halves against the definition of IEEE 754 binary16, in float64.
func TestF16Widens(t *testing.T) {
	for bits := range 1 << 16 {
		h := uint16(bits)
		sign, exponent, mantissa := 1.0, int(h>>10&31), float64(h&1023)
		if h>>15 == 1 {
			sign = -1
		}
		got := float64(fromF16(h))
		switch {
		case exponent == 31 && mantissa != 0:
			require.True(t, math.IsNaN(got))
		case exponent == 31:
			require.Equal(t, math.Inf(int(sign)), got)
		case exponent == 0:
			require.Equal(t, sign*mantissa*0x1p-24, got)
		default:
			require.Equal(t, sign*math.Ldexp(1+mantissa/1024, exponent-15), got)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	const f32 = `{"dtype":"F32","shape":[2],"data_offsets":[0,8]}`
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"nothing", nil, "too few"},
		{"a header longer than the file", binary.LittleEndian.AppendUint64(nil, 50), "ends after the file"},
		{"a header length of 2^64-1", binary.LittleEndian.AppendUint64(nil, math.MaxUint64), "over the bound"},
		{"no JSON", file("hello", 0), "not a JSON object"},
		{"an array", file("[]", 0), "not a JSON object"},
		{"an open object", file(`{"a":`, 0), "EOF"},
		{"two values", file(`{}{}`, 0), "more than one"},
		{"an empty header", file("", 0), "not a JSON object"},
		{"a tensor that is a number", file(`{"a":1}`, 0), `"a"`},
		{"a name twice", file(`{"a":`+f32+`,"a":`+f32+`}`, 8), "twice"},
		{"metadata twice", file(`{"__metadata__":{},"__metadata__":{}}`, 0), "twice"},
		{"metadata that is not text", file(`{"__metadata__":{"a":1}}`, 0), "__metadata__"},
		{"an unknown type", file(`{"a":{"dtype":"I64","shape":[1],"data_offsets":[0,8]}}`, 8), "I64"},
		{"an unknown key", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8],"x":1}}`, 8), "unknown field"},
		{"one offset", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0]}}`, 8), "two numbers"},
		{"offsets outside", file(`{"a":`+f32+`}`, 7), "outside the data"},
		{"negative offsets", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[-8,0]}}`, 8), "outside the data"},
		{"offsets in reverse", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[8,0]}}`, 8), "outside the data"},
		{"an offset of 2^63", file(`{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,9223372036854775808]}}`, 8), "cannot unmarshal"},
		{"a shape that disagrees", file(`{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,8]}}`, 8), "wants 12 bytes, has 8"},
		{"a negative extent", file(`{"a":{"dtype":"F32","shape":[-1,-2],"data_offsets":[0,8]}}`, 8), "negative"},
		{"a shape that overflows", file(`{"a":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,8]}}`, 8), "too large"},
		{"an overlap", file(`{"a":`+f32+`,"b":{"dtype":"F32","shape":[2],"data_offsets":[4,12]}}`, 12), "overlap"},
		{"shared bytes", file(`{"a":`+f32+`,"b":`+f32+`}`, 8), "overlap"},
		{"a gap", file(`{"a":`+f32+`,"b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}}`, 16), "belong to no tensor"},
		{"bytes at the end", file(`{"a":`+f32+`}`, 9), "belong to no tensor"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse(c.data)
			require.ErrorContains(t, err, c.want)
		})
	}
}

func TestWriteRefuses(t *testing.T) {
	ok := Tensor{Name: "a", DType: F32, Shape: []int{1}, Data: make([]byte, 4)}
	for _, c := range []struct {
		name    string
		tensors []Tensor
	}{
		{"a name twice", []Tensor{ok, ok}},
		{"the reserved name", []Tensor{{Name: "__metadata__", DType: F32, Shape: []int{1}, Data: make([]byte, 4)}}},
		{"an unknown type", []Tensor{{Name: "a", DType: "I8", Shape: []int{4}, Data: make([]byte, 4)}}},
		{"too little data", []Tensor{{Name: "a", DType: F32, Shape: []int{2}, Data: make([]byte, 4)}}},
		{"a negative extent", []Tensor{{Name: "a", DType: F32, Shape: []int{-1}, Data: make([]byte, 4)}}},
	} {
		t.Run(c.name, func(t *testing.T) { require.Error(t, Write(&bytes.Buffer{}, c.tensors, nil)) })
	}
	_, err := New("a", F32, []int{2}, []float32{1})
	require.ErrorContains(t, err, "wants 2 values")
	_, err = New("a", F16, []int{1}, []float32{1})
	require.ErrorContains(t, err, "cannot be written")
	require.ErrorIs(t, Write(failing{}, []Tensor{ok}, nil), errFailing)
}

var errFailing = errors.New("no space")

type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errFailing }

func FuzzParse(f *testing.F) {
	a, _ := New("a", F32, []int{2, 1}, []float32{1, 2})
	b, _ := New("b", BF16, []int{3}, []float32{1, 2, 3})
	var out bytes.Buffer
	require.NoError(f, Write(&out, []Tensor{a, b}, map[string]string{"k": "v"}))
	f.Add(out.Bytes())
	f.Add(file(`{"a":{"dtype":"F16","shape":[],"data_offsets":[0,2]}}`, 2))
	f.Add(file(`{"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}}`, 0))
	f.Add(file(strings.Repeat(`{"a":`, 100), 0))
	f.Fuzz(func(t *testing.T, data []byte) {
		parsed, err := Parse(data)
		if err != nil {
			return
		}
		total := 0
		for _, tensor := range parsed.Tensors {
			if n := len(tensor.Float32s()); n != tensor.Len() {
				t.Fatalf("%d values of %d", n, tensor.Len())
			}
			total += len(tensor.Data)
		}
		if header := binary.LittleEndian.Uint64(data); total != len(data)-8-int(header) {
			t.Fatalf("the tensors hold %d bytes of %d", total, len(data)-8-int(header))
		}
		var again bytes.Buffer
		if err := Write(&again, parsed.Tensors, parsed.Metadata); err != nil {
			t.Fatalf("what was accepted cannot be written: %v", err)
		}
		if _, err := Parse(again.Bytes()); err != nil {
			t.Fatalf("what was written is refused: %v", err)
		}
	})
}

func ExampleTensor() {
	t, _ := New("norm.weight", BF16, []int{2}, []float32{1, 0.5})
	fmt.Println(t.DType, t.Shape, len(t.Data), t.Float32s())
	// Output: BF16 [2] 4 [1 0.5]
}
