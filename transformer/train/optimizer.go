package train

import "math"

// adamW is AdamW (Loshchilov & Hutter 2019) with a bound on the gradient's norm and an exponential moving average of the
// weights. All its state is flat and allocated once.
type adamW struct {
	beta1, beta2, epsilon float64
	weightDecay           float64 // decoupled: a matrix shrinks by rate·weightDecay each step
	clip                  float64 // the largest norm of the whole gradient; 0 is no bound
	emaDecay              float64 // the average forgets with about 1/(1−emaDecay) steps

	params []parameter
	m, v   []float32 // first and second moments
	ema    []float32 // the averaged weights
	sums   []float64 // squares of the gradient by chunk
}

// newAdamW's second moments forget over a hundred steps: a rare n-gram comes once in as many, and with 0.95 each time anew its step would be
// as long as its first.
func newAdamW(params []parameter, weights []float32, o Options) *adamW {
	n := len(weights)
	a := &adamW{
		beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: o.WeightDecay, clip: o.Clip, emaDecay: o.EMADecay,
		params: params, m: make([]float32, n), v: make([]float32, n), ema: make([]float32, n),
	}
	copy(a.ema, weights)
	return a
}

// elements is how many weights are updated, or summed, as one piece of work.
const elements = 1 << 14

// step updates weights after step number t, the first being 1. gradient gives the gradient of each parameter.
// It returns the gradient's norm before it was bounded.
func (a *adamW) step(weights []float32, gradient func(i int) []float32, rate float64, t int) float64 {
	type piece struct {
		param    int
		from, to int
	}
	var pieces []piece
	for i, p := range a.params {
		for from := 0; from < p.size(); from += elements {
			pieces = append(pieces, piece{i, from, min(from+elements, p.size())})
		}
	}
	if a.sums == nil {
		a.sums = make([]float64, len(pieces))
	}
	parallel(len(pieces), func(k int) {
		var sum float64
		for _, g := range gradient(pieces[k].param)[pieces[k].from:pieces[k].to] {
			sum += float64(g) * float64(g)
		}
		a.sums[k] = sum
	})
	var sum float64
	for _, s := range a.sums {
		sum += s
	}
	norm := math.Sqrt(sum)
	scale := 1.0
	if a.clip > 0 && norm > a.clip {
		scale = a.clip / norm
	}
	// The average starts as a plain mean, so that the initial weights do not linger in it.
	keep := float32(min(a.emaDecay, float64(t)/float64(t+10)))
	rise1, rise2 := 1-math.Pow(a.beta1, float64(t)), 1-math.Pow(a.beta2, float64(t))
	rateM, rootV := float32(rate/rise1), float32(1/math.Sqrt(rise2))
	b1, b2, eps, s := float32(a.beta1), float32(a.beta2), float32(a.epsilon), float32(scale)
	parallel(len(pieces), func(k int) {
		p := a.params[pieces[k].param]
		shrink := float32(1)
		if p.decay {
			shrink = float32(1 - rate*a.weightDecay)
		}
		from, to := pieces[k].from, pieces[k].to
		g := gradient(pieces[k].param)[from:to]
		w, m, v, ema := p.view(weights)[from:to], p.view(a.m)[from:to], p.view(a.v)[from:to], p.view(a.ema)[from:to]
		for i, gi := range g {
			gi *= s
			mi := b1*m[i] + (1-b1)*gi
			vi := b2*v[i] + (1-b2)*gi*gi
			m[i], v[i] = mi, vi
			wi := w[i]*shrink - rateM*mi/(float32(math.Sqrt(float64(vi)))*rootV+eps)
			w[i] = wi
			ema[i] = keep*ema[i] + (1-keep)*wi
		}
	})
	return norm
}

// rate is the learning rate of step t of total: linear warm-up to peak, then a cosine down to a twentieth of it.
func rate(peak float64, t, warmUp, total int) float64 {
	if t <= warmUp {
		return peak * float64(t) / float64(warmUp)
	}
	const floor = 0.05
	done := float64(t-warmUp) / float64(max(1, total-warmUp))
	return peak * (floor + (1-floor)*0.5*(1+math.Cos(math.Pi*min(1, done))))
}
