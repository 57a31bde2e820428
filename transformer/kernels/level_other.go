//go:build !amd64

package kernels

func supported() []Level { return []Level{Plain} }
