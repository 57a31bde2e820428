package train

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// chunk is how many rows one goroutine takes at a time. It is a constant, so that how work is cut, and with it the order
// of every sum, does not depend on the number of cores.
const chunk = 64

// parallel calls f for each i in [0, n) on all cores. Calls must write to places of their own.
func parallel(n int, f func(i int)) {
	workers := min(runtime.GOMAXPROCS(0), n)
	if workers <= 1 {
		for i := range n {
			f(i)
		}
		return
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				f(i)
			}
		})
	}
	wg.Wait()
}

// parallelRows calls f on [from, to) ranges of at most chunk rows that together cover [0, n).
func parallelRows(n int, f func(from, to int)) {
	parallel((n+chunk-1)/chunk, func(i int) { f(i*chunk, min((i+1)*chunk, n)) })
}
