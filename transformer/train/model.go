package train

import (
	"fmt"
	"math"
	"math/rand/v2"

	"gorgonia.org/gorgonia"
	"gorgonia.org/tensor"

	_ "go4.org/unsafe/assume-no-moving-gc" // Gorgonia refuses to start on a Go version it does not know without it

	"teller/transformer"
)

// parameter is one trained tensor: a view into the flat storage of all parameters.
type parameter struct {
	name  string
	shape tensor.Shape
	from  int  // its first place in flat storage
	decay bool // weight decay applies: to matrices, not to the gains of norms
}

func (p parameter) size() int { return p.shape.TotalSize() }

// view gives the parameter's part of a flat slice.
func (p parameter) view(flat []float32) []float32 { return flat[p.from:][:p.size()] }

// layout lists the parameters of a model in the order of their flat storage. Matrices that read the same input are one
// parameter: the query, key and value projections, and the gate and up projections, stacked by rows.
func layout(c transformer.Config) []parameter {
	var params []parameter
	next := 0
	add := func(name string, shape ...int) {
		p := parameter{name: name, shape: shape, from: next, decay: len(shape) > 1}
		params = append(params, p)
		next += p.size()
	}
	h := headsOf(c)
	add("embed", c.VocabSize, c.HiddenSize)
	for i := range c.NumHiddenLayers {
		layer := fmt.Sprintf("layers.%d.", i)
		add(layer+"attention_norm", c.HiddenSize)
		add(layer+"qkv", h.packed(), c.HiddenSize)
		add(layer+"o", c.HiddenSize, h.width())
		add(layer+"mlp_norm", c.HiddenSize)
		add(layer+"gate_up", 2*c.IntermediateSize, c.HiddenSize)
		add(layer+"down", c.HiddenSize, c.IntermediateSize)
	}
	add("norm", c.HiddenSize)
	if n := c.Ngrams; n != nil {
		add("ngrams", n.Rows, n.Dim)
		add("ngrams_proj", c.HiddenSize, n.Dim)
	}
	return params
}

func headsOf(c transformer.Config) heads {
	return heads{query: c.NumAttentionHeads, kv: c.NumKeyValueHeads, dim: c.HeadDim}
}

func total(params []parameter) int {
	last := params[len(params)-1]
	return last.from + last.size()
}

// initial draws the weights: normal with deviation 0.02 (as GPT-2 and Llama), those that write to the residual stream
// smaller by √(2·layers), gains 1; and the circuit of plantInduction. The table of n-grams starts with zeros, so that those never
// trained on say nothing, and its projection keeps their size.
func initial(c transformer.Config, params []parameter, seed uint64) []float32 {
	rng := rand.New(rand.NewPCG(seed, streamWeights))
	flat := make([]float32, total(params))
	for _, p := range params {
		deviation := 0.02
		switch {
		case p.name == "ngrams":
			continue
		case p.name == "ngrams_proj":
			deviation = 1 / math.Sqrt(float64(p.shape[1]))
		case p.shape[0] == c.HiddenSize:
			deviation /= math.Sqrt(2 * float64(c.NumHiddenLayers))
		}
		for i := range p.view(flat) {
			if p.decay {
				p.view(flat)[i] = float32(rng.NormFloat64() * deviation)
			} else {
				p.view(flat)[i] = 1
			}
		}
	}
	plantInduction(c, params, flat, seed)
	return flat
}

// graph is the model on one batch, ready to run: forward only, or with the gradients of all parameters.
type graph struct {
	machine gorgonia.VM
	loss    *lossOp
	cost    *gorgonia.Node
	grads   gorgonia.Nodes // in the order of the parameters; nil when forward only
	tokens  int
	noise   *noiseSource // of dropout; nil without
}

// graphOptions say what a graph computes beside the model's own function.
type graphOptions struct {
	labels    []span
	smoothing smoothing
	dropout   float64
	// labelDropout is that of the n-grams' vectors and of the states that a label is told from: what knows the label best overfits most.
	labelDropout float64
	seed         uint64 // of dropout
	gradients    bool
}

