//go:build !linux

package kernels

func preferHugePages([]byte) {}
