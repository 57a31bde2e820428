package transformer

import "math"

// matmul sets out (n, rows) to x (n, cols) times the transpose of w (rows, cols).
func matmul(out, x, w []float32, n, rows, cols int) {
	out, x, w = out[:n*rows], x[:n*cols], w[:rows*cols]
	t := 0
	for ; t+4 <= n; t += 4 { // four tokens share each row of w that comes from memory
		x0, x1, x2, x3 := x[t*cols:(t+1)*cols], x[(t+1)*cols:(t+2)*cols], x[(t+2)*cols:(t+3)*cols], x[(t+3)*cols:(t+4)*cols]
		for r := range rows {
			o := out[t*rows+r:]
			o[0], o[rows], o[2*rows], o[3*rows] = dot4(w[r*cols:(r+1)*cols], x0, x1, x2, x3)
		}
	}
	for ; t < n; t++ {
		matvec(out[t*rows:(t+1)*rows], x[t*cols:(t+1)*cols], w)
	}
}

// matvec sets out (rows) to w (rows, cols) times x (cols).
func matvec(out, x, w []float32) {
	cols := len(x)
	r := 0
	for ; r+4 <= len(out); r += 4 {
		w0, w1, w2, w3 := w[r*cols:(r+1)*cols], w[(r+1)*cols:(r+2)*cols], w[(r+2)*cols:(r+3)*cols], w[(r+3)*cols:(r+4)*cols]
		out[r], out[r+1], out[r+2], out[r+3] = dot4(x, w0, w1, w2, w3)
	}
	for ; r < len(out); r++ {
		out[r] = dot(x, w[r*cols:(r+1)*cols])
	}
}

// dot4 gives the dot products of a with four vectors of its length: a is loaded once for all of them, and
// the eight sums do not wait for one another.
func dot4(a, b0, b1, b2, b3 []float32) (s0, s1, s2, s3 float32) {
	n := len(a)
	b0, b1, b2, b3 = b0[:n], b1[:n], b2[:n], b3[:n]
	var t0, t1, t2, t3 float32
	i := 0
	for ; i < n-1; i += 2 {
		x, y := a[i], a[i+1]
		s0 += x * b0[i]
		t0 += y * b0[i+1]
		s1 += x * b1[i]
		t1 += y * b1[i+1]
		s2 += x * b2[i]
		t2 += y * b2[i+1]
		s3 += x * b3[i]
		t3 += y * b3[i+1]
	}
	if i < n {
		s0 += a[i] * b0[i]
		s1 += a[i] * b1[i]
		s2 += a[i] * b2[i]
		s3 += a[i] * b3[i]
	}
	return s0 + t0, s1 + t1, s2 + t2, s3 + t3
}

// dot gives the dot product of two vectors of one length.
func dot(a, b []float32) float32 {
	b = b[:len(a)]
	var s0, s1, s2, s3 float32
	i := 0
	for ; i < len(a)-3; i += 4 {
		s0 += a[i] * b[i]
		s1 += a[i+1] * b[i+1]
		s2 += a[i+2] * b[i+2]
		s3 += a[i+3] * b[i+3]
	}
	for ; i < len(a); i++ {
		s0 += a[i] * b[i]
	}
	return s0 + s1 + s2 + s3
}

// rmsNorm sets out to x, scaled to a root mean square of one, times weight (Zhang and Sennrich 2019, eq. 4).
func rmsNorm(out, x, weight []float32, eps float64) {
	var sum float64
	for _, v := range x {
		sum += float64(v) * float64(v)
	}
	scale := float32(1 / math.Sqrt(sum/float64(len(x))+eps))
	for i, v := range x {
		out[i] = weight[i] * (v * scale)
	}
}

// softmax replaces x, which must not be empty, by exp(x) over its sum.
func softmax(x []float32) {
	top := x[0]
	for _, v := range x {
		top = max(top, v)
	}
	var sum float64
	for i, v := range x {
		e := math.Exp(float64(v - top))
		x[i] = float32(e)
		sum += e
	}
	scale := float32(1 / sum)
	for i := range x {
		x[i] *= scale
	}
}

// swiGLU sets gate to silu(gate) times up (Shazeer 2020, eq. 6), with silu(v) = v / (1 + exp(-v)).
func swiGLU(gate, up []float32) {
	for i, v := range gate {
		gate[i] = float32(float64(v)/(1+math.Exp(-float64(v)))) * up[i]
	}
}

// rotate turns the pairs (x[i], x[i+half]) of one head by the angles of its position: Hugging Face's
// order of RoPE's dimensions (Su et al. 2021, eq. 34). cos and sin have half the head's length.
func rotate(x, cos, sin []float32) {
	half := len(cos)
	low, high := x[:half], x[half:2*half]
	for i := range low {
		a, b := low[i], high[i]
		low[i] = a*cos[i] - b*sin[i]
		high[i] = b*cos[i] + a*sin[i]
	}
}

// add adds b to a.
func add(a, b []float32) {
	for i, v := range b {
		a[i] += v
	}
}
