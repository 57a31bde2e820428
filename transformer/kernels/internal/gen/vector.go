package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// vector writes the element-wise functions for one width of registers. AVX-512's take any length, AVX2's a multiple of 8.
type vector struct {
	suffix string
	lanes  int
	regs   []reg.VecPhysical
}

var (
	wide   = vector{"AVX512", 16, zmm}
	narrow = vector{"AVX2", 8, ymm}
)

// tail is the mask of a last, partial vector; nil for a full one.
type tail reg.Register

func (v vector) function(name, signature, doc string) {
	function(name+v.suffix, signature, name+v.suffix+" "+doc)
}

// each calls body for the vectors of n elements, with the mask of the elements that are left at the end. body moves its pointers on.
func (v vector) each(n reg.Register, body func(mask tail)) {
	rounds := GP64()
	MOVQ(n, rounds)
	SHRQ(Imm(map[int]uint64{16: 4, 8: 3}[v.lanes]), rounds)
	loop("full", rounds, func() { body(nil) })
	if v.lanes == 16 {
		ANDQ(Imm(15), n)
		JZ(LabelRef("whole"))
		bits := GP64()
		MOVQ(I32(-1), bits)
		BZHIQ(n, bits, bits)
		KMOVW(bits.As32(), reg.K1)
		body(reg.K1)
		Label("whole")
	}
}

func (v vector) load(from Mem, to reg.Register, mask tail) {
	if mask == nil {
		VMOVUPS(from, to)
	} else {
		VMOVUPS_Z(from, mask, to)
	}
}

func (v vector) store(from reg.Register, to Mem, mask tail) {
	if mask == nil {
		VMOVUPS(from, to)
	} else {
		VMOVUPS(from, mask, to)
	}
}

// advance moves pointers to floats on by a vector.
func (v vector) advance(pointers ...reg.Register) {
	for _, p := range pointers {
		ADDQ(Imm(uint64(4*v.lanes)), p)
	}
}

// constant gives 16 copies of a value in memory, an operand for either width.
func constant(name string, value uint32) Mem {
	name = "all" + name
	if m, ok := constants[name]; ok {
		return m
	}
	m := GLOBL(name, RODATA|NOPTR)
	for i := range 16 {
		DATA(4*i, U32(value))
	}
	constants[name] = m
	return m
}

// reduce folds a register with op into its first element. It uses the register after it.
func (v vector) reduce(at int, op func(ops ...Op)) {
	if v.lanes == 16 {
		VEXTRACTF64X4(U8(1), zmm[at], ymm[at+1])
		op(ymm[at+1], ymm[at], ymm[at])
	}
	VEXTRACTF128(U8(1), ymm[at], xmm[at+1])
	op(xmm[at+1], xmm[at], xmm[at])
	VPERMILPS(U8(0x4e), xmm[at], xmm[at+1])
	op(xmm[at+1], xmm[at], xmm[at])
	VPERMILPS(U8(0xb1), xmm[at], xmm[at+1])
	op(xmm[at+1], xmm[at], xmm[at])
}

func (v vector) returnFloat(at int) {
	place, err := ReturnIndex(0).Resolve()
	if err != nil {
		panic(err)
	}
	VMOVSS(xmm[at], place.Addr)
	ret()
}

func (v vector) add() {
	v.function("add", "func(x, y *float32, n int)", "adds y to x.")
	x, y, n := param("x"), param("y"), param("n")
	v.each(n, func(mask tail) {
		v.load(Mem{Base: x}, v.regs[0], mask)
		v.load(Mem{Base: y}, v.regs[1], mask)
		VADDPS(v.regs[0], v.regs[1], v.regs[0])
		v.store(v.regs[0], Mem{Base: x}, mask)
		v.advance(x, y)
	})
	ret()
}

func (v vector) sumSquares() {
	v.function("sumSquares", "func(x *float32, n int) float32", "is the sum of the squares of x.")
	x, n := param("x"), param("n")
	zero(v.regs[0])
	v.each(n, func(mask tail) {
		v.load(Mem{Base: x}, v.regs[2], mask)
		VFMADD231PS(v.regs[2], v.regs[2], v.regs[0])
		v.advance(x)
	})
	v.reduce(0, VADDPS)
	v.returnFloat(0)
}

