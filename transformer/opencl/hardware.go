package opencl

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unsafe"
)

// Hardware is something that an OpenCL driver can compute on.
type Hardware struct {
	Name          string
	Driver        string // its name
	Version       string // of OpenCL, in the driver's words
	GPU           bool
	Memory        int // bytes
	MaxAllocation int // bytes of the largest buffer

	lib              *library
	platform, device uintptr
}

// Find lists the hardware, in the order of the drivers. An error says why there is none.
func Find() ([]Hardware, error) {
	lib, err := shared()
	if err != nil {
		return nil, err
	}
	return lib.find()
}

// maxListed is how many drivers, and how many devices of each, are looked at.
const maxListed = 64

func (l *library) find() ([]Hardware, error) {
	var all []Hardware
	var errs []error
	var platforms, devices [maxListed]uintptr
	var count uint32
	if err := l.call(getPlatformIDs, maxListed, uintptr(unsafe.Pointer(&platforms)), uintptr(unsafe.Pointer(&count))); err != nil {
		return nil, err
	}
	for _, platform := range platforms[:min(count, maxListed)] {
		err := l.call(getDeviceIDs, platform, deviceTypeAll, maxListed, uintptr(unsafe.Pointer(&devices)), uintptr(unsafe.Pointer(&count)))
		if err != nil {
			var failed *Error
			if !errors.As(err, &failed) || failed.Code != deviceNotFound {
				errs = append(errs, err)
			}
			continue
		}
		for _, device := range devices[:min(count, maxListed)] {
			h, err := l.describe(platform, device)
			if err != nil {
				errs = append(errs, err)
				continue
			}
			all = append(all, h)
		}
	}
	switch {
	case len(all) > 0:
		return all, nil // a driver that fails is of no interest beside one that works
	case len(errs) > 0:
		return nil, errors.Join(errs...)
	}
	return nil, errors.New("the OpenCL drivers know of no hardware")
}

// describe asks a device what it is. It refuses one that cannot compile kernels.
func (l *library) describe(platform, device uintptr) (Hardware, error) {
	h := Hardware{lib: l, platform: platform, device: device}
	var errs []error
	text := func(f function, object uintptr, what uintptr) string {
		data, err := l.info(f, object, what)
		errs = append(errs, err)
		return strings.Join(strings.Fields(strings.TrimRight(string(data), "\x00")), " ")
	}
	number := func(what uintptr) int {
		data, err := l.info(getDeviceInfo, device, what)
		errs = append(errs, err)
		switch len(data) {
		case 4:
			return int(binary.NativeEndian.Uint32(data))
		case 8:
			return int(binary.NativeEndian.Uint64(data))
		}
		return 0
	}
	h.Driver = text(getPlatformInfo, platform, platformName)
	h.Name = text(getDeviceInfo, device, deviceName)
	h.Version = text(getDeviceInfo, device, deviceVersion)
	h.GPU = number(deviceType)&deviceTypeGPU != 0
	h.Memory, h.MaxAllocation = number(deviceGlobalMemory), number(deviceMaxAllocation)
	usable := number(deviceAvailable) != 0 && number(deviceCompilerIsThere) != 0
	if err := errors.Join(errs...); err != nil {
		return h, err
	}
	if !usable || strings.HasPrefix(h.Version, "OpenCL 1.0 ") || strings.HasPrefix(h.Version, "OpenCL 1.1 ") {
		return h, fmt.Errorf("%s (%s) is not available, or no OpenCL 1.2 with a compiler", h.Name, h.Version)
	}
	return h, nil
}

// info gives what the driver says about a platform or a device.
func (l *library) info(f function, object, what uintptr) ([]byte, error) {
	var size uintptr
	if err := l.call(f, object, what, 0, 0, uintptr(unsafe.Pointer(&size))); err != nil || size == 0 {
		return nil, err
	}
	data := make([]byte, size)
	err := l.call(f, object, what, size, uintptr(unsafe.Pointer(unsafe.SliceData(data))), 0)
	return data, err
}
