package train

import (
	"gonum.org/v1/gonum/blas"
	"gonum.org/v1/gonum/blas/gonum"
)

// gemm computes C = alpha·op(A)·op(B) + beta·C on row-major float32 matrices, where op transposes when its flag is
// set: op(A) is (m, k), op(B) is (k, n), C is (m, n); lda, ldb and ldc are the distances between rows as stored. With beta 0
// what C held does not matter.
//
// All of the package's matrix products come through here, so a faster one has one place to go. The sum over k runs in the
// same order however many cores there are, so results are equal bit by bit.
func gemm(transA, transB bool, m, n, k int, alpha float32, a []float32, lda int, b []float32, ldb int, beta float32, c []float32, ldc int) {
	if haveKernel && m > 0 && n > 0 && k > 0 {
		blockedGemm(transA, transB, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
		return
	}
	gonum.Implementation{}.Sgemm(transpose(transA), transpose(transB), m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)
}

func transpose(yes bool) blas.Transpose {
	if yes {
		return blas.Trans
	}
	return blas.NoTrans
}
