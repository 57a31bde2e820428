//go:build !amd64

package train

const haveKernel = false

func kernel(int, *float32, *float32, *float32, int, float32, float32) {
	panic("train: no kernel for this processor")
}
