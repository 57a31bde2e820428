package main

import (
	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// Where things lie: see quant.go of the package.
const (
	halfRows    = 16 // of a panel of 32
	groupSize   = 32 // weights of one scale
	xGroup      = 40 // bytes of a quantised group of the input: 32 int8, its scale, its correction
	xScale      = 32
	xCorrection = 36
	scaleGroup  = 2 * 2 * halfRows // bytes of the scales of a panel's group

	tileInputs = 32 // inputs that matMul takes at most
)

// prefetch is how many bytes ahead weights are asked for. The processor looks ahead by itself, but not over the end of a page of 4 KiB.
const prefetch = 8192

func quantName(quads bool) string {
	if quads {
		return "Q4"
	}
	return "Q8"
}

// halfGroup is the size in bytes of the weights of one group of half a panel.
func halfGroup(quads bool) int {
	if quads {
		return halfRows * groupSize / 2
	}
	return halfRows * groupSize
}

// loadWeights512 loads a group of half a panel into eight registers as unsigned bytes: the weight plus 128, or 16 times (the
// four-bit weight plus 8), so that one correction serves both. mask holds 0xf0 in each byte.
func loadWeights512(quads bool, w reg.Register, offset int, to []reg.VecPhysical, mask reg.Register) {
	if !quads {
		for i := range 8 {
			VMOVDQU32(Mem{Base: w, Disp: offset + 64*i}, to[i])
		}
		return
	}
	for i := range 4 {
		VMOVDQU32(Mem{Base: w, Disp: offset + 64*i}, to[4+i])
		VPSLLW(U8(4), to[4+i], to[i])
		VPANDD(mask, to[i], to[i])
		VPANDD(mask, to[4+i], to[4+i])
	}
}

// quantRegisters says where the AVX-512 kernels keep what: the weights of a group, then for each half of the panel its scales, its sums and a product.
type quantRegisters struct {
	weights, scale, sum, product, acc []reg.VecPhysical
	input, sixteenth, mask            reg.VecPhysical
}

var quant512 = quantRegisters{
	weights: zmm[:16], scale: zmm[16:18], sum: zmm[18:20], product: zmm[20:22], acc: zmm[24:26],
	input: zmm[22], sixteenth: zmm[30], mask: zmm[31],
}

// constants fills the registers that four-bit weights need.
func (r quantRegisters) constants(quads bool) {
	if quads {
		VPBROADCASTD(constant32("bytesF0", 0xf0f0f0f0), r.mask)
		VBROADCASTSS(constant32("sixteenth", 0x3d800000), r.sixteenth)
	}
}

// group loads the weights and the scales of a group.
func (r quantRegisters) group(quads bool, w, scales reg.Register) {
	half := halfGroup(quads)
	for h := range 2 {
		loadWeights512(quads, w, h*half, r.weights[8*h:8*h+8], r.mask)
	}
	for i := 0; i < 2*half; i += 64 {
		PREFETCHT0(Mem{Base: w, Disp: prefetch + i})
	}
	for h := range 2 {
		VCVTPH2PS(Mem{Base: scales, Disp: 2 * halfRows * h}, r.scale[h])
		if quads {
			VMULPS(r.sixteenth, r.scale[h], r.scale[h])
		}
	}
	ADDQ(I32(2*half), w)
	ADDQ(I32(scaleGroup), scales)
}

// dot leaves in sum the integer products of the group with the input's at x, as floats, and in product what they are to be multiplied by.
func (r quantRegisters) dot(x reg.Register) {
	VPBROADCASTD(Mem{Base: x, Disp: xCorrection}, r.sum[0])
	VMOVDQA32(r.sum[0], r.sum[1])
	for i := range 8 {
		VPBROADCASTD(Mem{Base: x, Disp: 4 * i}, r.input)
		for h := range 2 {
			VPDPBUSD(r.input, r.weights[8*h+i], r.sum[h])
		}
	}
	for h := range 2 {
		VMULPS_BCST(Mem{Base: x, Disp: xScale}, r.scale[h], r.product[h])
		VCVTDQ2PS(r.sum[h], r.sum[h])
	}
}

func matVecQ512(quads bool) {
	name := quantName(quads)
	function("matVec"+name+"AVX512", "func(w *byte, scales *uint16, x *byte, groups, panels int, out *float32, add bool)",
		"matVec"+name+"AVX512 multiplies panels of 32 rows by one input.")
	w, scales, x0, groups, panels, out := param("w"), param("scales"), param("x"), param("groups"), param("panels"), param("out")
	add := Load(Param("add"), GP8())
	r := quant512
	r.constants(quads)
	loop("panel", panels, func() {
		for h := range 2 {
			VPXORD(r.acc[h], r.acc[h], r.acc[h])
		}
		x, g := GP64(), GP64()
		MOVQ(x0, x)
		MOVQ(groups, g)
		loop("group", g, func() {
			r.group(quads, w, scales)
			r.dot(x)
			for h := range 2 {
				VFMADD231PS(r.product[h], r.sum[h], r.acc[h])
			}
			ADDQ(Imm(xGroup), x)
		})
		TESTB(add, add)
		JZ(LabelRef("store"))
		for h := range 2 {
			VADDPS(Mem{Base: out, Disp: 64 * h}, r.acc[h], r.acc[h])
		}
		Label("store")
		for h := range 2 {
			VMOVUPS(r.acc[h], Mem{Base: out, Disp: 64 * h})
		}
		ADDQ(I32(128), out)
	})
	ret()
}

// matMulQ512 keeps the weights of a group in registers while all inputs pass by; the sums stand in the first-level cache.
func matMulQ512(quads bool) {
	name := quantName(quads)
	TEXT("matMul"+name+"AVX512", 0, "func(w *byte, scales *uint16, x *byte, xStep, groups, n int, out *float32, outStep int, add bool)")
	Pragma("noescape")
	Doc("matMul"+name+"AVX512 multiplies a panel of 32 rows by n inputs, 1 to 32, that lie side by side. xStep is the distance of their groups,",
		"outStep that of their outputs, in bytes.")
	const width = 128 // bytes of an input's sums

	w, scales, x0, step, groups, n, out, outStep := param("w"), param("scales"), param("x"), param("xStep"), param("groups"), param("n"), param("out"), param("outStep")
	sums := GP64()
	local := AllocLocal(tileInputs*width + 64)
	LEAQ(local.Offset(63), sums)
	ANDQ(I8(-64), sums)
	r := quant512
	r.constants(quads)

	at, count := GP64(), GP64()
	MOVQ(sums, at)
	MOVQ(n, count)
	VPXORD(r.product[0], r.product[0], r.product[0])
	loop("clear", count, func() {
		for h := range 2 {
			VMOVAPS(r.product[0], Mem{Base: at, Disp: 64 * h})
		}
		ADDQ(I32(width), at)
	})
	loop("group", groups, func() {
		r.group(quads, w, scales)
		x := GP64()
		MOVQ(x0, x)
		MOVQ(sums, at)
		MOVQ(n, count)
		Label("input")
		r.dot(x)
		for h := range 2 {
			VFMADD213PS(Mem{Base: at, Disp: 64 * h}, r.product[h], r.sum[h])
			VMOVAPS(r.sum[h], Mem{Base: at, Disp: 64 * h})
		}
		ADDQ(Imm(xGroup), x)
		ADDQ(I32(width), at)
		DECQ(count)
		JNZ(LabelRef("input"))
		ADDQ(step, x0)
	})

	add := Load(Param("add"), GP8())
	MOVQ(sums, at)
	TESTB(add, add)
	JNZ(LabelRef("addition"))
	store := func(add bool) {
		for h := range 2 {
			VMOVAPS(Mem{Base: at, Disp: 64 * h}, r.sum[h])
			if add {
				VADDPS(Mem{Base: out, Disp: 64 * h}, r.sum[h], r.sum[h])
			}
			VMOVUPS(r.sum[h], Mem{Base: out, Disp: 64 * h})
		}
		ADDQ(I32(width), at)
		ADDQ(outStep, out)
		DECQ(n)
	}
	Label("store")
	store(false)
	JNZ(LabelRef("store"))
	ret()
	Label("addition")
	store(true)
	JNZ(LabelRef("addition"))
	ret()
}

// matVecQ2 is for AVX2, which has no product of bytes without saturation: for eight-bit weights it multiplies |w| by x with the
// sign of w. Four-bit weights stay small enough to be taken as unsigned and corrected, and for 16-bit sums over the whole group.
func matVecQ2(quads bool) {
	name := quantName(quads)
	function("matVec"+name+"AVX2", "func(w *byte, scales *uint16, x *byte, xStep, groups int, out *float32, add bool)",
		"matVec"+name+"AVX2 multiplies half a panel, 16 rows, by one input whose groups are xStep bytes apart.")
	w, scales, x, step, groups, out := param("w"), param("scales"), param("x"), param("xStep"), param("groups"), param("out")
	add := Load(Param("add"), GP8())
	acc, sum := ymm[0:2], ymm[2:4]
	input, weight, other, sign := ymm[4], ymm[5:7], ymm[7:9], ymm[9:11]
	ones, constant, scale := ymm[11], ymm[12], ymm[13]
	VPBROADCASTD(constant32("ones16", 0x00010001), ones)
	if quads {
		VPBROADCASTD(constant32("bytes0F", 0x0f0f0f0f), constant)
	} else {
		VPBROADCASTD(constant32("bytes80", 0x80808080), constant)
	}
	for h := range 2 {
		VXORPS(acc[h], acc[h], acc[h])
	}
	loop("group", groups, func() {
		for h := range 2 {
			VPXOR(sum[h], sum[h], sum[h])
		}
		if quads {
			for i := range 4 {
				for h := range 2 {
					VMOVDQU(Mem{Base: w, Disp: 64*i + 32*h}, weight[h])
				}
				VPBROADCASTD(Mem{Base: x, Disp: 4 * i}, input)
				for h := range 2 {
					VPAND(constant, weight[h], other[h])
					VPMADDUBSW(input, other[h], other[h])
					VPADDW(other[h], sum[h], sum[h])
				}
				VPBROADCASTD(Mem{Base: x, Disp: 4*i + 16}, input)
				for h := range 2 {
					VPSRLW(U8(4), weight[h], weight[h])
					VPAND(constant, weight[h], weight[h])
					VPMADDUBSW(input, weight[h], weight[h])
					VPADDW(weight[h], sum[h], sum[h])
				}
			}
			VPBROADCASTD(Mem{Base: x, Disp: xCorrection}, input)
			VPSRAD(U8(4), input, input)
			for h := range 2 {
				VPMADDWD(ones, sum[h], sum[h])
				VPADDD(input, sum[h], sum[h])
			}
		} else {
			for i := range 8 {
				VPBROADCASTD(Mem{Base: x, Disp: 4 * i}, input)
				for h := range 2 {
					VPXOR(Mem{Base: w, Disp: 64*i + 32*h}, constant, weight[h])
					VPABSB(weight[h], other[h])
					VPSIGNB(weight[h], input, sign[h])
					VPMADDUBSW(sign[h], other[h], other[h])
					VPMADDWD(ones, other[h], other[h])
					VPADDD(other[h], sum[h], sum[h])
				}
			}
		}
		for h := range 2 {
			VCVTDQ2PS(sum[h], sum[h])
			VCVTPH2PS(Mem{Base: scales, Disp: 16 * h}, other[h])
		}
		VBROADCASTSS(Mem{Base: x, Disp: xScale}, scale)
		for h := range 2 {
			VMULPS(scale, other[h], other[h])
			VFMADD231PS(other[h], sum[h], acc[h])
		}
		ADDQ(step, x)
		ADDQ(I32(2*halfGroup(quads)), w)
		ADDQ(I32(scaleGroup), scales)
	})
	TESTB(add, add)
	JZ(LabelRef("store"))
	for h := range 2 {
		VADDPS(Mem{Base: out, Disp: 32 * h}, acc[h], acc[h])
	}
	Label("store")
	for h := range 2 {
		VMOVUPS(acc[h], Mem{Base: out, Disp: 32 * h})
	}
	ret()
}

const quantizeDoc = "quantises groups of 32 floats that follow one another; the results are step bytes apart."

func quantize512() {
	function("quantizeAVX512", "func(to *byte, step int, x *float32, groups int)", "quantizeAVX512 "+quantizeDoc)
	to, step, x, groups := param("to"), param("step"), param("x"), param("groups")
	full := zmm[16]
	VBROADCASTSS(constant32("limit127", 0x42fe0000), full)
	signless := zmm[17]
	VPBROADCASTD(constant32("signless", 0x7fffffff), signless)
	ones := zmm[18]
	VPBROADCASTD(constant32("ones8", 0x01010101), ones)
	loop("group", groups, func() {
		VMOVUPS(Mem{Base: x}, zmm[0])
		VMOVUPS(Mem{Base: x, Disp: 64}, zmm[1])
		VPANDD(signless, zmm[0], zmm[2])
		VPANDD(signless, zmm[1], zmm[3])
		VMAXPS(zmm[2], zmm[3], zmm[2])
		VEXTRACTF64X4(U8(1), zmm[2], ymm[3])
		VMAXPS(ymm[3], ymm[2], ymm[2])
		quantizeTail(reg.Y2, reg.X2, reg.X3, xmm[4], reg.X16, Mem{Base: to, Disp: xScale})
		VBROADCASTSS(xmm[4], zmm[4])
		VMULPS(zmm[4], zmm[0], zmm[0])
		VMULPS(zmm[4], zmm[1], zmm[1])
		VCVTPS2DQ(zmm[0], zmm[0])
		VCVTPS2DQ(zmm[1], zmm[1])
		VPMOVSDB(zmm[0], xmm[0])
		VPMOVSDB(zmm[1], xmm[1])
		VINSERTI128(U8(1), xmm[1], ymm[0], ymm[0])
		VMOVDQU(ymm[0], Mem{Base: to})
		VPXOR(ymm[5], ymm[5], ymm[5])
		VPDPBUSD(ymm[0], reg.Y18, ymm[5])
		storeCorrection(ymm[5], xmm[5], xmm[6], Mem{Base: to, Disp: xCorrection})
		ADDQ(I32(128), x)
		ADDQ(step, to)
	})
	ret()
}

// quantizeTail finds the greatest of eight values, stores the scale, that over 127, and sets inverse to 127 over it, or
// to 0 when that is about to overflow.
func quantizeTail(y, x, spare, inverse, full reg.Register, scale Mem) {
	VEXTRACTF128(U8(1), y, spare)
	VMAXPS(spare, x, x)
	VPERMILPS(U8(0x4e), x, spare)
	VMAXPS(spare, x, x)
	VPERMILPS(U8(0xb1), x, spare)
	VMAXPS(spare, x, x)
	VDIVSS(full, x, spare)
	VMOVSS(spare, scale)
	VDIVSS(x, full, inverse)
	const atLeast = 0x0d
	VCMPSS(U8(atLeast), constant32("tiny", 0x03aa2425), x, spare) // 1e-36: under it the quotient may be infinite
	VANDPS(spare, inverse, inverse)
}

// storeCorrection stores -128 times the sum of eight integers.
func storeCorrection(y, x, spare reg.Register, to Mem) {
	VEXTRACTI128(U8(1), y, spare)
	VPADDD(spare, x, x)
	VPSHUFD(U8(0x4e), x, spare)
	VPADDD(spare, x, x)
	VPSHUFD(U8(0xb1), x, spare)
	VPADDD(spare, x, x)
	VPSLLD(U8(7), x, x)
	VPXOR(spare, spare, spare)
	VPSUBD(x, spare, x)
	VMOVD(x, to)
}

func quantize2() {
	function("quantizeAVX2", "func(to *byte, step int, x *float32, groups int)", "quantizeAVX2 "+quantizeDoc)
	to, step, x, groups := param("to"), param("step"), param("x"), param("groups")
	full, signless, order, ones, pairs := ymm[15], ymm[14], ymm[13], ymm[12], ymm[11]
	VBROADCASTSS(constant32("limit127", 0x42fe0000), full)
	VPBROADCASTD(constant32("signless", 0x7fffffff), signless)
	VPBROADCASTD(constant32("ones8", 0x01010101), ones)
	VPBROADCASTD(constant32("ones16", 0x00010001), pairs)
	interleaved := GLOBL("packOrder", RODATA|NOPTR) // what packing within halves of a register does to groups of four bytes, undone
	for i, v := range []uint32{0, 4, 1, 5, 2, 6, 3, 7} {
		DATA(4*i, U32(v))
	}
	VMOVDQU(interleaved, order)
	loop("group", groups, func() {
		for i := range 4 {
			VMOVUPS(Mem{Base: x, Disp: 32 * i}, ymm[i])
			VANDPS(signless, ymm[i], ymm[4+i])
		}
		VMAXPS(ymm[4], ymm[5], ymm[4])
		VMAXPS(ymm[6], ymm[7], ymm[6])
		VMAXPS(ymm[4], ymm[6], ymm[4])
		quantizeTail(ymm[4], xmm[4], xmm[5], xmm[6], xmm[15], Mem{Base: to, Disp: xScale})
		VBROADCASTSS(xmm[6], ymm[6])
		for i := range 4 {
			VMULPS(ymm[6], ymm[i], ymm[i])
			VCVTPS2DQ(ymm[i], ymm[i])
		}
		VPACKSSDW(ymm[1], ymm[0], ymm[0])
		VPACKSSDW(ymm[3], ymm[2], ymm[2])
		VPACKSSWB(ymm[2], ymm[0], ymm[0])
		VPERMD(ymm[0], order, ymm[0])
		VMOVDQU(ymm[0], Mem{Base: to})
		VPMADDUBSW(ymm[0], ones, ymm[1])
		VPMADDWD(pairs, ymm[1], ymm[1])
		storeCorrection(ymm[1], xmm[1], xmm[2], Mem{Base: to, Disp: xCorrection})
		ADDQ(I32(128), x)
		ADDQ(step, to)
	})
	ret()
}
