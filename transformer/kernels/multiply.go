package kernels

import (
	"fmt"
	"runtime"
	"unsafe"
)

// Product is one product of a matrix with an input: Out (n, W.Rows), whose vectors are Step floats apart, becomes the input (n, W.Cols) times the
// transpose of W, or has that added to it.
type Product struct {
	W    *Matrix
	Out  []float32
	Step int
	Add  bool
}

const (
	maxInputs   = 32 // that a quantised kernel takes at a time
	depthBlock  = 256
	partsEach   = 8       // of work, for each thread at most: enough to even out who comes late
	leastPart   = 1 << 17 // multiplications of a part: a fraction of a microsecond, several times what taking a part costs
	weightsPart = 1 << 15 // the same when there is one input, and reading weights is what takes the time
)

// Multiply computes products with one input. They are shared out over the pool's threads, which wait for one another only once, at the end; so
// products of the same input belong into one call. A nil pool computes them on the caller's thread. It panics when sizes don't fit.
func Multiply(p *Pool, in *Input, products ...Product) {
	for i := range products {
		products[i].check(in)
	}
	if !worthSharing(p.Threads(), in, products) || !p.run.TryLock() {
		for i := range products {
			products[i].multiply(in, 0, products[i].W.panels())
			runtime.KeepAlive(products[i].W)
		}
		return
	}
	defer p.run.Unlock()
	w := &p.products
	w.in, w.products = in, append(w.products[:0], products...)
	p.locked(w.cut(p.threads), w.part)
	clear(w.products)
	w.in = nil
}

func (p *Product) check(in *Input) {
	w := p.W
	switch {
	case in.cols != w.Cols || in.quantised != w.Format.Quantised():
		panic(fmt.Sprintf("kernels: an input of %d numbers (quantised: %t) for a matrix of %s with %d columns", in.cols, in.quantised, w.Format, w.Cols))
	case in.n > 1 && p.Step < w.Rows || in.n > 0 && len(p.Out) < (in.n-1)*p.Step+w.Rows:
		panic(fmt.Sprintf("kernels: %d floats in steps of %d for %d vectors of %d", len(p.Out), p.Step, in.n, w.Rows))
	}
}

// work is the products of a Multiply, cut into parts.
type work struct {
	in       *Input
	products []Product
	size     int // panels of a part; one of them is always of one product
	part     func(worker, i int)
}

// multiplications counts those of all products, and says how many a part should have at least.
func multiplications(in *Input, products []Product) (all, least int) {
	for i := range products {
		all += products[i].W.Rows * products[i].W.Cols
	}
	if in.n == 1 {
		return all, weightsPart
	}
	return all * in.n, leastPart
}

func worthSharing(threads int, in *Input, products []Product) bool {
	all, least := multiplications(in, products)
	return threads > 1 && all >= threads*least
}

// cut chooses the size of the parts, the same number for each thread, and says how many there are.
func (w *work) cut(threads int) int {
	panels := 0
	for i := range w.products {
		panels += w.products[i].W.panels()
	}
	all, least := multiplications(w.in, w.products)
	w.size = ceilDiv(panels, threads*min(partsEach, all/least/threads))
	parts := 0
	for i := range w.products {
		parts += ceilDiv(w.products[i].W.panels(), w.size)
	}
	return parts
}

// multiply computes part i of all.
func (w *work) multiply(_, i int) {
	for j := range w.products {
		p := &w.products[j]
		panels := p.W.panels()
		parts := ceilDiv(panels, w.size)
		if i < parts {
			p.multiply(w.in, i*w.size, min(panels, (i+1)*w.size))
			return
		}
		i -= parts
	}
}

// multiply computes panels [from, to) of the matrix.
func (p *Product) multiply(in *Input, from, to int) {
	switch {
	case in.n == 0:
	case in.quantised && in.n == 1:
		p.quantisedVector(in, from, to)
	case in.quantised:
		p.quantisedMatrix(in, from, to)
	default:
		p.floats(in, from, to)
	}
}

func (p *Product) quantisedVector(in *Input, from, to int) {
	w := p.W
	if whole := min(to, w.Rows/panelRows); whole > from {
		weights, scales := w.quantised(from)
		matVecQ(w.Format, weights, scales, in.quant, w.groups, whole-from, p.Out[from*panelRows:whole*panelRows], p.Add)
		from = whole
	}
	if from < to { // the last panel has fewer than 32 rows
		var rows [panelRows]float32
		weights, scales := w.quantised(from)
		matVecQ(w.Format, weights, scales, in.quant, w.groups, 1, rows[:], false)
		put(p.Out[from*panelRows:w.Rows], rows[:], p.Add)
	}
}

