package transformer

import (
	"context"
	"math"
)

// forward runs one chunk of tokens through all layers. It leaves the residual stream in s.x (n, hidden)
// and the chunk's keys and values in the cache.
func (s *State) forward(ctx context.Context, tokens []int) error {
	m, c, n := s.model, &s.model.config, len(tokens)
	hidden, inner := c.HiddenSize, c.IntermediateSize
	qSize, kvSize := c.NumAttentionHeads*c.HeadDim, c.NumKeyValueHeads*c.HeadDim

	x := s.x[:n*hidden]
	for t, id := range tokens {
		copy(x[t*hidden:(t+1)*hidden], m.embed[id*hidden:])
		s.tokens[s.length+t] = id
		if m.ngrams != nil && m.tokenizer != nil && id == m.markers.role[RoleAssistant] {
			s.addNgrams(x[t*hidden:(t+1)*hidden], s.tokens[:s.length+t])
		}
	}
	s.setAngles(n)
	for i := range m.layers {
		if err := ctx.Err(); err != nil {
			return err
		}
		l := &m.layers[i]

		s.norm(x, l.inputNorm, n)
		matmul(s.q, s.normed, l.q, n, qSize, hidden)
		matmul(s.k, s.normed, l.k, n, kvSize, hidden)
		matmul(s.v, s.normed, l.v, n, kvSize, hidden)
		s.remember(i, n)
		s.attend(i, n)
		matmul(s.normed, s.mixed, l.o, n, hidden, qSize)
		add(x, s.normed[:n*hidden])

		s.norm(x, l.postNorm, n)
		matmul(s.gate, s.normed, l.gate, n, inner, hidden)
		matmul(s.up, s.normed, l.up, n, inner, hidden)
		swiGLU(s.gate[:n*inner], s.up)
		matmul(s.normed, s.gate, l.down, n, hidden, inner)
		add(x, s.normed[:n*hidden])
	}
	s.length += n
	return nil
}

// norm sets s.normed to the RMSNorm of each of n rows of x (n, hidden).
func (s *State) norm(x, weight []float32, n int) {
	hidden, eps := s.model.config.HiddenSize, s.model.config.RMSNormEps
	for t := range n {
		row := x[t*hidden : (t+1)*hidden]
		rmsNorm(s.normed[t*hidden:(t+1)*hidden], row, weight, eps)
	}
}

// setAngles sets s.cos and s.sin (n, headDim/2) for the next n positions.
func (s *State) setAngles(n int) {
	half := len(s.frequencies)
	for t := range n {
		for i, frequency := range s.frequencies {
			sin, cos := math.Sincos(float64(s.length+t) * frequency)
			s.sin[t*half+i], s.cos[t*half+i] = float32(sin), float32(cos)
		}
	}
}

// cacheRow is where the cache has the key or the value of a position.
func (s *State) cacheRow(layer, kvHead, position int) int {
	c := &s.model.config
	return ((layer*c.NumKeyValueHeads+kvHead)*c.MaxPositionEmbeddings + position) * c.HeadDim
}

// remember rotates s.q and s.k of n new tokens and puts their keys and values into the cache.
func (s *State) remember(layer, n int) {
	c := &s.model.config
	dim, half := c.HeadDim, c.HeadDim/2
	for t := range n {
		cos, sin := s.cos[t*half:(t+1)*half], s.sin[t*half:(t+1)*half]
		for h := range c.NumAttentionHeads {
			at := (t*c.NumAttentionHeads + h) * dim
			rotate(s.q[at:at+dim], cos, sin)
		}
		for h := range c.NumKeyValueHeads {
			at, row := (t*c.NumKeyValueHeads+h)*dim, s.cacheRow(layer, h, s.length+t)
			rotate(s.k[at:at+dim], cos, sin)
			copy(s.keys[row:row+dim], s.k[at:at+dim])
			copy(s.values[row:row+dim], s.v[at:at+dim])
		}
	}
}

// attend sets s.mixed (n, qSize): for each head of each new token, the values of all positions up to its
// own, weighed by softmax(q . k / sqrt(headDim)). Query heads share the key and value heads in groups.
func (s *State) attend(layer, n int) {
	c := &s.model.config
	dim, group := c.HeadDim, c.NumAttentionHeads/c.NumKeyValueHeads
	scale := float32(1 / math.Sqrt(float64(dim)))
	for t := range n {
		count := s.length + t + 1
		scores := s.scores[:count]
		for h := range c.NumAttentionHeads {
			at := (t*c.NumAttentionHeads + h) * dim
			q, mixed := s.q[at:at+dim], s.mixed[at:at+dim]
			first := s.cacheRow(layer, h/group, 0)
			matvec(scores, q, s.keys[first:first+count*dim])
			for p := range scores {
				scores[p] *= scale
			}
			softmax(scores)
			clear(mixed)
			for p, weight := range scores {
				value := s.values[first+p*dim : first+(p+1)*dim]
				for d, v := range value {
					mixed[d] += weight * v
				}
			}
		}
	}
}

// addNgrams adds to x (hidden), the embedding of an <|assistant|> marker, the n-grams of the user's message that before ends with.
func (s *State) addNgrams(x []float32, before []int) {
	m, n := s.model, s.model.config.Ngrams
	features := n.Features(m.tokenizer.question(m.markers, before))
	if len(features) == 0 {
		return
	}
	sum := make([]float32, n.Dim)
	for _, row := range features {
		add(sum, m.ngrams[int(row)*n.Dim:][:n.Dim])
	}
	scale := float32(1 / math.Sqrt(float64(len(features))))
	for i := range sum {
		sum[i] *= scale
	}
	projected := make([]float32, len(x))
	matvec(projected, sum, m.ngramsProj)
	add(x, projected)
}