func (v vector) scaleMul() {
	v.function("scaleMul", "func(out, x, weight *float32, n int, scale float32)", "sets out to scale times x times weight.")
	out, x, weight, n := param("out"), param("x"), param("weight"), param("n")
	broadcastParam("scale", v.regs[3])
	v.each(n, func(mask tail) {
		v.load(Mem{Base: x}, v.regs[0], mask)
		v.load(Mem{Base: weight}, v.regs[1], mask)
		VMULPS(v.regs[0], v.regs[3], v.regs[0])
		VMULPS(v.regs[0], v.regs[1], v.regs[0])
		v.store(v.regs[0], Mem{Base: out}, mask)
		v.advance(out, x, weight)
	})
	ret()
}

func (v vector) scale() {
	v.function("scale", "func(out, x *float32, n int, scale float32)", "sets out to scale times x.")
	out, x, n := param("out"), param("x"), param("n")
	broadcastParam("scale", v.regs[3])
	v.each(n, func(mask tail) {
		v.load(Mem{Base: x}, v.regs[0], mask)
		VMULPS(v.regs[0], v.regs[3], v.regs[0])
		v.store(v.regs[0], Mem{Base: out}, mask)
		v.advance(out, x)
	})
	ret()
}

// Numbers of the registers that exp needs its limits in.
const expMost, expLeast = 14, 15

func (v vector) expLimits() {
	VMOVUPS(constant("ExpMost", 0x42b00000), v.regs[expMost])   // 88
	VMOVUPS(constant("ExpLeast", 0xc2aeac50), v.regs[expLeast]) // -87.33655
}

// exp replaces register at by e to its power, using the three after it. The polynomial is that of Cephes' expf; see exp.go.
func (v vector) exp(at int) {
	x, shifted, n, p := v.regs[at], v.regs[at+1], v.regs[at+2], v.regs[at+3]
	VMINPS(x, v.regs[expMost], x) // in this order a NaN stays one
	VMAXPS(x, v.regs[expLeast], x)
	VMOVUPS(constant("Rounding", 0x4b400000), shifted)
	VFMADD231PS(constant("Log2E", 0x3fb8aa3b), x, shifted)
	VSUBPS(constant("Rounding", 0), shifted, n)
	VFNMADD231PS(constant("Ln2High", 0x3f318000), n, x)
	VFNMADD231PS(constant("Ln2Low", 0xb95e8083), n, x)
	VMOVUPS(constant("Exp0", 0x39506967), p)
	VFMADD213PS(constant("Exp1", 0x3ab743ce), x, p)
	VFMADD213PS(constant("Exp2", 0x3c088908), x, p)
	VFMADD213PS(constant("Exp3", 0x3d2aa9c1), x, p)
	VFMADD213PS(constant("Exp4", 0x3e2aaaaa), x, p)
	VFMADD213PS(constant("Exp5", 0x3f000000), x, p)
	VMULPS(x, x, n)
	VFMADD213PS(x, n, p)
	VADDPS(constant("One", 0x3f800000), p, p)
	VPSLLD(U8(23), shifted, shifted)
	VPADDD(shifted, p, x)
}

func (v vector) swiGLU() {
	v.function("swiGLU", "func(gate, up *float32, n int)", "sets gate to gate / (1 + exp(-gate)) * up.")
	gate, up, n := param("gate"), param("up"), param("n")
	v.expLimits()
	v.each(n, func(mask tail) {
		v.load(Mem{Base: gate}, v.regs[4], mask)
		v.load(Mem{Base: up}, v.regs[5], mask)
		zero(v.regs[0])
		VSUBPS(v.regs[4], v.regs[0], v.regs[0])
		v.exp(0)
		VADDPS(constant("One", 0x3f800000), v.regs[0], v.regs[0])
		VMULPS(v.regs[5], v.regs[4], v.regs[4])
		VDIVPS(v.regs[0], v.regs[4], v.regs[4])
		v.store(v.regs[4], Mem{Base: gate}, mask)
		v.advance(gate, up)
	})
	ret()
}

