package stream

import (
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"teller/llm"
)

func newHub(t *testing.T) *Hub {
	h := NewHub("127.0.0.1:1")
	t.Cleanup(h.Close)
	return h
}

func piece(text string) llm.Delta { return llm.Delta{Text: text} }

// read gives all that a reader finds: pieces, and "|" where the text begins anew.
func read(r *Reader) string {
	var all strings.Builder
	for {
		e, ok, _ := r.Read()
		switch {
		case !ok:
			return all.String()
		case e.Reset:
			all.WriteString("|")
		default:
			all.WriteString(e.Delta.Text)
		}
	}
}

func TestReadersReadFromWhereTheyAre(t *testing.T) {
	h := newHub(t)
	to, first, _ := h.Announce("t", time.Minute)
	require.Empty(t, read(first))
	_, _, changed := first.Read()
	say := h.Open(to, 1)
	say(piece("A bank "))
	<-changed
	require.Equal(t, "A bank ", read(first))
	say(piece("keeps "))
	say(piece("money."))
	require.Equal(t, "keeps money.", read(first), "what came meanwhile comes joined")

	_, second, _ := h.Announce("t", time.Minute)
	require.Equal(t, "A bank keeps money.", read(second), "a second request with the same key reads the same")
	require.Equal(t, "keeps money.", read(h.Find("t", Position{}.After("A bank "))), "one that comes back reads on")
	require.Equal(t, "|A bank keeps money.", read(h.Find("t", Position{}.After("A shop "))), "one that had another text begins anew")
	require.Nil(t, h.Find("another", Position{}))
}

func TestAnotherAttemptBeginsAnew(t *testing.T) {
	h := newHub(t)
	to, r, _ := h.Announce("t", time.Minute)
	old, again := h.Open(to, 1), h.Open(to, 2)
	old(piece("A bank "))
	require.Equal(t, "A bank ", read(r))
	early := h.Find("t", Position{}.After("A bank keeps"))
	require.Empty(t, read(early), "whether the text leads there is not known yet")
	again(piece("A bank keeps money."))
	old(piece("robs"))
	require.Equal(t, "|A bank keeps money.", read(r))
	require.Equal(t, " money.", read(early), "the second attempt leads to where this client was")

	_, silent, _ := h.Announce("t2", time.Minute)
	to2, _, _ := h.Announce("t2", time.Minute)
	h.Open(to2, 1)(piece("lost "))
	h.Open(to2, 2)(piece("found"))
	require.Equal(t, "found", read(silent), "who had read nothing needs no reset")
}

func TestFramesThatHaveNoBusinessHere(t *testing.T) {
	h := newHub(t)
	to, r, end := h.Announce("t", time.Minute)
	for name, f := range map[string]Frame{
		"no token":     {Turn: "t", Attempt: 1},
		"wrong token":  {Turn: "t", Token: to.Token + "x", Attempt: 1},
		"other token":  {Turn: "t", Token: strings.ToLower(to.Token), Attempt: 1},
		"unknown turn": {Turn: "u", Token: to.Token, Attempt: 1},
		"not the next": {Turn: "t", Token: to.Token, Attempt: 1, Sequence: 1},
	} {
		f.Delta = piece("CANARY")
		h.Deliver(f)
		require.Empty(t, read(r), name)
	}
	h.Open(to, 1)(piece("too late after a lost one"))
	require.Empty(t, read(r), "the attempt has lost a frame")
	say := h.Open(to, 2)
	say(piece("well"))
	end(true)
	say(piece("after the end"))
	require.Equal(t, "well", read(r))
}

func TestLogProbsGoWithTheirPieces(t *testing.T) {
	h := newHub(t)
	to, r, _ := h.Announce("t", time.Minute)
	say := h.Open(to, 1)
	probs := func(tokens ...string) (all []llm.TokenLogProb) {
		for _, token := range tokens {
			all = append(all, llm.TokenLogProb{Token: token, LogProb: -1})
		}
		return all
	}
	say(llm.Delta{Text: "A bank", LogProbs: probs("A", " bank")})
	e, ok, _ := r.Read()
	require.True(t, ok)
	require.Equal(t, llm.Delta{Text: "A bank", LogProbs: probs("A", " bank")}, e.Delta)
	say(llm.Delta{Text: " is", LogProbs: probs(" is")})
	say(llm.Delta{Text: " a"})
	say(llm.Delta{Text: " bank", LogProbs: probs(" bank")})
	e, _, _ = r.Read()
	require.Equal(t, llm.Delta{Text: " is a bank", LogProbs: probs(" is", " bank")}, e.Delta)
}

func TestStreamsAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := NewHub("127.0.0.1:1")
		defer h.Close()
		to, _, answered := h.Announce("answered", time.Minute)
		h.Open(to, 1)(piece("text"))
		_, _, failed := h.Announce("failed", time.Minute)
		h.Announce("left alone", 5*time.Minute)
		answered(true)
		failed(false)
		answered(false)
		require.Nil(t, h.Find("failed", Position{}), "one that failed is tried anew")
		time.Sleep(keepEnded - time.Second)
		require.Equal(t, "text", read(h.Find("answered", Position{})))
		time.Sleep(time.Second)
		synctest.Wait()
		require.Nil(t, h.Find("answered", Position{}))
		require.NotNil(t, h.Find("left alone", Position{}), "its turn may still run, though nobody waits")
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		require.Nil(t, h.Find("left alone", Position{}))
		require.Zero(t, h.bytes)
		require.Zero(t, h.ended.Len())
	})
}

func TestMemoryIsBounded(t *testing.T) {
	h := newHub(t)
	to, r, _ := h.Announce("long", time.Minute)
	say := h.Open(to, 1)
	for range 1 + maxTurnBytes/1000 {
		say(piece(strings.Repeat("x", 1000)))
	}
	say(piece("y"))
	got := read(r)
	require.LessOrEqual(t, len(got), maxTurnBytes)
	require.NotContains(t, got, "y", "nothing follows a gap")

	chunk := piece(strings.Repeat("x", maxTurnBytes))
	for i := range 3 * maxHubBytes / maxTurnBytes {
		to, _, end := h.Announce(strings.Repeat("t", i+1), time.Minute)
		h.Open(to, 1)(chunk)
		require.LessOrEqual(t, h.bytes, maxHubBytes)
		end(true)
	}
	require.Greater(t, h.bytes, maxHubBytes-2*maxTurnBytes, "what has ended makes room, and no more than is needed")
	require.NotNil(t, h.Find("long", Position{}), "what has not ended stays")
}

func TestManyReadersAndWriters(t *testing.T) {
	h := newHub(t)
	const turns, pieces = 50, 200
	var all sync.WaitGroup
	for i := range turns {
		turn := strings.Repeat("t", i+1)
		to, r, end := h.Announce(turn, time.Minute)
		all.Go(func() {
			say := h.Open(to, 1)
			for range pieces {
				say(piece("x"))
			}
		})
		all.Go(func() {
			for n := 0; n < pieces; {
				e, ok, changed := r.Read()
				if !ok {
					<-changed
				}
				n += len(e.Delta.Text)
			}
			end(true)
		})
	}
	all.Wait()
	require.Equal(t, turns*pieces, h.bytes)
}
