//go:build !amd64

package kernels

func add(x, y []float32)                            { addPlain(x, y) }
func sumSquares(x []float32) float32                { return sumSquaresPlain(x) }
func scaleMul(out, x, weight []float32, by float32) { scaleMulPlain(out, x, weight, by) }
func scale(out, x []float32, by float32)            { scalePlain(out, x, by) }
func swiGLU(gate, up []float32)                     { swiGLUPlain(gate, up) }
func maximum(x []float32) float32                   { return maximumPlain(x) }
func expSum(x []float32, by, shift float32) float32 { return expSumPlain(x, by, shift) }
func rotateHalves(low, high, cos, sin []float32)    { rotateHalvesPlain(low, high, cos, sin) }
func rotatePairs(x, cos, sin []float32)             { rotatePairsPlain(x, cos, sin) }
func fromHalf(to []float32, from []uint16)          { fromHalfPlain(to, from) }
func toHalf(to []uint16, from []float32)            { toHalfPlain(to, from) }
func firstAbove(x []float32, limit float32) int     { return firstAbovePlain(x, limit) }
