package kernels

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Pool is threads that share out work of a few microseconds. Waking a goroutine costs about as much as such work, so the threads
// of a pool spin for a moment after each one, in case there is more, and sleep only then.
//
// A pool serves one caller at a time. Another one, or a call from inside the work itself, does its work alone, without waiting.
type Pool struct {
	run     sync.Mutex // held by the caller that the threads work for
	threads int
	f       func(worker, i int)
	wake    chan struct{}
	ended   sync.WaitGroup
	closed  atomic.Bool

	products work // of Multiply

	_ [cacheLine]byte
	// ticket is a generation (16 bits), how many parts it has (24), and how many of them were taken (24). In one word, so that a
	// thread that comes late can't take a part of one generation for that of another.
	ticket atomic.Uint64
	_      [cacheLine]byte
	done   atomic.Int64 // parts of this generation
	_      [cacheLine]byte
	asleep atomic.Int32
	_      [cacheLine]byte
}

const (
	ticketBits = 24
	ticketMask = 1<<ticketBits - 1
	maxParts   = ticketMask - 1<<16 // leaves room for those who find nothing left

	spinPauses = 40   // of about 20 ns: between looks at the scheduler
	spinRounds = 100  // before a thread sleeps: about 0.1 ms
	waitRounds = 1000 // before the caller sleeps, because the system has taken a thread off its core in the middle of a part
)

// NewPool starts a pool of threads, the caller's own included; 0 means as many as GOMAXPROCS. Close ends them.
func NewPool(threads int) *Pool {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	p := &Pool{threads: threads, wake: make(chan struct{}, threads)}
	p.products.part = p.products.multiply
	for worker := 1; worker < threads; worker++ {
		p.ended.Go(func() { p.serve(worker) })
	}
	return p
}

// Threads is how many threads work at a time, and one more than the greatest number that Run passes as worker.
func (p *Pool) Threads() int {
	if p == nil {
		return 1
	}
	return p.threads
}

// Run calls f for each i in [0, n), on all threads, and returns when all calls have. worker tells them apart: it lies in [0, Threads), and
// no two calls run at the same time with the same one. f should be made once and kept: a closure made for each call is an
// allocation. f must not panic. A nil pool runs everything itself.
func (p *Pool) Run(n int, f func(worker, i int)) {
	if p == nil || p.threads == 1 || n <= 1 || n > maxParts || !p.run.TryLock() {
		for i := range n {
			f(0, i)
		}
		return
	}
	defer p.run.Unlock()
	p.locked(n, f)
}

// locked is Run for whoever holds p.run.
func (p *Pool) locked(n int, f func(worker, i int)) {
	if p.closed.Load() {
		panic("kernels: Run on a closed pool")
	}
	p.f = f
	p.done.Store(0)
	generation := p.ticket.Load()>>(2*ticketBits) + 1
	p.ticket.Store(generation<<(2*ticketBits) | uint64(n)<<ticketBits)
	p.rouse()
	p.take(0)
	for round := 0; p.done.Load() < int64(n); round++ {
		if round < waitRounds {
			pause(1 + min(round, spinPauses))
			if round >= spinPauses {
				runtime.Gosched()
			}
		} else {
			time.Sleep(50 * time.Microsecond)
		}
	}
	p.f = nil
}

// rouse wakes the threads that sleep.
func (p *Pool) rouse() {
	if p.asleep.Load() == 0 {
		return
	}
	for range p.asleep.Swap(0) {
		p.wake <- struct{}{}
	}
}

// take does parts until none is left.
func (p *Pool) take(worker int) {
	var did int64
	for {
		t := p.ticket.Add(1)
		parts, i := t>>ticketBits&ticketMask, t&ticketMask-1
		if i >= parts {
			break
		}
		p.f(worker, int(i)) // the generation lasts until this part is counted, so f is its function
		did++
	}
	if did > 0 {
		p.done.Add(did)
	}
}

func (p *Pool) serve(worker int) {
	var seen uint64
	for {
		seen = p.await(seen)
		if p.closed.Load() {
			return
		}
		p.take(worker)
	}
}

// await returns the next generation after seen.
func (p *Pool) await(seen uint64) uint64 {
	for {
		for range spinRounds {
			for range spinPauses {
				if g := p.ticket.Load() >> (2 * ticketBits); g != seen {
					return g
				}
				pause(1)
			}
			runtime.Gosched() // others may want the core
		}
		p.asleep.Add(1)
		if g := p.ticket.Load() >> (2 * ticketBits); g != seen && p.stayAwake() {
			return g
		}
		<-p.wake
	}
}

// stayAwake takes back that this thread sleeps, unless someone has already counted it among those to wake.
func (p *Pool) stayAwake() bool {
	for {
		n := p.asleep.Load()
		if n == 0 {
			return false
		}
		if p.asleep.CompareAndSwap(n, n-1) {
			return true
		}
	}
}

// Close ends the threads. The pool must not be used any more.
func (p *Pool) Close() {
	if p == nil {
		return
	}
	p.run.Lock()
	defer p.run.Unlock()
	p.closed.Store(true)
	generation := p.ticket.Load()>>(2*ticketBits) + 1
	p.ticket.Store(generation << (2 * ticketBits))
	p.rouse()
	p.ended.Wait()
}
