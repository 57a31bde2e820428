package gguf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
)

const (
	magic            = "GGUF"
	version          = 3 // written; 2 has the same layout and is read, too
	defaultAlignment = 32
	maxAlignment     = 1 << 16
	alignmentKey     = "general.alignment"
	maxDimensions    = 4
	maxName          = 63      // bytes of a tensor's name: llama.cpp's bound
	maxKey           = 1 << 16 // bytes of a metadata key: the format's bound
)

// The least bytes that an entry takes in the file: what bounds the counts of a file before anything is allocated.
const (
	leastKV     = 8 + 1 + 4 + 1     // length, key, type, value
	leastTensor = 8 + 1 + 4 + 4 + 8 // length, name, dimensions, type, offset
	leastString = 8
)

// Parse checks a whole file and gives its metadata and its tensors, whose Data alias data. It refuses what is cut short, lists
// inside lists, keys and names that are empty, too long or occur twice, number formats that it does not know, shapes that do not agree
// with the bytes, and tensors that do not follow one another in order, each on the file's alignment: so none can overlap
// another, and there are no bytes between them.
func Parse(data []byte) (*File, error) {
	f, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("gguf: %w", err)
	}
	return f, nil
}

func parse(data []byte) (*File, error) {
	r := &reader{data: data}
	if string(r.take(4)) != magic {
		return nil, errors.New("the file does not start with GGUF")
	}
	f := &File{Version: int(r.uint32())}
	tensors, entries := r.uint64(), r.uint64()
	switch {
	case r.failed:
		return nil, errShort
	case f.Version&0xffff == 0:
		return nil, errors.New("the file is big-endian, which is not supported")
	case f.Version < 2 || f.Version > version:
		return nil, fmt.Errorf("version %d is not supported, only 2 and 3", f.Version)
	case entries > uint64(r.left()/leastKV):
		return nil, fmt.Errorf("%d keys do not fit the file", entries)
	case tensors > uint64(r.left()/leastTensor):
		return nil, fmt.Errorf("%d tensors do not fit the file", tensors)
	}
	var err error
	if f.Metadata, err = r.metadata(int(entries)); err != nil {
		return nil, err
	}
	alignment, err := f.Metadata.alignment()
	if err != nil {
		return nil, err
	}
	f.Tensors = make([]Tensor, tensors)
	offsets := make([]uint64, tensors)
	seen := make(map[string]bool, tensors)
	for i := range f.Tensors {
		t := &f.Tensors[i]
		if *t, offsets[i], err = r.tensor(); err != nil {
			return nil, fmt.Errorf("tensor %d: %w", i, err)
		}
		if seen[t.Name] {
			return nil, fmt.Errorf("tensor %q occurs twice", t.Name)
		}
		seen[t.Name] = true
	}
	if len(f.Tensors) == 0 {
		return f, nil
	}
	if r.take(padding(r.at, alignment)); r.failed {
		return nil, errShort
	}
	return f, f.place(data[r.at:], offsets, alignment)
}

// alignment is what tensors start on, in bytes after the header.
func (m *Metadata) alignment() (int, error) {
	n, ok, err := m.Int(alignmentKey)
	switch {
	case err != nil:
		return 0, err
	case !ok:
		return defaultAlignment, nil
	case n < 1 || n > maxAlignment || n&(n-1) != 0:
		return 0, fmt.Errorf("%s is %d, must be a power of two up to %d", alignmentKey, n, maxAlignment)
	}
	return n, nil
}

// place gives each tensor its bytes of body.
func (f *File) place(body []byte, offsets []uint64, alignment int) error {
	at := 0
	for i := range f.Tensors {
		t := &f.Tensors[i]
		size, err := t.Type.Size(t.Shape)
		if err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if offsets[i] != uint64(at) {
			return fmt.Errorf("tensor %q starts at %d, but %d is where the tensor before it ends", t.Name, offsets[i], at)
		}
		if size > len(body)-at {
			return fmt.Errorf("tensor %q: %d bytes at %d are outside the file's data (%d bytes)", t.Name, size, at, len(body))
		}
		t.Data = body[at : at+size : at+size]
		at += size
		pad := padding(at, alignment)
		if i == len(f.Tensors)-1 {
			pad = min(pad, len(body)-at)
		}
		if at += pad; at > len(body) {
			return errShort
		}
	}
	if at != len(body) {
		return fmt.Errorf("%d bytes at the end belong to no tensor", len(body)-at)
	}
	return nil
}

// padding is how many bytes lie between at and the next multiple of alignment.
func padding(at, alignment int) int { return -at & (alignment - 1) }

var errShort = errors.New("the file is cut short")

// reader walks through the header. After a failure it gives zeros.
type reader struct {
	data   []byte
	at     int
	failed bool
}

func (r *reader) left() int { return len(r.data) - r.at }

func (r *reader) take(n int) []byte {
	if r.failed || n > r.left() {
		r.failed = true
		return nil
	}
	r.at += n
	return r.data[r.at-n : r.at]
}

