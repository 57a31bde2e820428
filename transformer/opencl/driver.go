package opencl

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"strings"
	"unsafe"
)

// driver is a context with one queue, in whose order everything runs, and what was made in it.
type driver struct {
	*library
	hardware Hardware
	context  uintptr
	queue    uintptr
	programs []uintptr
	kernels  []*kernel
	buffers  []buffer
}

// buffer is memory of the device.
type buffer struct {
	handle uintptr
	size   int // bytes
}

func newDriver(h Hardware) (*driver, error) {
	d := &driver{library: h.lib, hardware: h}
	properties := [...]uintptr{contextPlatform, h.platform, 0}
	var code int32
	d.context = d.raw(createContext, uintptr(unsafe.Pointer(&properties)), 1, uintptr(unsafe.Pointer(&h.device)), 0, 0, uintptr(unsafe.Pointer(&code)))
	if err := d.check(createContext, code); err != nil {
		return nil, err
	}
	d.queue = d.raw(createCommandQueue, d.context, h.device, 0, uintptr(unsafe.Pointer(&code)))
	if err := d.check(createCommandQueue, code); err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

// close releases everything. What the driver says to that changes nothing.
func (d *driver) close() {
	for _, k := range d.kernels {
		_ = d.call(releaseKernel, k.handle)
	}
	for _, p := range d.programs {
		_ = d.call(releaseProgram, p)
	}
	for _, b := range d.buffers {
		_ = d.call(releaseMemObject, b.handle)
	}
	d.kernels, d.programs, d.buffers = nil, nil, nil
	if d.queue != 0 {
		_ = d.call(releaseCommandQueue, d.queue)
	}
	if d.context != 0 {
		_ = d.call(releaseContext, d.context)
	}
	d.queue, d.context = 0, 0
}

// allocate makes a buffer of zeros. Filling it is what makes a driver that promises memory before it has any find it.
func (d *driver) allocate(size int, what string) (buffer, error) {
	size = max(16, (size+15)/16*16)
	if size > d.hardware.MaxAllocation {
		return buffer{}, fmt.Errorf("%s of %d MB in one piece, the device allows %d MB", what, size>>20, d.hardware.MaxAllocation>>20)
	}
	if err := d.refused(createBuffer); err != nil {
		return buffer{}, fmt.Errorf("%s of %d MB: %w", what, size>>20, err)
	}
	var code int32
	handle := d.raw(createBuffer, d.context, memReadWrite, uintptr(size), 0, uintptr(unsafe.Pointer(&code)))
	if err := d.check(createBuffer, code); err != nil {
		return buffer{}, fmt.Errorf("%s of %d MB: %w", what, size>>20, err)
	}
	b := buffer{handle, size}
	d.buffers = append(d.buffers, b)
	var zero [16]byte
	err := d.call(enqueueFillBuffer, d.queue, handle, uintptr(unsafe.Pointer(&zero)), uintptr(len(zero)), 0, uintptr(size), 0, 0, 0)
	if err == nil {
		err = d.call(finish, d.queue)
	}
	if err != nil {
		return buffer{}, fmt.Errorf("%s of %d MB: %w", what, size>>20, err)
	}
	return b, nil
}

// free releases a buffer before the others.
func (d *driver) free(b buffer) {
	for i := range d.buffers {
		if d.buffers[i] == b {
			d.buffers = append(d.buffers[:i], d.buffers[i+1:]...)
			_ = d.call(releaseMemObject, b.handle)
			return
		}
	}
}

// element is what a buffer can be read to and written from.
type element interface{ ~byte | ~int32 | ~float32 }

// write copies data to a place in a buffer, in bytes, and returns when it can be changed again.
func write[T element](d *driver, b buffer, at int, data []T) error {
	if len(data) == 0 {
		return nil
	}
	size := len(data) * int(unsafe.Sizeof(data[0]))
	return d.call(enqueueWriteBuffer, d.queue, b.handle, 1, uintptr(at), uintptr(size), uintptr(unsafe.Pointer(unsafe.SliceData(data))), 0, 0, 0)
}

// read fills data from the beginning of a buffer, after all that was enqueued before.
func read[T element](d *driver, b buffer, data []T) error {
	size := len(data) * int(unsafe.Sizeof(data[0]))
	return d.call(enqueueReadBuffer, d.queue, b.handle, 1, 0, uintptr(size), uintptr(unsafe.Pointer(unsafe.SliceData(data))), 0, 0, 0)
}

// program compiles source with definitions.
func (d *driver) program(source string, defines ...string) (uintptr, error) {
	text := unsafe.StringData(source)
	length := uintptr(len(source))
	var code int32
	program := d.raw(createProgramWithSource, d.context, 1, uintptr(unsafe.Pointer(&text)), uintptr(unsafe.Pointer(&length)), uintptr(unsafe.Pointer(&code)))
	runtime.KeepAlive(source)
	if err := d.check(createProgramWithSource, code); err != nil {
		return 0, err
	}
	d.programs = append(d.programs, program)
	options := []byte("-cl-std=CL1.2")
	for _, define := range defines {
		options = append(options, " -D "+define...)
	}
	options = append(options, 0)
	err := d.call(buildProgram, program, 1, uintptr(unsafe.Pointer(&d.hardware.device)), uintptr(unsafe.Pointer(unsafe.SliceData(options))), 0, 0)
	var failed *Error
	if errors.As(err, &failed) && failed.Code == buildFailure {
		return 0, fmt.Errorf("%w: %s", err, d.buildLog(program))
	}
	return program, err
}

// buildLog is what the compiler had to say.
func (d *driver) buildLog(program uintptr) string {
	log := make([]byte, 4096)
	var size uintptr
	err := d.call(getProgramBuildInfo, program, d.hardware.device, programBuildLog, uintptr(len(log)), uintptr(unsafe.Pointer(unsafe.SliceData(log))),
		uintptr(unsafe.Pointer(&size)))
	if err != nil { // such as a log that is longer
		return "(no log)"
	}
	return strings.TrimSpace(strings.TrimRight(string(log[:size]), "\x00"))
}

// kernel is a function of a program, with the size of its work-groups.
type kernel struct {
	name   string
	handle uintptr
	local  [2]uintptr
	value  [24]uint64 // of the arguments: the driver reads them from here
}

// kernel finds a kernel, and that the device can run its work-groups.
func (d *driver) kernel(program uintptr, name string, x, y uintptr) (*kernel, error) {
	spelled := append([]byte(name), 0)
	var code int32
	k := &kernel{name: name, local: [2]uintptr{x, y}}
	k.handle = d.raw(createKernel, program, uintptr(unsafe.Pointer(unsafe.SliceData(spelled))), uintptr(unsafe.Pointer(&code)))
	if err := d.check(createKernel, code); err != nil {
		return nil, fmt.Errorf("kernel %s: %w", name, err)
	}
	d.kernels = append(d.kernels, k)
	var most uintptr
	err := d.call(getKernelWorkGroupInfo, k.handle, d.hardware.device, kernelWorkGroupSize, unsafe.Sizeof(most), uintptr(unsafe.Pointer(&most)), 0)
	if err != nil {
		return nil, fmt.Errorf("kernel %s: %w", name, err)
	}
	if most < x*y {
		return nil, fmt.Errorf("kernel %s needs work-groups of %d, the device has them up to %d", name, x*y, most)
	}
	return k, nil
}

// argument is a value of at most eight bytes, or how many bytes of a work-group's local memory a kernel gets.
type argument struct {
	size  uintptr
	value uint64
	local bool
}

func number(v int) argument      { return argument{4, uint64(uint32(int32(v))), false} }
func real(v float32) argument    { return argument{4, uint64(math.Float32bits(v)), false} }
func memory(b buffer) argument   { return argument{unsafe.Sizeof(b.handle), uint64(b.handle), false} }
func scratch(bytes int) argument { return argument{uintptr(bytes), 0, true} }
func flag(set bool) argument {
	if set {
		return number(1)
	}
	return number(0)
}

// run enqueues a kernel for groups (x, y, z) of work-groups; z groups are one deep.
func (d *driver) run(k *kernel, groups [3]int, args ...argument) error {
	for i, a := range args {
		var err error
		if a.local {
			err = d.call(setKernelArg, k.handle, uintptr(i), a.size, 0)
		} else {
			k.value[i] = a.value // little-endian: the first bytes are the value, whatever its size
			err = d.call(setKernelArg, k.handle, uintptr(i), a.size, uintptr(unsafe.Pointer(&k.value[i])))
		}
		if err != nil {
			return fmt.Errorf("kernel %s, argument %d: %w", k.name, i, err)
		}
	}
	global := [3]uintptr{uintptr(groups[0]) * k.local[0], uintptr(groups[1]) * k.local[1], uintptr(groups[2])}
	local := [3]uintptr{k.local[0], k.local[1], 1}
	err := d.call(enqueueNDRangeKernel, d.queue, k.handle, 3, 0, uintptr(unsafe.Pointer(&global)), uintptr(unsafe.Pointer(&local)), 0, 0, 0)
	if err != nil {
		return fmt.Errorf("kernel %s: %w", k.name, err)
	}
	return nil
}

// groupsOf is how many groups of a size cover n.
func groupsOf(n, size int) int { return (n + size - 1) / size }
