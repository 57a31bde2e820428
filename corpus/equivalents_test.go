package corpus

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEquivalents(t *testing.T) {
	c, err := Load()
	require.NoError(t, err)
	shipped, err := c.Equivalents()
	require.NoError(t, err)
	require.Equal(t, "change_pin", shipped["clinc150"]["pin_change"])

	for _, test := range []struct{ name, file, message string }{
		{"an intent that is not there", "set:\n  label: no_such_intent\n", `x.yaml:2: the label label of set goes to "no_such_intent", which is no intent`},
		{"a label twice", "set:\n  a: balance\n  a: balance\n", "x.yaml:3"},
		{"no mapping", "- balance\n", "x.yaml:1"},
		{"nothing", "{}\n", "names no data set"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := c.equivalents("x.yaml", []byte(test.file))
			require.ErrorContains(t, err, test.message)
		})
	}
}
