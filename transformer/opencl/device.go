package opencl

import (
	_ "embed"
	"fmt"
	"runtime"
	"strconv"

	"teller/transformer/kernels"
	"teller/transformer/llama"
)

//go:embed kernels.cl
var kernelsSource string

//go:embed products.cl
var productsSource string

// Sizes of work-groups that the sources have as well.
const (
	eachGroup   = 64 // work-items of kernels that work on one number each
	normGroup   = 128
	attendGroup = 64
	fewLanes    = 8
	manySide    = 16
	manyTile    = 64
)

const (
	usualRows = 512 // for as many there is room from the start
	headRows  = 64  // outputs that go through the head together
	fewRows   = 32  // up to which the kernels for few inputs read the weights several times, rather than that for many compute with nothing
)

// Device runs batches of one model on a piece of hardware. It is for one goroutine at a time.
type Device struct {
	*driver
	name    string
	model   *llama.Model
	pages   int
	threads int

	compute  computations
	products [kernels.Q4 + 1]*products

	embed  part
	layers []layer
	norm   buffer // (hidden)
	head   part
	cache  []buffer // of each layer: see place_of in kernels.cl

	sizes
	work   work
	angles *llama.Angles
	batch  batch
}

// computations are the kernels of kernels.cl.
type computations struct {
	addExtras, gather, norm, swiglu, turnQueries, store, attend *kernel
}

// products are the kernels of products.cl for one format.
type products struct {
	embed            *kernel
	one, four, eight *kernel
	many             *kernel
}

// layer is the weights of one decoder layer.
type layer struct {
	inputNorm, postNorm buffer // (hidden)
	qkv                 []part // in the last layer without the queries
	q                   []part // of the last layer, where not every row has a query
	o                   []part
	gateUp              []part
	down                []part
}

// part is a matrix whose results go to a place in each row of a product's output.
type part struct {
	matrix
	offset int
}

// sizes are distances between rows of what is computed. Those of inputs of products are whole groups of columns.
type sizes struct{ hidden, qkv, mixed, inner int }

func sizesFor(m *llama.Model) sizes {
	whole := func(n int) int { return groupsOf(n, groupCols) * groupCols }
	return sizes{whole(m.Hidden), (m.Heads + 2*m.KVHeads) * m.HeadDim, whole(m.Heads * m.HeadDim), whole(m.Intermediate)}
}

// open makes a device and runs one token on it.
func open(a Accelerator, m *llama.Model, pages int) (_ *Device, err error) {
	d := &Device{name: a.Name(), model: m, pages: pages, threads: runtime.GOMAXPROCS(0), sizes: sizesFor(m), angles: llama.NewAngles(m)}
	if d.driver, err = newDriver(a.Hardware); err != nil {
		return nil, err
	}
	for _, part := range []func() error{d.compile, d.upload, d.makeCache, d.tryOut} {
		if err := part(); err != nil {
			d.Close()
			return nil, err
		}
	}
	runtime.AddCleanup(d, (*driver).close, d.driver)
	return d, nil
}

func (d *Device) compile() error {
	var defines []string
	if !d.model.ExactCache() {
		defines = []string{"HALF_CACHE"}
	}
	program, err := d.program(kernelsSource, defines...)
	if err != nil {
		return err
	}
	c := &d.compute
	return d.find(program, map[string]wanted{
		"add_extras": {&c.addExtras, eachGroup, 1}, "gather": {&c.gather, eachGroup, 1}, "norm": {&c.norm, normGroup, 1},
		"swiglu": {&c.swiglu, eachGroup, 1}, "turn_queries": {&c.turnQueries, eachGroup, 1}, "store": {&c.store, eachGroup, 1},
		"attend": {&c.attend, attendGroup, 1},
	})
}

// wanted is a kernel to find, and the work-groups that it is to run in.
type wanted struct {
	to   **kernel
	x, y uintptr
}

func (d *Device) find(program uintptr, kernels map[string]wanted) error {
	for name, w := range kernels {
		var err error
		if *w.to, err = d.kernel(program, name, w.x, w.y); err != nil {
			return err
		}
	}
	return nil
}

