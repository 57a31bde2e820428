package main

import (
	_ "embed"
	"errors"
	"fmt"

	"go.temporal.io/server/common/dynamicconfig"
)

// dynamicConfigYAML equals deploy/temporal/dynamicconfig.yaml. It is a copy because a Go module cannot embed a file
// that lies outside of it.
//
//go:embed dynamicconfig.yaml
var dynamicConfigYAML []byte

// onOneMachine is what only the development server sets: it shares its machine with everything else. The server's own
// limit for the workflows that it caches is a number of them (128000), however large each is.
var onOneMachine = map[dynamicconfig.Key]any{
	dynamicconfig.HistoryCacheSizeBasedLimit.Key():        true,
	dynamicconfig.HistoryCacheHostLevelMaxSizeBytes.Key(): 32 << 20,
}

// fixedConfig serves settings that never change while the server runs.
type fixedConfig dynamicconfig.ConfigValueMap

func (c fixedConfig) GetValue(key dynamicconfig.Key) []dynamicconfig.ConstrainedValue { return c[key] }

// loadDynamicConfig refuses names that this server version does not know, where the server would only warn.
func loadDynamicConfig(contents []byte) (dynamicconfig.Client, error) {
	loaded := dynamicconfig.LoadYamlFile(contents)
	if err := errors.Join(append(loaded.Errors, loaded.Warnings...)...); err != nil {
		return nil, fmt.Errorf("dynamic configuration: %w", err)
	}
	values := loaded.Map
	for setting, value := range onOneMachine {
		values[setting] = []dynamicconfig.ConstrainedValue{{Value: value}}
	}
	return fixedConfig(values), nil
}
