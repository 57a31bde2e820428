package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

// Production and development run with the same settings.
func TestDynamicConfigIsTheOneThatIsDeployed(t *testing.T) {
	deployed, err := os.ReadFile("../deploy/temporal/dynamicconfig.yaml")
	require.NoError(t, err)
	require.Equal(t, string(deployed), string(dynamicConfigYAML),
		"the copies differ: cp deploy/temporal/dynamicconfig.yaml embedded/ or the other way round")
}

// A setting that a new server version renames must not be lost without a word.
func TestLoadDynamicConfig(t *testing.T) {
	_, err := loadDynamicConfig(dynamicConfigYAML)
	require.NoError(t, err)
	_, err = loadDynamicConfig([]byte("history.noSuchSetting:\n  - value: 1\n"))
	require.ErrorContains(t, err, "nosuchsetting")
	_, err = loadDynamicConfig([]byte("history.longPollExpirationInterval:\n  - value: soon\n"))
	require.Error(t, err)
}
