//go:build !linux

package pgtest

import "syscall"

// endWithParent does nothing where the kernel offers no such service.
func endWithParent(*syscall.SysProcAttr) {}
