package opencl

import (
	"runtime"

	"golang.org/x/sync/errgroup"

	"teller/transformer/kernels"
)

// How weights lie on the device: products.cl says why.
const (
	blockRows   = 32
	groupCols   = 32
	unitCols    = 8
	groupUnits  = groupCols / unitCols
	uploadBytes = 16 << 20 // of weights that are on their way at a time
)

// matrix is weights on the device.
type matrix struct {
	format  kernels.Format
	rows    int
	groups  int // of columns
	weights buffer
	scales  buffer // of Q8 and Q4
}

// unitBytes is the size of eight weights.
func unitBytes(f kernels.Format) int {
	switch f {
	case kernels.F32:
		return 4 * unitCols
	case kernels.F16, kernels.BF16:
		return 2 * unitCols
	case kernels.Q8:
		return unitCols
	default:
		return unitCols / 2
	}
}

// sizesOf gives the bytes of the weights and the scales of a matrix on the device.
func sizesOf(f kernels.Format, rows, cols int) (weights, scales int) {
	groups := groupsOf(cols, groupCols)
	cells := groupsOf(rows, blockRows) * blockRows * groups
	if f.Quantised() {
		scales = 2 * cells
	}
	return cells * groupUnits * unitBytes(f), scales
}

// upload gives the device matrices of one format with the same columns, as one: the rows of each but the last must be whole blocks.
func (d *driver) upload(parts ...*kernels.Matrix) (matrix, error) {
	first := parts[0]
	m := matrix{format: first.Format, groups: groupsOf(first.Cols, groupCols)}
	for _, p := range parts {
		m.rows += p.Rows
	}
	weights, scales := sizesOf(m.format, m.rows, first.Cols)
	var err error
	if m.weights, err = d.allocate(weights, "weights"); err != nil {
		return m, err
	}
	if m.scales, err = d.allocate(scales, "scales"); err != nil {
		return m, err
	}
	block := 0
	for _, p := range parts {
		if block, err = d.uploadBlocks(m, block, p); err != nil {
			return m, err
		}
	}
	return m, nil
}

// uploadBlocks writes the blocks of a matrix from block to on, and gives the one that comes next.
func (d *driver) uploadBlocks(m matrix, to int, from *kernels.Matrix) (next int, err error) {
	weightBytes, scaleBytes := sizesOf(m.format, blockRows, m.groups*groupCols) // of a block
	blocks := groupsOf(from.Rows, blockRows)
	together := min(blocks, max(1, uploadBytes/weightBytes))
	weights, scales := make([]byte, together*weightBytes), make([]byte, together*scaleBytes)
	for first := 0; first < blocks; first += together {
		n := min(together, blocks-first)
		var group errgroup.Group
		group.SetLimit(runtime.GOMAXPROCS(0))
		for b := range n {
			group.Go(func() error {
				packBlock(from, first+b, weights[b*weightBytes:][:weightBytes], scales[b*scaleBytes:][:scaleBytes])
				return nil
			})
		}
		_ = group.Wait() // packing has no failure
		if err := write(d, m.weights, (to+first)*weightBytes, weights[:n*weightBytes]); err != nil {
			return 0, err
		}
		if err := write(d, m.scales, (to+first)*scaleBytes, scales[:n*scaleBytes]); err != nil {
			return 0, err
		}
	}
	return to + blocks, nil
}

// packBlock lays 32 rows out as the device has them. Rows that a matrix doesn't have are zeros.
func packBlock(m *kernels.Matrix, block int, weights, scales []byte) {
	unit := unitBytes(m.Format)
	var row []byte
	for r := range blockRows {
		if block*blockRows+r >= m.Rows {
			for at := r * unit; at < len(weights); at += blockRows * unit {
				clear(weights[at:][:unit])
			}
			for at := 2 * r; at < len(scales); at += 2 * blockRows {
				clear(scales[at:][:2])
			}
			continue
		}
		row = m.AppendRow(row[:0], block*blockRows+r)
		if m.Format.Quantised() {
			packGroups(row, r, unit, weights, scales)
			continue
		}
		for at := r * unit; at < len(weights); at += blockRows * unit {
			clear(weights[at:][:unit]) // where the row ends within it
			row = row[copy(weights[at:][:unit], row):]
		}
	}
}

// packGroups takes GGML's blocks of a row apart.
func packGroups(row []byte, r, unit int, weights, scales []byte) {
	for g := 0; len(row) > 0; g++ {
		copy(scales[2*(g*blockRows+r):][:2], row)
		row = row[2:]
		for u := range groupUnits {
			to := weights[((g*groupUnits+u)*blockRows+r)*unit:][:unit]
			if unit == unitCols {
				copy(to, row[u*unitCols:])
				continue
			}
			// Byte i of GGML's Q4_0 has columns i and i+16, of which a unit has neighbours.
			at := u % 2 * unitCols
			for i := range to {
				one, two := row[at+2*i], row[at+2*i+1]
				if u < groupUnits/2 {
					to[i] = one&15 | two&15<<4
				} else {
					to[i] = one>>4 | two&0xf0
				}
			}
		}
		row = row[groupUnits*unit:]
	}
}