// productsOf compiles the kernels for a format when the first matrix of it comes.
func (d *Device) productsOf(f kernels.Format) (*products, error) {
	if d.products[f] != nil {
		return d.products[f], nil
	}
	program, err := d.program(productsSource, "FORMAT="+strconv.Itoa(int(f)))
	if err != nil {
		return nil, err
	}
	p := &products{}
	d.products[f] = p
	return p, d.find(program, map[string]wanted{
		"embed": {&p.embed, eachGroup, 1}, "product_1": {&p.one, blockRows, fewLanes}, "product_4": {&p.four, blockRows, fewLanes},
		"product_8": {&p.eight, blockRows, fewLanes}, "product_many": {&p.many, manySide, manySide},
	})
}

// upload gives the device the weights.
func (d *Device) upload() error {
	m := d.model
	var err error
	parts := func(matrices ...*kernels.Matrix) (all []part) {
		if err == nil {
			all, err = d.uploadParts(matrices)
		}
		return all
	}
	vector := func(values []float32) (b buffer) {
		if err == nil {
			b, err = d.allocate(4*len(values), "weights")
		}
		if err == nil {
			err = write(d.driver, b, 0, values)
		}
		return b
	}
	d.layers = make([]layer, len(m.Layers))
	for i := range m.Layers {
		from, to := &m.Layers[i], &d.layers[i]
		if i < len(m.Layers)-1 {
			to.qkv = parts(from.Q, from.K, from.V)
		} else {
			to.q, to.qkv = parts(from.Q), parts(from.K, from.V)
			for p := range to.qkv {
				to.qkv[p].offset += from.Q.Rows
			}
		}
		to.o, to.gateUp, to.down = parts(from.O), parts(from.Gate, from.Up), parts(from.Down)
		to.inputNorm, to.postNorm = vector(from.InputNorm), vector(from.PostNorm)
	}
	d.norm = vector(m.Norm)
	embed := parts(m.Embed)
	head := embed
	if m.Head != m.Embed {
		head = parts(m.Head)
	}
	if err != nil {
		return err
	}
	d.embed, d.head = embed[0], head[0]
	return nil
}

// uploadParts uploads matrices that multiply the same input, with their results side by side. Neighbours of one format become one where
// their blocks fit together: fewer, larger products.
func (d *Device) uploadParts(matrices []*kernels.Matrix) (all []part, err error) {
	offset := 0
	for len(matrices) > 0 {
		n, rows := 1, matrices[0].Rows
		for n < len(matrices) && matrices[n].Format == matrices[0].Format && rows%blockRows == 0 {
			rows += matrices[n].Rows
			n++
		}
		if _, err := d.productsOf(matrices[0].Format); err != nil {
			return nil, err
		}
		m, err := d.driver.upload(matrices[:n]...)
		if err != nil {
			return nil, err
		}
		all = append(all, part{m, offset})
		offset += rows
		matrices = matrices[n:]
	}
	return all, nil
}

// makeCache makes room for keys and values.
func (d *Device) makeCache() error {
	m := d.model
	element := 2
	if m.ExactCache() {
		element = 4
	}
	for range m.NumLayers {
		b, err := d.allocate(element*d.pages*m.KVHeads*2*m.HeadDim*llama.PageTokens, "a layer's keys and values")
		if err != nil {
			return fmt.Errorf("a cache of %d pages: %w", d.pages, err)
		}
		d.cache = append(d.cache, b)
	}
	return nil
}

// tryOut runs one token, in memory for many.
func (d *Device) tryOut() error {
	if err := d.reserve(usualRows, 1); err != nil {
		return err
	}
	b := llama.Batch{Pieces: []llama.Piece{{Tokens: []int{0}, Pages: []int32{0}, Outputs: 1}}}
	return d.Step(&b, func(int, int, []float32) {})
}

// Name is "opencl: " and the hardware's name.
func (d *Device) Name() string { return d.name }

// Threads is how many threads look at logits at a time.
func (d *Device) Threads() int { return d.threads }

// Pages is how many pages the cache has.
func (d *Device) Pages() int { return d.pages }

// Rest does nothing: between two steps nothing waits.
func (d *Device) Rest() {}

// Close gives the device's memory back.
func (d *Device) Close() { d.close() }
