package train

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
)

// gemm computes C = alpha·op(A)·op(B) + beta·C on row-major float32 matrices, where op transposes when its flag is
// set: op(A) is (m, k), op(B) is (k, n), C is (m, n); lda, ldb and ldc are the distances between rows as stored.
// All of the package's matrix products come through here, so a faster kernel has one place to go. An
// implementation must sum over k in an order that does not depend on the number of cores.
func gemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	gonum.Implementation{}.Sgemm(transpose(transA), transpose(transB), m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

func transpose(yes bool) blas.Transpose {
	if yes {
		return blas.Trans
	}
	return blas.NoTrans
}
