package kernels

import (
	"sync"
	"unsafe"
)

const (
	gemmRows     = 4 * inputRows // of A that stay in the second-level cache
	gemmParallel = 1 << 21       // multiplications below which a second core does not pay
)

// Gemm computes C = alpha·op(A)·op(B) + beta·C on row-major float32 matrices, where op transposes when its flag is set: op(A) is (m, k), op(B) is (k, n), C
// is (m, n); lda, ldb and ldc are the distances between rows as stored. With beta 0 what C held does not matter.
//
// The sum over k runs in the same order however many threads the pool has, so results are equal bit by bit on one level. It is the usual blocked
// product (Goto and van de Geijn 2008): both factors are packed into panels that the innermost loop reads in order. For weights that stay the same, Multiply
// saves the packing.
func Gemm(p *Pool, transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	if m <= 0 || n <= 0 {
		return
	}
	if k <= 0 || alpha == 0 {
		for i := range m {
			row := c[i*ldc:][:n]
			for j, v := range row {
				row[j] = scaled(beta, v)
			}
		}
		return
	}
	if m*n*k <= gemmParallel {
		p = nil
	}
	panels := ceilDiv(n, panelRows)
	packedB := takeBuffer(min(k, depthBlock) * panels * panelRows)
	defer buffers.Put(packedB)
	for from := 0; from < k; from += depthBlock {
		depth := min(depthBlock, k-from)
		p.Run(panels, func(_, panel int) {
			col := panel * panelRows
			pack((*packedB)[panel*depth*panelRows:][:depth*panelRows], panelRows, b, ldb, transB, from, depth, col, min(panelRows, n-col))
		})
		keep := beta
		if from > 0 {
			keep = 1
		}
		p.Run(ceilDiv(m, gemmRows), func(_, block int) {
			packedA := takeBuffer(gemmRows * depthBlock)
			defer buffers.Put(packedA)
			top, bottom := block*gemmRows, min(m, (block+1)*gemmRows)
			for row := top; row < bottom; row += inputRows {
				pack((*packedA)[(row-top)*depth:][:inputRows*depth], inputRows, a, lda, !transA, from, depth, row, min(inputRows, m-row))
			}
			for panel := range panels {
				col := panel * panelRows
				right := unsafe.Pointer(&(*packedB)[panel*depth*panelRows])
				for row := top; row < bottom; row += inputRows {
					gemmTile(min(inputRows, m-row), min(panelRows, n-col), depth, &(*packedA)[(row-top)*depth], right, alpha, keep, c[row*ldc+col:], ldc)
				}
			}
		})
	}
}

// gemmTile computes rows x cols of C from one panel of A (depth, 12) and one of B (depth, 32).
func gemmTile(rows, cols, depth int, a *float32, b unsafe.Pointer, alpha, beta float32, c []float32, ldc int) {
	if cols == panelRows {
		_ = c[(rows-1)*ldc+cols-1]
		tile(F32, rows, depth, a, 4, 4*inputRows, b, 4*panelRows, panelRows, &c[0], 4*ldc, alpha, beta)
		return
	}
	var full [inputRows * panelRows]float32
	tile(F32, rows, depth, a, 4, 4*inputRows, b, 4*panelRows, panelRows, &full[0], 4*panelRows, alpha, 0)
	for i := range rows {
		row := c[i*ldc:][:cols]
		for j, v := range full[i*panelRows:][:cols] {
			row[j] = v + scaled(beta, row[j])
		}
	}
}

// scaled is beta·c, and 0 for beta 0 whatever c is.
func scaled(beta, c float32) float32 {
	if beta == 0 {
		return 0
	}
	return beta * c
}

// pack copies width columns of a (k, columns) matrix, rows from to from+depth, so that each row's are side by side, filled up with zeros to stride. across
// says that the matrix is stored as (columns, k).
func pack(to []float32, stride int, from []float32, ld int, across bool, first, depth, col, width int) {
	if width < stride {
		clear(to)
	}
	if !across {
		for p := range depth {
			copy(to[p*stride:][:width], from[(first+p)*ld+col:])
		}
		return
	}
	j := 0
	for ; j+4 <= width; j += 4 { // four at a time: a quarter of the trips over to
		r0, r1, r2, r3 := from[(col+j)*ld+first:][:depth], from[(col+j+1)*ld+first:][:depth], from[(col+j+2)*ld+first:][:depth], from[(col+j+3)*ld+first:][:depth]
		for p, v := range r0 {
			at := to[p*stride+j:][:4]
			at[0], at[1], at[2], at[3] = v, r1[p], r2[p], r3[p]
		}
	}
	for ; j < width; j++ {
		row := from[(col+j)*ld+first:][:depth]
		for p, v := range row {
			to[p*stride+j] = v
		}
	}
}

var buffers sync.Pool

// takeBuffer gives a buffer of at least n floats, to be put back.
func takeBuffer(n int) *[]float32 {
	if b, ok := buffers.Get().(*[]float32); ok && len(*b) >= n {
		return b
	}
	b := aligned[float32](n)
	return &b
}
