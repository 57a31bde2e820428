package gguf

import (
	"fmt"
	"math"
)

// Value is one value of the metadata: uint8, int8, uint16, int16, uint32, int32, uint64, int64, float32, float64, bool, string, or
// a slice of one of these.
type Value any

// KV is one entry of the metadata.
type KV struct {
	Key   string
	Value Value
}

// Metadata is the typed keys of a file, in its order. Its getters take any width of integer or float, as llama.cpp's writers differ in
// them; they fail with the key's name when the value is of another kind.
type Metadata struct {
	entries []KV
	index   map[string]int
}

// NewMetadata makes the metadata of a file to be written. It refuses keys that are empty or occur twice, and values of other types.
func NewMetadata(entries []KV) (*Metadata, error) {
	m := &Metadata{index: make(map[string]int, len(entries))}
	for _, e := range entries {
		if _, _, err := typeOf(e.Value); err != nil {
			return nil, fmt.Errorf("gguf: key %q: %w", e.Key, err)
		}
		if err := m.add(e); err != nil {
			return nil, fmt.Errorf("gguf: %w", err)
		}
	}
	return m, nil
}

func (m *Metadata) add(e KV) error {
	if e.Key == "" {
		return fmt.Errorf("key %d is empty", len(m.entries))
	}
	if _, twice := m.index[e.Key]; twice {
		return fmt.Errorf("key %q occurs twice", e.Key)
	}
	m.index[e.Key] = len(m.entries)
	m.entries = append(m.entries, e)
	return nil
}

// Entries gives all of them.
func (m *Metadata) Entries() []KV { return m.entries }

// Get finds a key.
func (m *Metadata) Get(key string) (Value, bool) {
	i, ok := m.index[key]
	if !ok {
		return nil, false
	}
	return m.entries[i].Value, true
}

// Has tells whether a key is there.
func (m *Metadata) Has(key string) bool {
	_, ok := m.index[key]
	return ok
}

// String gives a text; absent is ok = false without an error.
func (m *Metadata) String(key string) (value string, ok bool, err error) {
	return get[string](m, key, "a string")
}

// Bool gives a truth value.
func (m *Metadata) Bool(key string) (value, ok bool, err error) { return get[bool](m, key, "a bool") }

// Strings gives a list of texts.
func (m *Metadata) Strings(key string) (value []string, ok bool, err error) {
	return get[[]string](m, key, "a list of strings")
}

// Float32s gives a list of float32.
func (m *Metadata) Float32s(key string) (value []float32, ok bool, err error) {
	return get[[]float32](m, key, "a list of float32")
}

// Ints gives a list of integers of 32 bits.
func (m *Metadata) Ints(key string) (value []int, ok bool, err error) {
	v, ok := m.Get(key)
	if !ok {
		return nil, false, nil
	}
	switch list := v.(type) {
	case []int32:
		return ints(list), true, nil
	case []uint32:
		return ints(list), true, nil
	default:
		return nil, false, fmt.Errorf("key %q is %T, not a list of integers", key, v)
	}
}

func ints[T int32 | uint32](list []T) []int {
	out := make([]int, len(list))
	for i, v := range list {
		out[i] = int(v)
	}
	return out
}

// Int gives an integer.
func (m *Metadata) Int(key string) (value int, ok bool, err error) {
	v, ok := m.Get(key)
	if !ok {
		return 0, false, nil
	}
	switch n := v.(type) {
	case uint8:
		return int(n), true, nil
	case int8:
		return int(n), true, nil
	case uint16:
		return int(n), true, nil
	case int16:
		return int(n), true, nil
	case uint32:
		if uint64(n) <= math.MaxInt {
			return int(n), true, nil
		}
	case int32:
		return int(n), true, nil
	case uint64:
		if n <= math.MaxInt {
			return int(n), true, nil
		}
	case int64:
		if n <= math.MaxInt && n >= math.MinInt {
			return int(n), true, nil
		}
	default:
		return 0, false, fmt.Errorf("key %q is %T, not an integer", key, v)
	}
	return 0, false, fmt.Errorf("key %q is too large: %v", key, v)
}

// Float gives a float32 or float64.
func (m *Metadata) Float(key string) (value float64, ok bool, err error) {
	v, ok := m.Get(key)
	if !ok {
		return 0, false, nil
	}
	switch f := v.(type) {
	case float32:
		return float64(f), true, nil
	case float64:
		return f, true, nil
	default:
		return 0, false, fmt.Errorf("key %q is %T, not a float", key, v)
	}
}

func get[T any](m *Metadata, key, what string) (value T, ok bool, err error) {
	v, ok := m.Get(key)
	if !ok {
		return value, false, nil
	}
	value, ok = v.(T)
	if !ok {
		return value, false, fmt.Errorf("key %q is %T, not %s", key, v, what)
	}
	return value, true, nil
}

// valueType numbers the types of values as the files do.
type valueType uint32

const (
	typeUint8 valueType = iota
	typeInt8
	typeUint16
	typeInt16
	typeUint32
	typeInt32
	typeFloat32
	typeBool
	typeString
	typeArray
	typeUint64
	typeInt64
	typeFloat64
)

// typeOf gives a value's type, and for a list that of its elements.
func typeOf(v Value) (t, element valueType, err error) {
	switch v.(type) {
	case uint8:
		return typeUint8, 0, nil
	case int8:
		return typeInt8, 0, nil
	case uint16:
		return typeUint16, 0, nil
	case int16:
		return typeInt16, 0, nil
	case uint32:
		return typeUint32, 0, nil
	case int32:
		return typeInt32, 0, nil
	case float32:
		return typeFloat32, 0, nil
	case bool:
		return typeBool, 0, nil
	case string:
		return typeString, 0, nil
	case uint64:
		return typeUint64, 0, nil
	case int64:
		return typeInt64, 0, nil
	case float64:
		return typeFloat64, 0, nil
	case []uint8:
		return typeArray, typeUint8, nil
	case []int8:
		return typeArray, typeInt8, nil
	case []uint16:
		return typeArray, typeUint16, nil
	case []int16:
		return typeArray, typeInt16, nil
	case []uint32:
		return typeArray, typeUint32, nil
	case []int32:
		return typeArray, typeInt32, nil
	case []float32:
		return typeArray, typeFloat32, nil
	case []bool:
		return typeArray, typeBool, nil
	case []string:
		return typeArray, typeString, nil
	case []uint64:
		return typeArray, typeUint64, nil
	case []int64:
		return typeArray, typeInt64, nil
	case []float64:
		return typeArray, typeFloat64, nil
	default:
		return 0, 0, fmt.Errorf("%T is no type of a value", v)
	}
}
