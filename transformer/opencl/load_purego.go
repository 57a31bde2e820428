//go:build opencl && linux && (amd64 || arm64)

package opencl

import (
	"fmt"
	"os"

	"github.com/ebitengine/purego"
)

// libraryName is the loader's, by its ABI: it hands calls on to the drivers that /etc/OpenCL/vendors names.
const libraryName = "libOpenCL.so.1"

// entry is where the functions begin.
type entry struct{ address [functions]uintptr }

func (l *library) load() error {
	// PoCL, a driver for processors, would take SIGFPE for itself, with which Go tells a division by zero.
	if _, set := os.LookupEnv("POCL_SIGFPE_HANDLER"); !set {
		if err := os.Setenv("POCL_SIGFPE_HANDLER", "0"); err != nil {
			return err
		}
	}
	handle, err := purego.Dlopen(libraryName, purego.RTLD_NOW|purego.RTLD_LOCAL)
	if err != nil {
		return fmt.Errorf("OpenCL is not installed: %w", err)
	}
	for f := range functions {
		if l.address[f], err = purego.Dlsym(handle, f.String()); err != nil {
			return fmt.Errorf("%s is no OpenCL 1.2: %w", libraryName, err)
		}
	}
	return nil
}

// raw calls a function. Arguments are integers of at most the size of a pointer, and addresses; those that are
// converted from pointers in the call itself are kept alive, and in their place, until it returns.
//
//go:uintptrescapes
func (l *library) raw(f function, args ...uintptr) uintptr {
	r, _, _ := purego.SyscallN(l.address[f], args...)
	return r
}