// newGraph builds the decoder on batch's storage and on the parameters in flat, neither of which it copies: whoever
// refills the batch or updates flat changes what the next run computes.
func newGraph(c transformer.Config, params []parameter, flat []float32, batch *Batch, o graphOptions) (g *graph, err error) {
	defer func() { // Gorgonia's constructors and gorgonia.Must panic on what is wrong with a graph
		if r := recover(); r != nil {
			err = fmt.Errorf("train: build the graph: %v", r)
		}
	}()
	expr := gorgonia.NewGraph()
	nodes := map[string]*gorgonia.Node{}
	var list gorgonia.Nodes
	for _, p := range params {
		n := inputNode(expr, p.name, p.shape, p.view(flat))
		nodes[p.name] = n
		list = append(list, n)
	}
	h := headsOf(c)
	angles := newRope(batch.MaxLen, c.HeadDim, c.RopeTheta)
	work := make([]float32, attentionWork(batch, h))

	x := gorgonia.Must(gorgonia.ApplyOp(newEmbed(batch, c.VocabSize, c.HiddenSize), nodes["embed"])) // (tokens, hidden)
	g = &graph{loss: newLoss(batch, c.VocabSize, c.HiddenSize, o.labels, o.smoothing), tokens: batch.Size()}
	drop := func(x *gorgonia.Node, p func(int) float64) *gorgonia.Node { return x }
	if o.dropout > 0 || o.labelDropout > 0 {
		g.noise = &noiseSource{seed: o.seed}
		drop = func(x *gorgonia.Node, p func(int) float64) *gorgonia.Node {
			return gorgonia.Must(dropout(x, p, g.noise))
		}
	}
	always := func(int) float64 { return o.dropout }
	x = drop(x, always)
	if c.Ngrams != nil {
		y := gorgonia.Must(gorgonia.ApplyOp(newBag(batch, c.Ngrams.Rows, c.Ngrams.Dim), nodes["ngrams"])) // (bags, dim)
		y = gorgonia.Must(linear(y, nodes["ngrams_proj"], nil))                                           // (bags, hidden)
		y = drop(y, func(int) float64 { return o.labelDropout })
		x = gorgonia.Must(gorgonia.ApplyOp(newPlace(batch, c.HiddenSize), x, y))
	}
	for i := range c.NumHiddenLayers {
		layer := fmt.Sprintf("layers.%d.", i)
		y := gorgonia.Must(norm(x, nodes[layer+"attention_norm"], c.RMSNormEps))
		y = gorgonia.Must(linear(y, nodes[layer+"qkv"], nil)) // (tokens, packed)
		y = gorgonia.Must(gorgonia.ApplyOp(newAttention(batch, h, angles, work), y))
		x = gorgonia.Must(linear(drop(y, always), nodes[layer+"o"], x))
		y = gorgonia.Must(norm(x, nodes[layer+"mlp_norm"], c.RMSNormEps))
		y = gorgonia.Must(linear(y, nodes[layer+"gate_up"], nil)) // (tokens, 2·intermediate)
		y = gorgonia.Must(swiglu(y))
		x = gorgonia.Must(linear(drop(y, always), nodes[layer+"down"], x))
	}
	x = gorgonia.Must(norm(x, nodes["norm"], c.RMSNormEps))
	x = drop(x, func(row int) float64 {
		if _, label := g.loss.among(int(batch.Targets[row])); label && row < batch.used {
			return o.labelDropout
		}
		return o.dropout
	})
	g.cost = gorgonia.Must(gorgonia.ApplyOp(g.loss, x, nodes["embed"]))
	if o.gradients {
		if g.grads, err = gorgonia.Grad(g.cost, list...); err != nil {
			return nil, fmt.Errorf("train: differentiate the graph: %w", err)
		}
	}
	g.machine = gorgonia.NewTapeMachine(expr)
	return g, nil
}

// inputNode binds backing itself, not a copy, to a new input of the graph.
func inputNode(g *gorgonia.ExprGraph, name string, shape tensor.Shape, backing []float32) *gorgonia.Node {
	value := tensor.New(tensor.WithShape(shape...), tensor.WithBacking(backing))
	return gorgonia.NewTensor(g, tensor.Float32, shape.Dims(), gorgonia.WithShape(shape...), gorgonia.WithName(name), gorgonia.WithValue(value))
}

// run computes the loss of step, whose number settles what is dropped, and the gradients if the graph has them. It gives the loss without label smoothing, in nats.
func (g *graph) run(step int) (float64, error) {
	if g.noise != nil {
		g.noise.step = uint64(step)
	}
	g.machine.Reset()
	if err := g.machine.RunAll(); err != nil {
		return 0, fmt.Errorf("train: run the graph: %w", err)
	}
	return g.loss.plain, nil
}

// gradient gives the gradient by parameter i, valid until the next run.
func (g *graph) gradient(i int) []float32 { return floats(g.grads[i].Value()) }

func (g *graph) close() error { return g.machine.Close() }
