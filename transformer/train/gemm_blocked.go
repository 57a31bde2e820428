package train

import "sync"

// blockedGemm is gemm for m, n, k > 0 on a processor that has the kernel. It is the usual blocked product (Goto & van de Geijn 2008): both
// factors are packed into panels that the innermost loop reads in order.
func blockedGemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	bPanels := (n + tileCols - 1) / tileCols
	packedB := takeBuffer(min(k, blockDepth) * bPanels * tileCols)
	defer buffers.Put(packedB)
	run := serial
	if m*n*k > parallelFrom {
		run = parallel
	}
	for from := 0; from < k; from += blockDepth {
		depth := min(blockDepth, k-from)
		run(bPanels, func(p int) {
			col := p * tileCols
			pack(*packedB, p*depth*tileCols, tileCols, b, ldb, transB, from, depth, col, min(tileCols, n-col))
		})
		keep := beta
		if from > 0 {
			keep = 1
		}
		run((m+blockRows-1)/blockRows, func(block int) {
			packedA := takeBuffer(blockRows * blockDepth)
			defer buffers.Put(packedA)
			top, bottom := block*blockRows, min(m, (block+1)*blockRows)
			for row := top; row < bottom; row += tileRows {
				pack(*packedA, (row-top)*depth, tileRows, a, lda, !transA, from, depth, row, min(tileRows, m-row))
			}
			for p := range bPanels {
				for row := top; row < bottom; row += tileRows {
					col := p * tileCols
					tile((*packedA)[(row-top)*depth:][:depth*tileRows], (*packedB)[p*depth*tileCols:][:depth*tileCols],
						min(tileRows, m-row), min(tileCols, n-col), depth, alpha, keep, c[row*ldc+col:], ldc)
				}
			}
		})
	}
}

// Sizes of the blocked product. A tile of C stays in registers; a panel of B (blockDepth, tileCols) stays in the first-level
// cache, a block of A (blockRows, blockDepth) in the second.
const (
	tileRows, tileCols = 12, 32
	blockRows          = 4 * tileRows
	blockDepth         = 256
	parallelFrom       = 1 << 21 // multiplications below which a second core does not pay
)

// pack copies width columns of a (k, columns) matrix, rows from to from+depth, so that each row's are side by side, filled up with zeros to
// stride. across says that the matrix is stored as (columns, k).
func pack(dst []float32, at, stride int, src []float32, ld int, across bool, from, depth, col, width int) {
	dst = dst[at:][:depth*stride]
	if width < stride {
		clear(dst)
	}
	if !across {
		for p := range depth {
			copy(dst[p*stride:][:width], src[(from+p)*ld+col:])
		}
		return
	}
	for j := range width {
		row := src[(col+j)*ld+from:][:depth]
		for p, v := range row {
			dst[p*stride+j] = v
		}
	}
}

// tile computes rows x cols of C from one panel of A (depth, tileRows) and one of B (depth, tileCols).
func tile(a, b []float32, rows, cols, depth int, alpha, beta float32, c []float32, ldc int) {
	if rows == tileRows && cols == tileCols {
		_ = c[(tileRows-1)*ldc+tileCols-1]
		kernel(depth, &a[0], &b[0], &c[0], ldc, alpha, beta)
		return
	}
	var full [tileRows * tileCols]float32
	kernel(depth, &a[0], &b[0], &full[0], tileCols, alpha, 0)
	for i := range rows {
		row := c[i*ldc:][:cols]
		for j, v := range full[i*tileCols:][:cols] {
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

func serial(n int, f func(i int)) {
	for i := range n {
		f(i)
	}
}

var buffers sync.Pool

// takeBuffer gives a buffer of at least n floats, to be put back.
func takeBuffer(n int) *[]float32 {
	if b, ok := buffers.Get().(*[]float32); ok && len(*b) >= n {
		return b
	}
	b := make([]float32, n)
	return &b
}
