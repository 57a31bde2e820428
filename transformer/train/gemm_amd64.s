#include "textflag.h"

// One row of the tile: the row's value of A times 32 values of B.
#define ROW(offset, spare, left, right) \
	VBROADCASTSS offset(SI), spare; \
	VFMADD231PS  Z24, spare, left;  \
	VFMADD231PS  Z25, spare, right

// C = alpha * sum.
#define STORE(left, right) \
	VMULPS  Z26, left, left;   \
	VMULPS  Z26, right, right; \
	VMOVUPS left, (DX);        \
	VMOVUPS right, 64(DX);     \
	ADDQ    R8, DX

// C = alpha * sum + beta * C.
#define UPDATE(left, right) \
	VMULPS      Z26, left, left;     \
	VMULPS      Z26, right, right;   \
	VFMADD231PS (DX), Z27, left;     \
	VFMADD231PS 64(DX), Z27, right;  \
	VMOVUPS     left, (DX);          \
	VMOVUPS     right, 64(DX);       \
	ADDQ        R8, DX

// func kernel(depth int, a, b, c *float32, ldc int, alpha, beta float32)
// The 12x32 tile lives in Z0 to Z23, a row in two registers.
TEXT ·kernel(SB), NOSPLIT, $0-48
	MOVQ         depth+0(FP), CX
	MOVQ         a+8(FP), SI
	MOVQ         b+16(FP), DI
	MOVQ         c+24(FP), DX
	MOVQ         ldc+32(FP), R8
	SHLQ         $2, R8
	VBROADCASTSS alpha+40(FP), Z26
	VBROADCASTSS beta+44(FP), Z27
	VPXORD       Z0, Z0, Z0
	VPXORD       Z1, Z1, Z1
	VPXORD       Z2, Z2, Z2
	VPXORD       Z3, Z3, Z3
	VPXORD       Z4, Z4, Z4
	VPXORD       Z5, Z5, Z5
	VPXORD       Z6, Z6, Z6
	VPXORD       Z7, Z7, Z7
	VPXORD       Z8, Z8, Z8
	VPXORD       Z9, Z9, Z9
	VPXORD       Z10, Z10, Z10
	VPXORD       Z11, Z11, Z11
	VPXORD       Z12, Z12, Z12
	VPXORD       Z13, Z13, Z13
	VPXORD       Z14, Z14, Z14
	VPXORD       Z15, Z15, Z15
	VPXORD       Z16, Z16, Z16
	VPXORD       Z17, Z17, Z17
	VPXORD       Z18, Z18, Z18
	VPXORD       Z19, Z19, Z19
	VPXORD       Z20, Z20, Z20
	VPXORD       Z21, Z21, Z21
	VPXORD       Z22, Z22, Z22
	VPXORD       Z23, Z23, Z23

loop:
	VMOVUPS (DI), Z24
	VMOVUPS 64(DI), Z25
	ROW(0, Z28, Z0, Z1)
	ROW(4, Z29, Z2, Z3)
	ROW(8, Z30, Z4, Z5)
	ROW(12, Z31, Z6, Z7)
	ROW(16, Z28, Z8, Z9)
	ROW(20, Z29, Z10, Z11)
	ROW(24, Z30, Z12, Z13)
	ROW(28, Z31, Z14, Z15)
	ROW(32, Z28, Z16, Z17)
	ROW(36, Z29, Z18, Z19)
	ROW(40, Z30, Z20, Z21)
	ROW(44, Z31, Z22, Z23)
	ADDQ    $48, SI
	ADDQ    $128, DI
	DECQ    CX
	JNZ     loop

	MOVL beta+44(FP), AX
	SHLL $1, AX // drops the sign: both zeros leave C unread
	JNZ  update
	STORE(Z0, Z1)
	STORE(Z2, Z3)
	STORE(Z4, Z5)
	STORE(Z6, Z7)
	STORE(Z8, Z9)
	STORE(Z10, Z11)
	STORE(Z12, Z13)
	STORE(Z14, Z15)
	STORE(Z16, Z17)
	STORE(Z18, Z19)
	STORE(Z20, Z21)
	STORE(Z22, Z23)
	VZEROUPPER
	RET

update:
	UPDATE(Z0, Z1)
	UPDATE(Z2, Z3)
	UPDATE(Z4, Z5)
	UPDATE(Z6, Z7)
	UPDATE(Z8, Z9)
	UPDATE(Z10, Z11)
	UPDATE(Z12, Z13)
	UPDATE(Z14, Z15)
	UPDATE(Z16, Z17)
	UPDATE(Z18, Z19)
	UPDATE(Z20, Z21)
	UPDATE(Z22, Z23)
	VZEROUPPER
	RET
