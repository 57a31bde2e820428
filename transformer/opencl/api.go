package opencl

import (
	"fmt"
	"sync"
)

// function is one of the driver's functions.
type function int

const (
	getPlatformIDs function = iota
	getPlatformInfo
	getDeviceIDs
	getDeviceInfo
	createContext
	releaseContext
	createCommandQueue
	releaseCommandQueue
	createBuffer
	releaseMemObject
	createProgramWithSource
	buildProgram
	getProgramBuildInfo
	releaseProgram
	createKernel
	getKernelWorkGroupInfo
	setKernelArg
	releaseKernel
	enqueueNDRangeKernel
	enqueueReadBuffer
	enqueueWriteBuffer
	enqueueFillBuffer
	finish
	functions // how many
)

// names are those of the OpenCL 1.2 specification; newer drivers have them all.
var names = [functions]string{
	"clGetPlatformIDs", "clGetPlatformInfo", "clGetDeviceIDs", "clGetDeviceInfo",
	"clCreateContext", "clReleaseContext", "clCreateCommandQueue", "clReleaseCommandQueue", "clCreateBuffer", "clReleaseMemObject",
	"clCreateProgramWithSource", "clBuildProgram", "clGetProgramBuildInfo", "clReleaseProgram",
	"clCreateKernel", "clGetKernelWorkGroupInfo", "clSetKernelArg", "clReleaseKernel",
	"clEnqueueNDRangeKernel", "clEnqueueReadBuffer", "clEnqueueWriteBuffer", "clEnqueueFillBuffer", "clFinish",
}

func (f function) String() string { return names[f] }

// What is passed to and asked of the driver, as cl.h numbers it.
const (
	platformName = 0x0902

	deviceTypeAll         = 0xFFFFFFFF
	deviceTypeGPU         = 1 << 2
	deviceType            = 0x1000
	deviceMaxAllocation   = 0x1010
	deviceGlobalMemory    = 0x101F
	deviceAvailable       = 0x1027
	deviceCompilerIsThere = 0x1028
	deviceName            = 0x102B
	deviceVersion         = 0x102F

	contextPlatform = 0x1084

	programBuildLog     = 0x1183
	kernelWorkGroupSize = 0x11B0

	memReadWrite = 1 << 0
)

// Error is what the driver answered to a call that failed.
type Error struct {
	Call string
	Code int32
}

func (e *Error) Error() string { return fmt.Sprintf("%s: %s (%d)", e.Call, meaning(e.Code), e.Code) }

// The codes that callers tell apart.
const (
	deviceNotFound   = -1
	buildFailure     = -11
	platformNotFound = -1001
)

// meaning is a code in words; those that only a mistake in this package leads to have none.
func meaning(code int32) string {
	switch code {
	case deviceNotFound:
		return "no device"
	case -2:
		return "the device is not available"
	case -3:
		return "the driver has no compiler"
	case -4:
		return "the device has no memory left for a buffer"
	case -5:
		return "the device is out of resources, or was lost"
	case -6:
		return "the driver is out of memory"
	case buildFailure:
		return "the kernels do not compile"
	case -36:
		return "the device was lost"
	case -54, -55:
		return "work-groups of this size are too large for the device"
	case -61:
		return "a buffer is larger than the device allows"
	case platformNotFound:
		return "no OpenCL driver is installed"
	}
	return "failed"
}

// library is the loader of the drivers.
type library struct {
	entry
	// refuse, where it is set, is asked before calls; a code that is not 0 stands for the driver's own. Tests make hardware fail with it.
	refuse func(function) int32
}

// call calls a function that returns its code.
//
//go:uintptrescapes
func (l *library) call(f function, args ...uintptr) error {
	if err := l.refused(f); err != nil {
		return err
	}
	return l.check(f, int32(l.raw(f, args...)))
}

func (l *library) refused(f function) error {
	if l.refuse == nil {
		return nil
	}
	return l.check(f, l.refuse(f))
}

func (l *library) check(f function, code int32) error {
	if code == 0 {
		return nil
	}
	return &Error{Call: f.String(), Code: code}
}

// shared is loaded once, when hardware is first looked for.
var shared = sync.OnceValues(func() (*library, error) {
	l := &library{}
	if err := l.load(); err != nil {
		return nil, err
	}
	return l, nil
})