func (p *Product) quantisedMatrix(in *Input, from, to int) {
	w := p.W
	size := ceilDiv(in.n, ceilDiv(in.n, maxInputs))
	for panel := from; panel < to; panel++ {
		weights, scales := w.quantised(panel)
		row := panel * panelRows
		for first := 0; first < in.n; first += size {
			n := min(size, in.n-first)
			if row+panelRows <= w.Rows {
				matMulQ(w.Format, weights, scales, in.quant[first:], in.n, w.groups, n, p.Out[first*p.Step+row:], p.Step, p.Add)
				continue
			}
			var rows [maxInputs * panelRows]float32
			matMulQ(w.Format, weights, scales, in.quant[first:], in.n, w.groups, n, rows[:], panelRows, false)
			for i := range n {
				put(p.Out[(first+i)*p.Step+row:][:w.Rows-row], rows[i*panelRows:], p.Add)
			}
		}
	}
}

// put copies or adds what to has room for.
func put(to, from []float32, add bool) {
	for i, v := range from[:len(to)] {
		if add {
			v += to[i]
		}
		to[i] = v
	}
}

// floats goes through the columns in blocks, one after another whatever the number of inputs, so that a sum does not depend on it.
// With many inputs a panel's block stays in the first-level cache while the inputs, in the second, pass by; few inputs stay, too, and the
// weights are read in their order.
func (p *Product) floats(in *Input, from, to int) {
	w := p.W
	if in.n <= inputRows {
		for panel := from; panel < to; panel++ {
			for col := 0; col < w.Cols; col += depthBlock {
				p.floatPanel(in, panel, col)
			}
		}
		return
	}
	for col := 0; col < w.Cols; col += depthBlock {
		for panel := from; panel < to; panel++ {
			p.floatPanel(in, panel, col)
		}
	}
}

// floatPanel adds the products of a block of columns of a panel.
func (p *Product) floatPanel(in *Input, panel, col int) {
	w := p.W
	depth := min(depthBlock, w.Cols-col)
	var beta float32
	if p.Add || col > 0 {
		beta = 1
	}
	weights, size := w.panel(panel, col)
	row := panel * panelRows
	for first := 0; first < in.n; first += inputRows {
		n := min(inputRows, in.n-first)
		a := &in.floats[first*in.cols+col*n]
		if row+panelRows <= w.Rows {
			tile(w.Format, n, depth, a, 4, 4*n, weights, panelRows*int(size), panelRows, &p.Out[first*p.Step+row], 4*p.Step, 1, beta)
			continue
		}
		var rows [inputRows * panelRows]float32
		tile(w.Format, n, depth, a, 4, 4*n, weights, panelRows*int(size), panelRows, &rows[0], 4*panelRows, 1, 0)
		for i := range n {
			put(p.Out[(first+i)*p.Step+row:][:w.Rows-row], rows[i*panelRows:], beta != 0)
		}
	}
}

// tile sets C (rows, cols) to alpha·A·B + beta·C, where A (rows, depth) has rows aRow bytes and columns aStep bytes apart, B (depth, cols) of the
// given format has rows bStep bytes apart, and those of C are cRow bytes apart. rows and depth are at least 1, cols is 32 or 16; with bfloat16, 32. C is read only if
// beta is not 0.
func tile(format Format, rows, depth int, a *float32, aRow, aStep int, b unsafe.Pointer, bStep, cols int, c *float32, cRow int, alpha, beta float32) {
	for {
		did := tileOnce(format, rows, depth, a, aRow, aStep, b, bStep, cols, c, cRow, alpha, beta)
		rows -= did
		if rows == 0 {
			return
		}
		a = (*float32)(unsafe.Add(unsafe.Pointer(a), did*aRow))
		c = (*float32)(unsafe.Add(unsafe.Pointer(c), did*cRow))
	}
}

// tilePlain is tile for any processor.
func tilePlain(format Format, rows, depth int, a *float32, aRow, aStep int, b unsafe.Pointer, bStep, cols int, c *float32, cRow int, alpha, beta float32) {
	var sums [32]float32
	for i := range rows {
		s := sums[:cols]
		clear(s)
		for p := range depth {
			left := *(*float32)(unsafe.Add(unsafe.Pointer(a), i*aRow+p*aStep))
			right := unsafe.Add(b, p*bStep)
			switch format {
			case F32:
				for j, v := range unsafe.Slice((*float32)(right), cols) {
					s[j] += left * v
				}
			case F16:
				for j, v := range unsafe.Slice((*uint16)(right), cols) {
					s[j] += left * halfToFloat(v)
				}
			default:
				for j, v := range unsafe.Slice((*uint16)(right), cols) {
					s[j] += left * bfloatToFloat(v)
				}
			}
		}
		out := unsafe.Slice((*float32)(unsafe.Add(unsafe.Pointer(c), i*cRow)), cols)
		for j, v := range s {
			v *= alpha
			if beta != 0 {
				v += beta * out[j]
			}
			out[j] = v
		}
	}
}
