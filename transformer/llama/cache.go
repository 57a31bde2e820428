package llama

import (
	"fmt"
	"unsafe"

	"teller/transformer/kernels"
)

// cache is the keys and values of all sequences, in pages.
type cache interface {
	// store writes the keys and values (kvHeads, headDim) of a token for one layer.
	store(layer int, pages []int32, position int, keys, values []float32)
	// storeHead is store for one head.
	storeHead(layer, head int, pages []int32, position int, key, value []float32)
	// attend answers queries to one head of a layer.
	attend(s *kernels.Scratch, layer, head int, pages []int32, q kernels.Queries)
}

// paged is a cache of float16 (uint16) or float32. A page holds its tokens of all layers: (layers, kvHeads, keys and values).
type paged[T kernels.Cached] struct {
	layout         kernels.Cache
	data           []T
	kvHeads        int
	pageLen        int // elements of a page
	headLen        int // of one head in it
	headDim        int
	elementsOfKeys int
}

// newCache makes room for so many pages; release gives it back.
func newCache(m *Model, pages int) (c cache, release func(), err error) {
	layout, err := kernels.NewCache(m.HeadDim, PageTokens)
	if err != nil {
		return nil, nil, err
	}
	memory, release, err := reserve(max(1, pages*m.PageBytes()))
	if err != nil {
		return nil, nil, fmt.Errorf("a cache of %d MB: %w", pages*m.PageBytes()>>20, err)
	}
	if m.ExactCache() {
		return newPaged[float32](m, layout, memory), release, nil
	}
	return newPaged[uint16](m, layout, memory), release, nil
}

func newPaged[T kernels.Cached](m *Model, layout kernels.Cache, memory []byte) *paged[T] {
	var one T
	headLen := layout.KeyLen() + layout.ValueLen()
	return &paged[T]{
		layout:         layout,
		data:           unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(memory))), len(memory)/int(unsafe.Sizeof(one))),
		kvHeads:        m.KVHeads,
		pageLen:        m.NumLayers * m.KVHeads * headLen,
		headLen:        headLen,
		headDim:        m.HeadDim,
		elementsOfKeys: layout.KeyLen(),
	}
}

func (c *paged[T]) head(layer, head int, pages []int32) kernels.Head[T] {
	at := (layer*c.kvHeads + head) * c.headLen
	return kernels.Head[T]{Cache: c.layout, Data: c.data, Table: pages, Step: c.pageLen, Keys: at, Values: at + c.elementsOfKeys}
}

func (c *paged[T]) store(layer int, pages []int32, position int, keys, values []float32) {
	for head := range c.kvHeads {
		at := head * c.headDim
		c.storeHead(layer, head, pages, position, keys[at:at+c.headDim], values[at:at+c.headDim])
	}
}

func (c *paged[T]) storeHead(layer, head int, pages []int32, position int, key, value []float32) {
	h := c.head(layer, head, pages)
	kernels.Store(&h, position, key, value)
}

func (c *paged[T]) attend(s *kernels.Scratch, layer, head int, pages []int32, q kernels.Queries) {
	h := c.head(layer, head, pages)
	kernels.Attend(s, &h, q)
}
