package kernels

import (
	"fmt"
	"os"
)

// Level is a set of instructions.
type Level string

// The levels, from what runs everywhere to what is fastest.
const (
	Plain  Level = "go"
	AVX2   Level = "avx2"   // AVX2, FMA and F16C: Intel from 2013, AMD from 2015
	AVX512 Level = "avx512" // AVX-512 F, BW, DQ, VL and VNNI: Intel servers from 2019, AMD from 2022
)

// level is what the functions of this package run on. Only tests change it.
var level = chooseLevel(os.Getenv("TELLER_KERNELS"), supported())

// Active gives the instructions that this process uses.
func Active() Level { return level }

// chooseLevel panics on a wish that cannot be met: whoever set it is measuring or looking for a fault, and must not look at another level.
func chooseLevel(wish string, have []Level) Level {
	if wish == "" {
		return have[len(have)-1]
	}
	for _, l := range have {
		if string(l) == wish {
			return l
		}
	}
	panic(fmt.Sprintf("kernels: TELLER_KERNELS=%s: this processor has %v", wish, have))
}
