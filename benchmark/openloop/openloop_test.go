package openloop_test

import (
	"context"
	"math"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"gonum.org/v1/gonum/stat"

	"teller/benchmark/openloop"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestArrivalsAreAPoissonProcess(t *testing.T) {
	const rate = 50
	at := openloop.Arrivals(rate, 400*time.Second, 3)
	require.Equal(t, at, openloop.Arrivals(rate, 400*time.Second, 3), "the seed repeats them")
	require.NotEqual(t, at[:10], openloop.Arrivals(rate, 400*time.Second, 4)[:10])
	require.InDelta(t, rate*400, len(at), 4*math.Sqrt(rate*400))

	gaps := make([]float64, len(at))
	last, longer := time.Duration(0), 0
	for i, a := range at {
		require.Greater(t, a, last)
		gaps[i] = (a - last).Seconds()
		if gaps[i] > 1.0/rate {
			longer++
		}
		last = a
	}
	mean, deviation := stat.MeanStdDev(gaps, nil)
	require.InDelta(t, 1.0/rate, mean, 0.03/rate)
	require.InDelta(t, 1.0/rate, deviation, 0.03/rate, "the deviation of exponential gaps is their mean")
	require.InDelta(t, 1/math.E, float64(longer)/float64(len(gaps)), 0.02, "so many exceed the mean")
	require.InDelta(t, 0, stat.Correlation(gaps[:len(gaps)-1], gaps[1:], nil), 0.03, "no gap tells of the next")
}

// served calls a server of the test's.
func served(t *testing.T, handler http.HandlerFunc) openloop.Call {
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return func(ctx context.Context, _ int) string {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL, nil)
		if err != nil {
			return "request"
		}
		resp, err := server.Client().Do(req)
		if err != nil {
			return "unreachable"
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return http.StatusText(resp.StatusCode)
		}
		return ""
	}
}

func TestEachArrivalIsCountedOnce(t *testing.T) {
	var calls atomic.Int64
	call := served(t, func(w http.ResponseWriter, _ *http.Request) {
		if calls.Add(1)%5 == 0 {
			w.WriteHeader(http.StatusTooManyRequests)
		}
	})
	got, err := openloop.Run(t.Context(), openloop.Options{Rate: 200, Duration: time.Second, Objective: time.Minute, InFlight: 1000, Seed: 1}, call)
	require.NoError(t, err)
	arrivals := len(openloop.Arrivals(200, time.Second, 1))
	require.Equal(t, arrivals, got.Offered)
	require.Zero(t, got.Dropped)
	require.Equal(t, map[string]int{"Too Many Requests": arrivals / 5}, got.Errors)
	require.Equal(t, arrivals-arrivals/5, got.Answered)
	require.Equal(t, got.Answered, got.Good)
	require.InDelta(t, float64(got.Good)/float64(got.Offered), got.GoodShare, 1e-9)
	require.Positive(t, got.Latency.P50)
	require.GreaterOrEqual(t, got.Latency.Max, got.Latency.P99)
}

func TestAServiceThatStallsDropsArrivalsAndMissesTheObjective(t *testing.T) {
	stalled := make(chan struct{})
	time.AfterFunc(700*time.Millisecond, func() { close(stalled) })
	call := served(t, func(http.ResponseWriter, *http.Request) { <-stalled })
	got, err := openloop.Run(t.Context(), openloop.Options{Rate: 100, Duration: 500 * time.Millisecond, Objective: 100 * time.Millisecond, InFlight: 10, Seed: 1}, call)
	require.NoError(t, err)
	require.Equal(t, 10, got.Answered)
	require.Equal(t, got.Offered-10, got.Dropped)
	require.Zero(t, got.Good)
	require.Greater(t, got.Latency.P50, 200.0, "latency counts from when a call was due")
}

func TestALoadThatIsEndedWaitsForItsCalls(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var begun atomic.Int64
	_, err := openloop.Run(ctx, openloop.Options{Rate: 1000, Duration: time.Hour, Objective: time.Second, InFlight: 10, Seed: 1}, func(ctx context.Context, _ int) string {
		if begun.Add(1) == 3 {
			cancel()
		}
		<-ctx.Done()
		return "canceled"
	})
	require.ErrorIs(t, err, context.Canceled)
}

func TestOptionsThatLoadNothingAreRefused(t *testing.T) {
	good := openloop.Options{Rate: 1, Duration: time.Second, Objective: time.Second, InFlight: 1}
	require.NoError(t, good.Check())
	for _, change := range []func(*openloop.Options){
		func(o *openloop.Options) { o.Rate = 0 }, func(o *openloop.Options) { o.Rate = math.NaN() }, func(o *openloop.Options) { o.Rate = math.Inf(1) },
		func(o *openloop.Options) { o.Duration = 0 }, func(o *openloop.Options) { o.Objective = -1 }, func(o *openloop.Options) { o.InFlight = 0 },
	} {
		bad := good
		change(&bad)
		_, err := openloop.Run(t.Context(), bad, nil)
		require.Error(t, err)
	}
}