func (v vector) maximum() {
	v.function("maximum", "func(x *float32, n int) float32", "is the greatest of x, minus infinity for none.")
	x, n := param("x"), param("n")
	VMOVUPS(constant("MinusInf", 0xff800000), v.regs[0])
	v.each(n, func(mask tail) {
		v.load(Mem{Base: x}, v.regs[2], mask)
		if mask == nil {
			VMAXPS(v.regs[0], v.regs[2], v.regs[0])
		} else {
			VMAXPS(v.regs[0], v.regs[2], mask, v.regs[0])
		}
		v.advance(x)
	})
	v.reduce(0, VMAXPS)
	v.returnFloat(0)
}

func (v vector) expSum() {
	v.function("expSum", "func(x *float32, n int, scale, shift float32) float32", "sets x to exp(scale·x - shift) and sums it up.")
	x, n := param("x"), param("n")
	v.expLimits()
	broadcastParam("scale", v.regs[12])
	broadcastParam("shift", v.regs[13])
	zero(v.regs[4])
	v.each(n, func(mask tail) {
		v.load(Mem{Base: x}, v.regs[0], mask)
		VFMSUB213PS(v.regs[13], v.regs[12], v.regs[0])
		v.exp(0)
		if mask == nil {
			VADDPS(v.regs[0], v.regs[4], v.regs[4])
		} else {
			VADDPS(v.regs[0], v.regs[4], mask, v.regs[4])
		}
		v.store(v.regs[0], Mem{Base: x}, mask)
		v.advance(x)
	})
	v.reduce(4, VADDPS)
	v.returnFloat(4)
}

func (v vector) rotateHalves() {
	v.function("rotateHalves", "func(low, high, cos, sin *float32, n int)", "turns the n pairs (low[i], high[i]).")
	low, high, cos, sin, n := param("low"), param("high"), param("cos"), param("sin"), param("n")
	v.each(n, func(mask tail) {
		a, b, c, s := v.regs[0], v.regs[1], v.regs[2], v.regs[3]
		v.load(Mem{Base: low}, a, mask)
		v.load(Mem{Base: high}, b, mask)
		v.load(Mem{Base: cos}, c, mask)
		v.load(Mem{Base: sin}, s, mask)
		VMULPS(s, b, v.regs[4])
		VMULPS(s, a, v.regs[5])
		VFMSUB213PS(v.regs[4], c, a)
		VFMADD213PS(v.regs[5], c, b)
		v.store(a, Mem{Base: low}, mask)
		v.store(b, Mem{Base: high}, mask)
		v.advance(low, high, cos, sin)
	})
	ret()
}

// rotatePairs has no tail: it takes a multiple of half a vector's lanes.
func (v vector) rotatePairs() {
	v.function("rotatePairs", "func(x, cos, sin *float32, n int)", "turns the n pairs (x[2i], x[2i+1]), n being a multiple of half the lanes.")
	x, cos, sin, n := param("x"), param("cos"), param("sin"), param("n")
	order := GLOBL("twice"+v.suffix, RODATA|NOPTR)
	for i := range v.lanes {
		DATA(4*i, U32(uint32(i/2)))
	}
	half := ymm
	if v.lanes == 8 {
		half = xmm
	}
	VMOVUPS(order, v.regs[7])
	SHRQ(Imm(map[int]uint64{16: 3, 8: 2}[v.lanes]), n)
	loop("full", n, func() {
		VMOVUPS(Mem{Base: cos}, half[1])
		VMOVUPS(Mem{Base: sin}, half[2])
		VMOVUPS(Mem{Base: x}, v.regs[0])
		VPERMPS(v.regs[1], v.regs[7], v.regs[1])
		VPERMPS(v.regs[2], v.regs[7], v.regs[2])
		VPERMILPS(U8(0xb1), v.regs[0], v.regs[3])
		VMULPS(v.regs[2], v.regs[3], v.regs[3])
		VFMADDSUB213PS(v.regs[3], v.regs[1], v.regs[0])
		VMOVUPS(v.regs[0], Mem{Base: x})
		v.advance(x)
		ADDQ(Imm(uint64(2*v.lanes)), cos)
		ADDQ(Imm(uint64(2*v.lanes)), sin)
	})
	ret()
}

