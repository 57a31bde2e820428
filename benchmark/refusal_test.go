package benchmark

import (
	_ "embed"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// The replies are the project's own, one a line.
var (
	//go:embed testdata/refusing.txt
	refusing string
	//go:embed testdata/helping.txt
	helping string
)

func TestRefuses(t *testing.T) {
	for _, set := range []struct {
		replies string
		refuses bool
	}{{refusing, true}, {helping, false}} {
		replies := strings.Split(strings.TrimSpace(set.replies), "\n")
		require.GreaterOrEqual(t, len(replies), 100)
		for _, reply := range replies {
			t.Run(reply[:min(len(reply), 40)], func(t *testing.T) {
				require.Equal(t, set.refuses, Refuses(reply), reply)
			})
		}
	}
}

func TestRefusesLooksAtTheOpeningOfALongReply(t *testing.T) {
	answer := strings.Repeat("Open the app, choose Payments and then Scheduled. ", 12)
	require.False(t, Refuses(answer+"I can't help with taxes."))
	require.True(t, Refuses("I can't help with that. "+answer))
	require.False(t, Refuses(""))
}
