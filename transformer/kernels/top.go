package kernels

import "math"

// ArgMax gives the index of the greatest element, the first of several; -1 when there is none but NaN.
func ArgMax(x []float32) int {
	most := maximum(x)
	if math.IsInf(float64(most), -1) {
		for i, v := range x {
			if v == most {
				return i
			}
		}
		return -1
	}
	return firstAbove(x, math.Nextafter32(most, float32(math.Inf(-1))))
}

// TopK writes the indices of the greatest elements of x to top, the greatest first, of equals the one with the lower index, and says how many
// there are: as many as top has room for, unless x has fewer that are not NaN.
func TopK(top []int32, x []float32) int {
	heap := candidates{top[:0], x}
	i := 0
	for ; i < len(x) && len(heap.at) < len(top); i++ {
		if v := x[i]; v == v {
			heap.at = append(heap.at, int32(i))
			heap.up(len(heap.at) - 1)
		}
	}
	n := len(heap.at)
	if n == 0 {
		return 0
	}
	for ; i < len(x); i++ { // few of the others are greater than the least of those
		i += firstAbove(x[i:], x[heap.at[0]])
		if i >= len(x) {
			break
		}
		heap.at[0] = int32(i)
		heap.down(0)
	}
	for len(heap.at) > 1 {
		last := len(heap.at) - 1
		heap.at[0], heap.at[last] = heap.at[last], heap.at[0]
		heap.at = heap.at[:last]
		heap.down(0)
	}
	return n
}

// candidates is a heap of indices whose root is the one to give up first: the least, of equals the one with the higher index.
type candidates struct {
	at []int32
	x  []float32
}

func (c candidates) before(i, j int) bool {
	a, b := c.at[i], c.at[j]
	return c.x[a] < c.x[b] || c.x[a] == c.x[b] && a > b
}

func (c candidates) up(i int) {
	for parent := (i - 1) / 2; i > 0 && c.before(i, parent); parent = (i - 1) / 2 {
		c.at[i], c.at[parent] = c.at[parent], c.at[i]
		i = parent
	}
}

func (c candidates) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(c.at) {
			return
		}
		if child+1 < len(c.at) && c.before(child+1, child) {
			child++
		}
		if !c.before(child, i) {
			return
		}
		c.at[i], c.at[child] = c.at[child], c.at[i]
		i = child
	}
}
