// Package devices names the hardware that can run models, and chooses among it.
package devices

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"teller/transformer/llama"
	"teller/transformer/opencl"
)

// The choices there are. OpenCL takes a number, too: "opencl:1" is the hardware that List has second.
const (
	Auto   = "auto"
	CPU    = "cpu"
	OpenCL = "opencl"
)

// every says that a choice of OpenCL names no number.
const every = -1

func parse(choice string) (number int, err error) {
	switch choice {
	case Auto, CPU, OpenCL, "":
		return every, nil
	}
	if text, ok := strings.CutPrefix(choice, OpenCL+":"); ok {
		if n, err := strconv.ParseUint(text, 10, 16); err == nil {
			return int(n), nil
		}
	}
	return 0, fmt.Errorf("the device %q is none of auto, cpu, opencl, opencl:NUMBER", choice)
}

// Choose gives the accelerators to try, the best first; none means the processor. Auto, as does an empty choice, names graphics cards only; OpenCL anything
// that has a driver, graphics cards first. An error says why there is nothing of what was named; that there is no card is none for Auto.
func Choose(choice string) ([]llama.Accelerator, error) {
	number, err := parse(choice)
	if err != nil || choice == CPU {
		return nil, err
	}
	auto := choice == Auto || choice == ""
	if auto && !hasCard() {
		return nil, nil
	}
	found, err := opencl.Find()
	if err != nil {
		if auto {
			return nil, nil
		}
		return nil, err
	}
	if number != every {
		if number >= len(found) {
			return nil, fmt.Errorf("there is no OpenCL device %d: there are %d, from 0 on", number, len(found))
		}
		found = found[number : number+1]
	}
	if auto {
		found = slices.DeleteFunc(found, func(h opencl.Hardware) bool { return !h.GPU })
	}
	slices.SortStableFunc(found, func(a, b opencl.Hardware) int { return rank(a) - rank(b) })
	var all []llama.Accelerator
	for _, h := range found {
		all = append(all, opencl.Accelerator{Hardware: h})
	}
	return all, nil
}

// cards are the files by which Linux reaches graphics cards: NVIDIA's, AMD's and others' with Mesa, Windows' under WSL, those of phones.
var cards = []string{"/dev/nvidiactl", "/dev/kfd", "/dev/dri/renderD*", "/dev/dxg", "/dev/mali*", "/dev/kgsl-3d*"}

// hasCard tells whether it is worth asking the drivers: they stay loaded, and one for processors alone would add its compiler's 60 MB to
// every process that runs a model.
func hasCard() bool {
	for _, pattern := range cards {
		if found, err := filepath.Glob(pattern); err == nil && len(found) > 0 {
			return true
		}
	}
	return false
}

// rank puts graphics cards first.
func rank(h opencl.Hardware) int {
	if h.GPU {
		return 0
	}
	return 1
}

// Listed is a device that can be chosen.
type Listed struct {
	Choice string // what chooses it
	Name   string
	Detail string
	Memory int  // bytes; 0 for the processor, which shares the machine's
	Auto   bool // Auto would try it
}

// List gives the processor and all that has a driver. The error says why there is nothing beside the processor.
func List() ([]Listed, error) {
	all := []Listed{{Choice: CPU, Name: "cpu", Detail: "this machine's processor"}}
	found, err := opencl.Find()
	for i, h := range found {
		all = append(all, Listed{
			Choice: fmt.Sprintf("%s:%d", OpenCL, i), Name: opencl.Accelerator{Hardware: h}.Name(), Detail: h.Driver + ", " + h.Version, Memory: h.Memory, Auto: h.GPU,
		})
	}
	return all, err
}
