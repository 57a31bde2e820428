package kernels

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPoolRunsEachPartOnce(t *testing.T) {
	for _, threads := range []int{0, 1, 2, 3, 8} {
		pool := NewPool(threads)
		var parts []int32
		busy := make([]atomic.Bool, pool.Threads())
		count := func(worker, i int) {
			if busy[worker].Swap(true) {
				t.Error("two parts at a time with the same worker")
			}
			atomic.AddInt32(&parts[i], 1)
			busy[worker].Store(false)
		}
		for _, n := range []int{0, 1, 2, 3, 17, 1000} {
			for range 50 {
				parts = make([]int32, n)
				pool.Run(n, count)
				for _, p := range parts {
					require.EqualValues(t, 1, p)
				}
			}
		}
		pool.Close()
	}
}

func TestPoolWakesThreadsThatSleep(t *testing.T) {
	pool := NewPool(4)
	defer pool.Close()
	for range 20 {
		require.Eventually(t, func() bool { return pool.asleep.Load() == 3 }, 10*time.Second, 100*time.Microsecond)
		var meet sync.WaitGroup
		meet.Add(4)
		pool.Run(4, func(int, int) { // ends only if all four threads take part
			meet.Done()
			meet.Wait()
		})
	}
}

func TestPoolServesCallersAtTheSameTime(t *testing.T) {
	pool := NewPool(2)
	defer pool.Close()
	var sum atomic.Int64
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 100 {
				pool.Run(10, func(_, i int) {
					pool.Run(3, func(_, j int) { sum.Add(int64(i * j)) }) // from inside
				})
			}
		})
	}
	callers.Wait()
	require.EqualValues(t, 8*100*45*3, sum.Load())
}

func TestNilPoolRunsAlone(t *testing.T) {
	var pool *Pool
	sum := 0
	pool.Run(5, func(worker, i int) { sum += i + worker })
	require.Equal(t, 10, sum)
	require.Equal(t, 1, pool.Threads())
	pool.Close()
}

func TestClosedPoolPanics(t *testing.T) {
	pool := NewPool(2)
	pool.Close()
	require.Panics(t, func() { pool.Run(2, func(int, int) {}) })
}

// What a part costs beyond its work, in ns/op; goroutines beside it.
func BenchmarkPool(b *testing.B) {
	work := func(_, _ int) { pause(20) }
	b.Run("alone", func(b *testing.B) {
		for b.Loop() {
			work(0, 0)
			work(0, 1)
		}
	})
	b.Run("pool", func(b *testing.B) {
		pool := NewPool(2)
		defer pool.Close()
		for b.Loop() {
			pool.Run(2, work)
		}
	})
	b.Run("goroutines", func(b *testing.B) {
		var wg sync.WaitGroup
		for b.Loop() {
			wg.Go(func() { work(1, 1) })
			work(0, 0)
			wg.Wait()
		}
	})
	b.Run("asleep", func(b *testing.B) { // the threads have gone to sleep before each call
		pool := NewPool(2)
		defer pool.Close()
		var spent time.Duration
		for b.Loop() {
			for pool.asleep.Load() == 0 {
				runtime.Gosched()
			}
			start := time.Now()
			pool.Run(2, work)
			spent += time.Since(start)
		}
		b.ReportMetric(float64(spent.Nanoseconds())/float64(b.N), "ns/run")
	})
}
