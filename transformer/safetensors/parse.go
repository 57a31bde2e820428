package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// maxHeader is the format's own bound on the header, in bytes.
const maxHeader = 100_000_000

// metadataKey is the one header key that is not a tensor.
const metadataKey = "__metadata__"

// tensorInfo is a tensor's entry in the header.
type tensorInfo struct {
	DType   DType `json:"dtype"`
	Shape   []int `json:"shape"`
	Offsets []int `json:"data_offsets"` // begin and end, in bytes after the header
}

// Parse checks a whole file and gives its tensors, whose Data alias data. It refuses a header that is too
// long or not the JSON it must be, names that occur twice, types other than F32, F16 and BF16, offsets
// outside the file, bytes that belong to two tensors or to none, and shapes that do not agree with the
// number of bytes.
func Parse(data []byte) (*File, error) {
	f, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	return f, nil
}

func parse(data []byte) (*File, error) {
	if len(data) < 8 {
		return nil, fmt.Errorf("%d bytes are too few for a header", len(data))
	}
	length := binary.LittleEndian.Uint64(data)
	if length > maxHeader {
		return nil, fmt.Errorf("a header of %d bytes is over the bound of %d", length, maxHeader)
	}
	if length > uint64(len(data)-8) {
		return nil, fmt.Errorf("the header of %d bytes ends after the file (%d bytes)", length, len(data))
	}
	header, body := data[8:8+length], data[8+length:]
	infos, metadata, err := parseHeader(header)
	if err != nil {
		return nil, err
	}
	f := &File{Tensors: make([]Tensor, 0, len(infos)), Metadata: metadata}
	type span struct{ begin, end int }
	spans := make(map[string]span, len(infos))
	for name, info := range infos {
		size := info.DType.Size()
		if size == 0 {
			return nil, fmt.Errorf("tensor %q: unknown type %q", name, info.DType)
		}
		if len(info.Offsets) != 2 {
			return nil, fmt.Errorf("tensor %q: data_offsets must be two numbers", name)
		}
		begin, end := info.Offsets[0], info.Offsets[1]
		if begin < 0 || end < begin || end > len(body) {
			return nil, fmt.Errorf("tensor %q: bytes %d to %d are outside the data (%d bytes)", name, begin, end, len(body))
		}
		n, err := elements(info.Shape)
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		if n*size != end-begin {
			return nil, fmt.Errorf("tensor %q: %s %v wants %d bytes, has %d", name, info.DType, info.Shape, n*size, end-begin)
		}
		spans[name] = span{begin, end}
		f.Tensors = append(f.Tensors, Tensor{Name: name, DType: info.DType, Shape: info.Shape, Data: body[begin:end:end]})
	}
	slices.SortFunc(f.Tensors, func(a, b Tensor) int {
		sa, sb := spans[a.Name], spans[b.Name]
		return cmp.Or(cmp.Compare(sa.begin, sb.begin), cmp.Compare(sa.end, sb.end), cmp.Compare(a.Name, b.Name))
	})
	at := 0
	for _, t := range f.Tensors {
		switch s := spans[t.Name]; {
		case s.begin < at:
			return nil, fmt.Errorf("tensor %q: its bytes overlap another tensor's", t.Name)
		case s.begin > at:
			return nil, fmt.Errorf("%d bytes before tensor %q belong to no tensor", s.begin-at, t.Name)
		default:
			at = s.end
		}
	}
	if at != len(body) {
		return nil, fmt.Errorf("%d bytes at the end belong to no tensor", len(body)-at)
	}
	return f, nil
}

// parseHeader reads the JSON object by tokens, because a map would silently keep the last of two
// tensors of one name.
func parseHeader(header []byte) (map[string]tensorInfo, map[string]string, error) {
	if len(header) == 0 || header[0] != '{' {
		return nil, nil, errors.New("the header is not a JSON object")
	}
	dec := json.NewDecoder(bytes.NewReader(header))
	dec.DisallowUnknownFields()
	infos := map[string]tensorInfo{}
	var metadata map[string]string
	if _, err := dec.Token(); err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, nil, fmt.Errorf("header: %w", err)
		}
		name, ok := token.(string)
		if !ok {
			return nil, nil, errors.New("header: a key is not a string")
		}
		if name == metadataKey {
			if metadata != nil {
				return nil, nil, fmt.Errorf("header: %q occurs twice", name)
			}
			metadata = map[string]string{}
			if err := dec.Decode(&metadata); err != nil {
				return nil, nil, fmt.Errorf("header: %s: %w", name, err)
			}
			continue
		}
		if _, twice := infos[name]; twice {
			return nil, nil, fmt.Errorf("tensor %q occurs twice", name)
		}
		var info tensorInfo
		if err := dec.Decode(&info); err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", name, err)
		}
		infos[name] = info
	}
	if _, err := dec.Token(); err != nil {
		return nil, nil, fmt.Errorf("header: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, nil, errors.New("header: more than one JSON value")
	}
	return infos, metadata, nil
}