func (r *reader) uint32() uint32 {
	if b := r.take(4); b != nil {
		return binary.LittleEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.take(8); b != nil {
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// text reads a string: its length, then its bytes. They are copied, so that it outlives a mapped file.
func (r *reader) text(limit int) (string, error) {
	n := r.uint64()
	switch {
	case r.failed:
		return "", errShort
	case n > uint64(limit):
		return "", fmt.Errorf("a string of %d bytes is over the bound of %d", n, limit)
	case n > uint64(r.left()):
		return "", fmt.Errorf("a string of %d bytes ends after the file", n)
	}
	return string(r.take(int(n))), nil
}

func (r *reader) metadata(entries int) (*Metadata, error) {
	m := &Metadata{index: make(map[string]int, entries)}
	for i := range entries {
		key, err := r.text(maxKey)
		if err != nil {
			return nil, fmt.Errorf("key %d: %w", i, err)
		}
		value, err := r.value(valueType(r.uint32()))
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", key, err)
		}
		if err := m.add(KV{key, value}); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (r *reader) value(t valueType) (Value, error) {
	if r.failed {
		return nil, errShort
	}
	if t == typeArray {
		element, n := valueType(r.uint32()), r.uint64()
		if r.failed {
			return nil, errShort
		}
		return r.list(element, n)
	}
	list, err := r.list(t, 1)
	if err != nil {
		return nil, err
	}
	switch v := list.(type) {
	case []uint8:
		return v[0], nil
	case []int8:
		return v[0], nil
	case []uint16:
		return v[0], nil
	case []int16:
		return v[0], nil
	case []uint32:
		return v[0], nil
	case []int32:
		return v[0], nil
	case []float32:
		return v[0], nil
	case []bool:
		return v[0], nil
	case []string:
		return v[0], nil
	case []uint64:
		return v[0], nil
	case []int64:
		return v[0], nil
	default:
		return v.([]float64)[0], nil
	}
}

// list reads n values of one type. n is held against the bytes that are left before anything is allocated.
func (r *reader) list(t valueType, n uint64) (Value, error) {
	switch t {
	case typeUint8:
		return numbers(r, n, 1, func(b []byte) uint8 { return b[0] })
	case typeInt8:
		return numbers(r, n, 1, func(b []byte) int8 { return int8(b[0]) })
	case typeUint16:
		return numbers(r, n, 2, binary.LittleEndian.Uint16)
	case typeInt16:
		return numbers(r, n, 2, func(b []byte) int16 { return int16(binary.LittleEndian.Uint16(b)) })
	case typeUint32:
		return numbers(r, n, 4, binary.LittleEndian.Uint32)
	case typeInt32:
		return numbers(r, n, 4, func(b []byte) int32 { return int32(binary.LittleEndian.Uint32(b)) })
	case typeFloat32:
		return numbers(r, n, 4, func(b []byte) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b)) })
	case typeUint64:
		return numbers(r, n, 8, binary.LittleEndian.Uint64)
	case typeInt64:
		return numbers(r, n, 8, func(b []byte) int64 { return int64(binary.LittleEndian.Uint64(b)) })
	case typeFloat64:
		return numbers(r, n, 8, func(b []byte) float64 { return math.Float64frombits(binary.LittleEndian.Uint64(b)) })
	case typeBool:
		bytes, err := numbers(r, n, 1, func(b []byte) uint8 { return b[0] })
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(bytes, func(b uint8) bool { return b > 1 }); i >= 0 {
			return nil, fmt.Errorf("%d is not a bool", bytes[i])
		}
		out := make([]bool, n)
		for i, b := range bytes {
			out[i] = b == 1
		}
		return out, nil
	case typeString:
		if n > uint64(r.left()/leastString) {
			return nil, fmt.Errorf("%d strings do not fit the file", n)
		}
		out := make([]string, n)
		for i := range out {
			var err error
			if out[i], err = r.text(math.MaxInt); err != nil {
				return nil, err
			}
		}
		return out, nil
	case typeArray:
		return nil, errors.New("lists inside lists are not supported")
	default:
		return nil, fmt.Errorf("%d is no type of a value", uint32(t))
	}
}

func numbers[T any](r *reader, n uint64, size int, decode func([]byte) T) ([]T, error) {
	if n > uint64(r.left()/size) {
		return nil, fmt.Errorf("%d values of %d bytes end after the file", n, size)
	}
	raw := r.take(int(n) * size)
	out := make([]T, n)
	for i := range out {
		out[i] = decode(raw[i*size:])
	}
	return out, nil
}

// tensor reads a tensor's entry and its offset.
func (r *reader) tensor() (Tensor, uint64, error) {
	name, err := r.text(maxName)
	if err != nil {
		return Tensor{}, 0, err
	}
	if name == "" {
		return Tensor{}, 0, errors.New("its name is empty")
	}
	n := r.uint32()
	if n > maxDimensions {
		return Tensor{}, 0, fmt.Errorf("%q has %d dimensions, at most %d are possible", name, n, maxDimensions)
	}
	t := Tensor{Name: name, Shape: make([]int, n)}
	for i := range t.Shape {
		extent := r.uint64()
		if extent > math.MaxInt {
			return Tensor{}, 0, fmt.Errorf("%q has an extent of %d", name, extent)
		}
		t.Shape[len(t.Shape)-1-i] = int(extent)
	}
	t.Type = Type(r.uint32())
	offset := r.uint64()
	if r.failed {
		return Tensor{}, 0, errShort
	}
	return t, offset, nil
}
