package stream

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestPositions(t *testing.T) {
	const text = "Grüße, 残高"
	var p Position
	for i, char := range text {
		require.Equal(t, i, p.Offset)
		rest, ok := p.Rest(text)
		require.True(t, ok)
		require.Equal(t, text[i:], rest)
		_, ok = p.Rest("x" + text)
		require.Equal(t, i == 0, ok, "another text does not go on from there")
		p = p.After(string(char))
	}
	rest, ok := p.Rest(text)
	require.True(t, ok)
	require.Empty(t, rest)
	_, ok = p.Rest(text[:5])
	require.False(t, ok, "a shorter text does not lead there")
	_, ok = Position{}.After(text[:3]).Rest(text)
	require.False(t, ok, "nobody was sent half a character")
}

func TestEventIDs(t *testing.T) {
	at := Position{}.After("A bank")
	id := EventID("0123abcd-4567", at)
	turn, again, err := ParseEventID(id)
	require.NoError(t, err)
	require.Equal(t, "0123abcd-4567", turn)
	require.Equal(t, at, again)

	for _, id := range []string{
		"", ":", "x", "x:", "x:1", "x:1.", ":1.00000000", "x:-1.00000000", "x:+1.00000000", "x:01.00000000", "x:1.0000000", "x:1.000000000",
		"x:1.0000000G", "x:1.ABCDEF01", "x:1.00000000 ", "x:1.00000000.1", "x:99999999999.00000000", "x: 1.00000000", "x:y:1.00000000", "\x00",
	} {
		_, _, err := ParseEventID(id)
		require.Error(t, err, "%q", id)
	}
}

func FuzzParseEventID(f *testing.F) {
	f.Add("turn:12.0a1b2c3d")
	f.Add("turn:12")
	f.Fuzz(func(t *testing.T, id string) {
		if turn, at, err := ParseEventID(id); err == nil {
			require.Equal(t, id, EventID(turn, at))
			_, _ = at.Rest(fmt.Sprint(id, id))
		}
	})
}
