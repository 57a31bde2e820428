//go:build !opencl || !linux || !(amd64 || arm64)

package opencl

import "errors"

// errNotBuilt tells that the program cannot load a driver.
var errNotBuilt = errors.New("this program was built without OpenCL (go build -tags opencl)")

type entry struct{}

func (*library) load() error { return errNotBuilt }

// raw is never called: there is no library without load.
func (*library) raw(function, ...uintptr) uintptr { panic(errNotBuilt) }
