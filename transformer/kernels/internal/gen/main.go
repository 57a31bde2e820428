// Command gen writes the assembly of package kernels. It is a module of its own, so that Teller itself does not depend on avo.
package main

import (
	"fmt"
	"os"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

func main() {
	for _, quads := range []bool{false, true} {
		matVecQ512(quads)
		matMulQ512(quads)
		matVecQ2(quads)
	}
	quantize512()
	quantize2()

	for _, t := range []element{float32s, float16s, bfloat16s} {
		for _, cols := range []int{32, 16} {
			if t == bfloat16s && cols == 16 {
				continue // 16 columns are for values of attention, which are not kept as bfloat16
			}
			for _, rows := range rows512 {
				tile512(t, rows, cols)
			}
		}
		for _, rows := range rows2 {
			tile2(t, rows)
		}
	}
	for _, t := range []element{float32s, float16s} {
		wide512(t, 48)
		wide512(t, 64)
	}

	for _, v := range []vector{wide, narrow} {
		v.add()
		v.sumSquares()
		v.scaleMul()
		v.scale()
		v.swiGLU()
		v.maximum()
		v.expSum()
		v.rotateHalves()
		v.rotatePairs()
		v.fromHalf()
		v.toHalf()
		v.firstAbove()
	}

	spin()
	floors()
	Generate()
	if err := writeTileChoice("../../tiles_amd64.go"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// Operands by number, as the loops over them need.
var (
	zmm = []reg.VecPhysical{
		reg.Z0, reg.Z1, reg.Z2, reg.Z3, reg.Z4, reg.Z5, reg.Z6, reg.Z7, reg.Z8, reg.Z9, reg.Z10, reg.Z11, reg.Z12, reg.Z13, reg.Z14, reg.Z15,
		reg.Z16, reg.Z17, reg.Z18, reg.Z19, reg.Z20, reg.Z21, reg.Z22, reg.Z23, reg.Z24, reg.Z25, reg.Z26, reg.Z27, reg.Z28, reg.Z29, reg.Z30, reg.Z31,
	}
	ymm = []reg.VecPhysical{
		reg.Y0, reg.Y1, reg.Y2, reg.Y3, reg.Y4, reg.Y5, reg.Y6, reg.Y7, reg.Y8, reg.Y9, reg.Y10, reg.Y11, reg.Y12, reg.Y13, reg.Y14, reg.Y15,
	}
	xmm = []reg.VecPhysical{
		reg.X0, reg.X1, reg.X2, reg.X3, reg.X4, reg.X5, reg.X6, reg.X7, reg.X8, reg.X9, reg.X10, reg.X11, reg.X12, reg.X13, reg.X14, reg.X15,
	}
)

// function begins a function of the package. Its pointers do not escape.
func function(name, signature, doc string) {
	TEXT(name, NOSPLIT, signature)
	Pragma("noescape")
	Doc(doc)
}

// param loads an integer or a pointer.
func param(name string) reg.GPVirtual { return Load(Param(name), GP64()).(reg.GPVirtual) }

// loop repeats body while count, which it counts down, is not 0. It may be 0 at the start.
func loop(name string, count reg.Register, body func()) {
	TESTQ(count, count)
	JZ(LabelRef(name + "_done"))
	Label(name)
	body()
	DECQ(count)
	JNZ(LabelRef(name))
	Label(name + "_done")
}

func ret() {
	VZEROUPPER()
	RET()
}

// constant32 gives the place of a read-only 32-bit constant.
func constant32(name string, value uint32) Mem {
	if m, ok := constants[name]; ok {
		return m
	}
	m := GLOBL(name, RODATA|NOPTR)
	DATA(0, U32(value))
	constants[name] = m
	return m
}

var constants = map[string]Mem{}
