package gguf

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"reflect"
)

// Pending is a tensor to be written. Its bytes are asked for when it is its turn, so that no more than one tensor need be in memory.
type Pending struct {
	Name  string
	Type  Type
	Shape []int // slowest first
	Data  func() ([]byte, error)
}

// Write writes a file of version 3: the metadata and the tensors in their order. It refuses what Parse would refuse.
func Write(w io.Writer, metadata *Metadata, tensors []Pending) error {
	if err := write(w, metadata, tensors); err != nil {
		return fmt.Errorf("gguf: %w", err)
	}
	return nil
}

func write(w io.Writer, metadata *Metadata, tensors []Pending) error {
	alignment, err := metadata.alignment()
	if err != nil {
		return err
	}
	header, err := encodeHeader(metadata, tensors, alignment)
	if err != nil {
		return err
	}
	out := bufio.NewWriterSize(w, 1<<20)
	zeros := make([]byte, alignment)
	if _, err := out.Write(header); err != nil {
		return err
	}
	if len(tensors) > 0 {
		if _, err := out.Write(zeros[:padding(len(header), alignment)]); err != nil {
			return err
		}
	}
	for _, t := range tensors {
		data, err := t.Data()
		if err != nil {
			return fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if size, _ := t.Type.Size(t.Shape); size != len(data) {
			return fmt.Errorf("tensor %q: %v %v wants %d bytes, got %d", t.Name, t.Type, t.Shape, size, len(data))
		}
		if _, err := out.Write(data); err != nil {
			return err
		}
		if _, err := out.Write(zeros[:padding(len(data), alignment)]); err != nil {
			return err
		}
	}
	return out.Flush()
}

func encodeHeader(metadata *Metadata, tensors []Pending, alignment int) ([]byte, error) {
	le := binary.LittleEndian
	out := append([]byte{}, magic...)
	out = le.AppendUint32(out, version)
	out = le.AppendUint64(out, uint64(len(tensors)))
	out = le.AppendUint64(out, uint64(len(metadata.entries)))
	for _, e := range metadata.entries {
		if len(e.Key) > maxKey {
			return nil, fmt.Errorf("a key of %d bytes is over the bound of %d", len(e.Key), maxKey)
		}
		out = appendText(out, e.Key)
		var err error
		if out, err = appendValue(out, e.Value); err != nil {
			return nil, fmt.Errorf("key %q: %w", e.Key, err)
		}
	}
	seen := make(map[string]bool, len(tensors))
	at := 0
	for _, t := range tensors {
		if t.Name == "" || len(t.Name) > maxName || seen[t.Name] {
			return nil, fmt.Errorf("tensor name %q is empty, over %d bytes or occurs twice", t.Name, maxName)
		}
		seen[t.Name] = true
		size, err := t.Type.Size(t.Shape)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Name, err)
		}
		if len(t.Shape) > maxDimensions {
			return nil, fmt.Errorf("tensor %q has %d dimensions, at most %d are possible", t.Name, len(t.Shape), maxDimensions)
		}
		out = appendText(out, t.Name)
		out = le.AppendUint32(out, uint32(len(t.Shape)))
		for i := range t.Shape {
			out = le.AppendUint64(out, uint64(t.Shape[len(t.Shape)-1-i]))
		}
		out = le.AppendUint32(out, uint32(t.Type))
		out = le.AppendUint64(out, uint64(at))
		at += size + padding(size, alignment)
	}
	return out, nil
}

func appendText(out []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(out, uint64(len(s))), s...)
}

func appendValue(out []byte, v Value) ([]byte, error) {
	t, element, err := typeOf(v)
	if err != nil {
		return nil, err
	}
	out = binary.LittleEndian.AppendUint32(out, uint32(t))
	if t != typeArray {
		return appendScalar(out, reflect.ValueOf(v)), nil
	}
	list := reflect.ValueOf(v)
	out = binary.LittleEndian.AppendUint32(out, uint32(element))
	out = binary.LittleEndian.AppendUint64(out, uint64(list.Len()))
	for i := range list.Len() {
		out = appendScalar(out, list.Index(i))
	}
	return out, nil
}

func appendScalar(out []byte, v reflect.Value) []byte {
	le := binary.LittleEndian
	bits := uint64(0)
	switch v.Kind() {
	case reflect.String:
		return appendText(out, v.String())
	case reflect.Bool:
		if v.Bool() {
			return append(out, 1)
		}
		return append(out, 0)
	case reflect.Float32:
		return le.AppendUint32(out, math.Float32bits(float32(v.Float())))
	case reflect.Float64:
		return le.AppendUint64(out, math.Float64bits(v.Float()))
	case reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		bits = uint64(v.Int())
	default:
		bits = v.Uint()
	}
	var buffer [8]byte
	le.PutUint64(buffer[:], bits)
	return append(out, buffer[:v.Type().Size()]...)
}
