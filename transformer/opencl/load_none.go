//go:build !opencl || !linux || !(amd64 || arm64)

package opencl

func (*library) load() error { return errNotBuilt }

// raw is never called: there is no library without load.
func (*library) raw(function, ...uintptr) uintptr { panic(errNotBuilt) }
