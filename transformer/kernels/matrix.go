package kernels

import (
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"unsafe"
)

// Format is how a matrix keeps its weights.
type Format uint8

// The formats. Q8 and Q4 are GGML's q8_0 and q4_0: a float16 scale for each 32 weights of a row, integers of eight or four bits.
const (
	F32 Format = iota
	F16
	BF16
	Q8
	Q4
)

func (f Format) String() string {
	names := [...]string{"F32", "F16", "BF16", "Q8", "Q4"}
	if int(f) < len(names) {
		return names[f]
	}
	return fmt.Sprintf("Format(%d)", uint8(f))
}

// Quantised tells whether the format multiplies integers, and so wants a quantised Input.
func (f Format) Quantised() bool { return f == Q8 || f == Q4 }

// RowBytes is the size of a row of cols weights in a file.
func (f Format) RowBytes(cols int) int {
	switch f {
	case F32:
		return 4 * cols
	case F16, BF16:
		return 2 * cols
	case Q8:
		return cols / groupSize * q8BlockSize
	default:
		return cols / groupSize * q4BlockSize
	}
}

// groupBytes is the size of a group's weights in a panel of a quantised matrix.
func (f Format) groupBytes() int {
	if f == Q8 {
		return panelRows * groupSize
	}
	return panelRows * groupSize / 2
}

// Matrix is weights (Rows, Cols) for the product W·x, packed for this package's kernels. After its rows are set it is read only, and
// safe for any number of goroutines. Its memory goes with it: whoever is handed a part of it must keep the Matrix alive.
type Matrix struct {
	Format     Format
	Rows, Cols int

	// Quantised weights: see quant.go. weights is (panels, groups, group), scales (panels, groups, 32).
	weights []byte
	scales  []uint16
	groups  int

	// Floats: (panels, Cols, 32), those of F16 and BF16 as bits.
	floats []float32
	halves []uint16
}

// NewMatrix makes a matrix of zeros. rows and cols are at least 1. Any number of columns will do for SetFloats; SetRows takes quantised rows
// only as multiples of 32, like the files that have them.
func NewMatrix(format Format, rows, cols int) *Matrix {
	m := &Matrix{Format: format, Rows: rows, Cols: cols}
	panels := ceilDiv(rows, panelRows)
	switch format {
	case F32:
		m.floats = weightsOf[float32](m, panels*cols*panelRows)
	case F16, BF16:
		m.halves = weightsOf[uint16](m, panels*cols*panelRows)
	default:
		m.groups = ceilDiv(cols, groupSize)
		m.weights = weightsOf[byte](m, panels*m.groups*format.groupBytes())
		m.scales = weightsOf[uint16](m, panels*m.groups*panelRows)
	}
	return m
}

// Bytes is the memory that the weights take.
func (m *Matrix) Bytes() int {
	return len(m.weights) + 2*len(m.scales) + 4*len(m.floats) + 2*len(m.halves)
}

// SetRows packs rows from row from on out of their bytes in a file: little-endian numbers, or GGML's blocks for Q8 and Q4. Different rows may
// be set at the same time.
func (m *Matrix) SetRows(from int, data []byte) error {
	if m.Format.Quantised() && m.Cols%groupSize != 0 {
		return fmt.Errorf("kernels: rows of %d weights are not whole groups of %d", m.Cols, groupSize)
	}
	size := m.Format.RowBytes(m.Cols)
	if len(data)%size != 0 {
		return fmt.Errorf("kernels: %d bytes are not whole rows of %d", len(data), size)
	}
	if err := m.check(from, len(data)/size); err != nil {
		return err
	}
	for ; len(data) > 0; data = data[size:] {
		m.setRow(from, data[:size])
		from++
	}
	runtime.KeepAlive(m)
	return nil
}

func (m *Matrix) check(from, rows int) error {
	if from < 0 || rows > m.Rows-from {
		return fmt.Errorf("kernels: rows %d to %d of a matrix of %d", from, from+rows, m.Rows)
	}
	return nil
}

func (m *Matrix) setRow(row int, data []byte) {
	switch m.Format {
	case F32:
		column := m.floats[m.floatAt(row):]
		for i := range m.Cols {
			column[i*panelRows] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
		}
	case F16, BF16:
		column := m.halves[m.floatAt(row):]
		for i := range m.Cols {
			column[i*panelRows] = binary.LittleEndian.Uint16(data[2*i:])
		}
	case Q8:
		for g := range m.groups {
			block := data[g*q8BlockSize:][:q8BlockSize]
			m.scales[m.scaleAt(row, g)] = binary.LittleEndian.Uint16(block)
			putQ8(m.group(row, g), row%panelRows, block[2:])
		}
	case Q4:
		for g := range m.groups {
			block := data[g*q4BlockSize:][:q4BlockSize]
			m.scales[m.scaleAt(row, g)] = binary.LittleEndian.Uint16(block)
			putQ4(m.group(row, g), row%panelRows, block[2:])
		}
	}
}