func (v vector) fromHalf() {
	v.function("fromHalf", "func(to *float32, from *uint16, n int)", "converts from float16.")
	to, from, n := param("to"), param("from"), param("n")
	v.each(n, func(mask tail) {
		if mask == nil {
			VCVTPH2PS(Mem{Base: from}, v.regs[0])
		} else {
			VCVTPH2PS_Z(Mem{Base: from}, mask, v.regs[0])
		}
		v.store(v.regs[0], Mem{Base: to}, mask)
		v.advance(to)
		ADDQ(Imm(uint64(2*v.lanes)), from)
	})
	ret()
}

func (v vector) toHalf() {
	v.function("toHalf", "func(to *uint16, from *float32, n int)", "converts to float16, rounding to the nearest even.")
	to, from, n := param("to"), param("from"), param("n")
	v.each(n, func(mask tail) {
		v.load(Mem{Base: from}, v.regs[0], mask)
		if mask == nil {
			VCVTPS2PH(U8(0), v.regs[0], Mem{Base: to})
		} else {
			VCVTPS2PH(U8(0), v.regs[0], mask, Mem{Base: to})
		}
		v.advance(from)
		ADDQ(Imm(uint64(2*v.lanes)), to)
	})
	ret()
}

func (v vector) firstAbove() {
	v.function("firstAbove", "func(x *float32, n int, limit float32) int", "is the least index of a value above limit, or n.")
	x, n := param("x"), param("n")
	start, found := GP64(), GP64()
	MOVQ(x, start)
	length := GP64()
	MOVQ(n, length)
	broadcastParam("limit", v.regs[1])
	const above = 0x1e // not ordered: NaN is not above anything
	v.each(n, func(mask tail) {
		if v.lanes == 16 {
			v.load(Mem{Base: x}, v.regs[0], mask)
			if mask == nil {
				VCMPPS(U8(above), v.regs[1], v.regs[0], reg.K2)
			} else {
				VCMPPS(U8(above), v.regs[1], v.regs[0], mask, reg.K2)
			}
			KMOVW(reg.K2, found.As32())
		} else {
			VMOVUPS(Mem{Base: x}, v.regs[0])
			VCMPPS(U8(above), v.regs[1], v.regs[0], v.regs[0])
			VMOVMSKPS(v.regs[0], found.As32())
		}
		TESTL(found.As32(), found.As32())
		JNZ(LabelRef("found"))
		v.advance(x)
	})
	Store(length, ReturnIndex(0))
	ret()
	Label("found")
	TZCNTL(found.As32(), found.As32())
	SUBQ(start, x)
	SHRQ(Imm(2), x)
	ADDQ(x, found)
	Store(found, ReturnIndex(0))
	ret()
}

// spin waits without loading the memory or the other thread of the core.
func spin() {
	TEXT("pause", NOSPLIT, "func(n int)")
	Doc("pause waits for n PAUSE instructions, n at least 1.")
	n := param("n")
	Label("again")
	PAUSE()
	DECQ(n)
	JNZ(LabelRef("again"))
	RET()
}

// floors are what the processor can do at most; benchmarks print them beside the kernels.
func floors() {
	const registers = 16
	function("readFloorAVX512", "func(p *byte, lines int)", "readFloorAVX512 reads 64·8·lines bytes and does nothing with them.")
	p, n := param("p"), param("lines")
	loop("read", n, func() {
		for i := range 8 {
			VMOVDQU32(Mem{Base: p, Disp: 64 * i}, zmm[i])
			PREFETCHT0(Mem{Base: p, Disp: 64*i + 4096})
		}
		ADDQ(I32(512), p)
	})
	ret()

	function("fmaFloorAVX512", "func(rounds int)", "fmaFloorAVX512 does 16 independent multiply-adds of 16 floats each round.")
	n = param("rounds")
	for i := range registers {
		zero(zmm[i])
	}
	loop("round", n, func() {
		for i := range registers {
			VFMADD231PS(zmm[16], zmm[17], zmm[i])
		}
	})
	ret()

	function("dotFloorAVX512", "func(rounds int)", "dotFloorAVX512 does 16 independent VPDPBUSD of 64 products each round.")
	n = param("rounds")
	for i := range registers {
		zero(zmm[i])
	}
	loop("round", n, func() {
		for i := range registers {
			VPDPBUSD(zmm[16], zmm[17], zmm[i])
		}
	})
	ret()
}
