package main

import (
	"fmt"

	. "github.com/mmcloughlin/avo/build"
	. "github.com/mmcloughlin/avo/operand"
	"github.com/mmcloughlin/avo/reg"
)

// element is how the right factor of a tile's product is stored.
type element string

const (
	float32s  element = "F32"
	float16s  element = "F16"
	bfloat16s element = "BF16"
)

func (t element) goType() string {
	if t == float32s {
		return "*float32"
	}
	return "*uint16"
}

func (t element) size() int {
	if t == float32s {
		return 4
	}
	return 2
}

// load converts as many values as the register holds to float32.
func (t element) load(from Mem, to reg.Register) {
	switch t {
	case float32s:
		VMOVUPS(from, to)
	case float16s:
		VCVTPH2PS(from, to)
	case bfloat16s:
		VPMOVZXWD(from, to)
		VPSLLD(U8(16), to, to)
	}
}

const tileSignature = "func(depth int, a *float32, aRow, aStep int, b %s, bStep int, c *float32, cRow int, alpha, beta float32)"

const wideSignature = "func(depth int, a *float32, aStep int, b, other %s, bStep int, c *float32, alpha, beta float32)"

// tile512 holds a tile of rows x cols sums in registers.
func tile512(t element, rows, cols int) {
	name := fmt.Sprintf("tile%s%dx%dAVX512", t, rows, cols)
	function(name, fmt.Sprintf(tileSignature, t.goType()), name+" is one tile of a matrix product: see tile.go.")
	tile(t, tileShape{rows: rows, vectors: cols / 16, width: 16, regs: zmm, b: zmm[24:26], a: zmm[28:32], scales: zmm[26:28]})
}

// wide512 is a tile of one row whose columns come from two places, b the first 32 and other the rest: with as many sums on their way, one
// hardly waits for the addition before it.
func wide512(t element, cols int) {
	name := fmt.Sprintf("wide%s%dAVX512", t, cols)
	function(name, fmt.Sprintf(wideSignature, t.goType()), name+" is one row of a matrix product: see wide.")
	tile(t, tileShape{rows: 1, vectors: cols / 16, width: 16, other: true, regs: zmm, b: zmm[22:26], a: zmm[28:32], scales: zmm[26:28]})
}

// tile2 is for AVX2: 16 columns at a time, in fewer registers.
func tile2(t element, rows int) {
	name := fmt.Sprintf("tile%s%dx16AVX2", t, rows)
	function(name, fmt.Sprintf(tileSignature, t.goType()), name+" is one tile of a matrix product: see tile.go.")
	tile(t, tileShape{rows: rows, vectors: 2, width: 8, regs: ymm, b: ymm[12:14], a: ymm[14:16], scales: ymm[14:16]})
}

type tileShape struct {
	rows, vectors, width int
	other                bool // the columns after the first 32 begin at another pointer
	regs, b, a, scales   []reg.VecPhysical
}

func tile(t element, s tileShape) {
	depth, b, bStep, c := param("depth"), param("b"), param("bStep"), param("c")
	var other, cRow reg.GPVirtual
	if s.other {
		other = param("other")
	} else {
		cRow = param("cRow")
	}
	base, aStep := []reg.Register{param("a")}, param("aStep")
	var aRow, aRow3 reg.GPVirtual
	if s.rows > 1 {
		aRow, aRow3 = param("aRow"), GP64()
		LEAQ(Mem{Base: aRow, Index: aRow, Scale: 2}, aRow3)
	}
	for len(base) < (s.rows+3)/4 { // each base reaches four rows
		next := GP64()
		LEAQ(Mem{Base: base[len(base)-1], Index: aRow, Scale: 4}, next)
		base = append(base, next)
	}
	row := func(i int) Mem {
		switch m := (Mem{Base: base[i/4]}); i % 4 {
		case 1:
			m.Index, m.Scale = aRow, 1
			return m
		case 2:
			m.Index, m.Scale = aRow, 2
			return m
		case 3:
			m.Index, m.Scale = aRow3, 1
			return m
		default:
			return m
		}
	}
	// Each sum is one chain of additions in the order of the depth, whatever the number of rows: what a row gets must not depend on
	// which rows are computed with it.
	sum := func(i, j int) reg.VecPhysical { return s.regs[i*s.vectors+j] }
	for i := range s.rows * s.vectors {
		zero(s.regs[i])
	}
	loop("steps", depth, func() {
		for j := range s.vectors {
			if from := j * s.width; s.other && from >= 32 {
				t.load(Mem{Base: other, Disp: (from - 32) * t.size()}, s.b[j])
			} else {
				t.load(Mem{Base: b, Disp: from * t.size()}, s.b[j])
			}
		}
		for i := range s.rows {
			a := s.a[i%len(s.a)]
			VBROADCASTSS(row(i), a)
			for j := range s.vectors {
				VFMADD231PS(s.b[j], a, sum(i, j))
			}
		}
		for _, r := range base {
			ADDQ(aStep, r)
		}
		ADDQ(bStep, b)
		if s.other {
			ADDQ(bStep, other)
		}
	})

	alpha, beta := s.scales[0], s.scales[1]
	broadcastParam("alpha", alpha)
	broadcastParam("beta", beta)
	bits := GP32()
	betaAt, err := Param("beta").Resolve()
	if err != nil {
		panic(err)
	}
	MOVL(betaAt.Addr, bits)
	SHLL(Imm(1), bits) // drops the sign: both zeros leave C unread
	JNZ(LabelRef("update"))
	for i := range s.rows {
		for j := range s.vectors {
			VMULPS(alpha, sum(i, j), sum(i, j))
			VMOVUPS(sum(i, j), Mem{Base: c, Disp: 4 * s.width * j})
		}
		if i+1 < s.rows {
			ADDQ(cRow, c)
		}
	}
	ret()
	Label("update")
	for i := range s.rows {
		for j := range s.vectors {
			VMULPS(alpha, sum(i, j), sum(i, j))
			VFMADD231PS(Mem{Base: c, Disp: 4 * s.width * j}, beta, sum(i, j))
			VMOVUPS(sum(i, j), Mem{Base: c, Disp: 4 * s.width * j})
		}
		if i+1 < s.rows {
			ADDQ(cRow, c)
		}
	}
	ret()
}

func zero(r reg.VecPhysical) {
	if r.Size() == 64 {
		VPXORD(r, r, r)
	} else {
		VXORPS(r, r, r)
	}
}

// broadcastParam fills a register with a float parameter.
func broadcastParam(name string, to reg.Register) {
	at, err := Param(name).Resolve()
	if err != nil {
		panic(err)
	}
	VBROADCASTSS(at.Addr, to)
}