// SetFloats packs rows of floats from row from on, converting them to the matrix's format as llama.cpp does. Its length is a
// multiple of Cols.
func (m *Matrix) SetFloats(from int, w []float32) error {
	if len(w)%m.Cols != 0 {
		return fmt.Errorf("kernels: %d weights are not whole rows of %d", len(w), m.Cols)
	}
	if err := m.check(from, len(w)/m.Cols); err != nil {
		return err
	}
	for ; len(w) > 0; w = w[m.Cols:] {
		m.setFloats(from, w[:m.Cols])
		from++
	}
	runtime.KeepAlive(m)
	return nil
}

func (m *Matrix) setFloats(row int, w []float32) {
	switch m.Format {
	case F32:
		column := m.floats[m.floatAt(row):]
		for i, v := range w {
			column[i*panelRows] = v
		}
	case F16, BF16:
		column := m.halves[m.floatAt(row):]
		convert := floatToHalf
		if m.Format == BF16 {
			convert = floatToBfloat
		}
		for i, v := range w {
			column[i*panelRows] = convert(v)
		}
	default:
		for g := range m.groups {
			var part [groupSize]float32
			copy(part[:], w[g*groupSize:])
			if m.Format == Q8 {
				var values [groupSize]byte
				m.scales[m.scaleAt(row, g)] = quantizeQ8(&values, &part)
				putQ8(m.group(row, g), row%panelRows, values[:])
			} else {
				var values [groupSize / 2]byte
				m.scales[m.scaleAt(row, g)] = quantizeQ4(&values, &part)
				putQ4(m.group(row, g), row%panelRows, values[:])
			}
		}
	}
}

// quantizeQ8 gives the float16 scale of a group whose greatest weight becomes 127.
func quantizeQ8(to *[groupSize]byte, w *[groupSize]float32) uint16 {
	var most float64
	for _, v := range w {
		most = max(most, math.Abs(float64(v)))
	}
	scale := float32(most / 127)
	var inverse float32
	if scale > 0 {
		inverse = 1 / scale
	}
	for i, v := range w {
		to[i] = byte(int8(max(-127, min(127, math.Round(float64(v*inverse))))))
	}
	return floatToHalf(scale)
}

// quantizeQ4 gives the float16 scale of a group in which the weight that is greatest in size becomes -8.
func quantizeQ4(to *[groupSize / 2]byte, w *[groupSize]float32) uint16 {
	var most float32
	for _, v := range w {
		if math.Abs(float64(v)) > math.Abs(float64(most)) {
			most = v
		}
	}
	scale := most / -8
	var inverse float32
	if scale != 0 {
		inverse = 1 / scale
	}
	four := func(v float32) byte { return byte(max(0, min(15, math.Floor(float64(v*inverse)+8.5)))) }
	for i := range to {
		to[i] = four(w[i]) | four(w[i+groupSize/2])<<4
	}
	return floatToHalf(scale)
}

// Row writes one row as floats: the embedding of a token, when the matrix is the embedding table as well. to has Cols elements.
func (m *Matrix) Row(row int, to []float32) {
	to = to[:m.Cols]
	switch m.Format {
	case F32:
		column := m.floats[m.floatAt(row):]
		for i := range to {
			to[i] = column[i*panelRows]
		}
	case F16:
		column := m.halves[m.floatAt(row):]
		for i := range to {
			to[i] = halfToFloat(column[i*panelRows])
		}
	case BF16:
		column := m.halves[m.floatAt(row):]
		for i := range to {
			to[i] = bfloatToFloat(column[i*panelRows])
		}
	default:
		for i := range to {
			g := i / groupSize
			scale := halfToFloat(m.scales[m.scaleAt(row, g)])
			to[i] = scale * float32(groupWeight(m.Format, m.group(row, g), row%panelRows, i%groupSize))
		}
	}
	runtime.KeepAlive(m)
}

// floatAt is where the first weight of a row of floats lies; the next ones follow at distances of panelRows.
func (m *Matrix) floatAt(row int) int { return row/panelRows*panelRows*m.Cols + row%panelRows }

func (m *Matrix) scaleAt(row, group int) int {
	return (row/panelRows*m.groups+group)*panelRows + row%panelRows
}

// group gives the group of columns of the panel that row belongs to.
func (m *Matrix) group(row, group int) []byte {
	size := m.Format.groupBytes()
	return m.weights[(row/panelRows*m.groups+group)*size:][:size]
}

// panels is how many parts a product with the matrix can be split into.
func (m *Matrix) panels() int { return ceilDiv(m.Rows, panelRows) }

// quantised gives the weights and the scales from one panel on.
func (m *Matrix) quantised(panel int) ([]byte, []uint16) {
	return m.weights[panel*m.groups*m.Format.groupBytes():], m.scales[panel*m.groups*panelRows:]
}

// panel gives the weights of a panel of floats from column col on, and the size of one of them.
func (m *Matrix) panel(panel, col int) (unsafe.Pointer, uintptr) {
	at := (panel*m.Cols + col) * panelRows
	if m.Format == F32 {
		return unsafe.Pointer(&m.floats[at]), 4
	}
	return unsafe.Pointer(&m.halves[at]), 2
}

func ceilDiv(a, b int) int { return (a + b - 1) / b }
