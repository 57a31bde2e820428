package train

import (
	"sync"

	"teller/transformer/kernels"
)

// threads are those of all matrix products. They sleep between them.
var threads = sync.OnceValue(func() *kernels.Pool { return kernels.NewPool(0) })

// gemm computes C = alpha·op(A)·op(B) + beta·C on row-major float32 matrices; see kernels.Gemm. All of the package's matrix products come through
// here. The sum over k runs in the same order however many cores there are, so results are equal bit by bit.
func gemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	kernels.Gemm(threads(), transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}
