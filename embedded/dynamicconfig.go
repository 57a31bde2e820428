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

// fixedConfig serves settings that never change while the server runs.
type fixedConfig dynamicconfig.ConfigValueMap

func (c fixedConfig) GetValue(key dynamicconfig.Key) []dynamicconfig.ConstrainedValue { return c[key] }

// loadDynamicConfig refuses names that this server version does not know, where the server would only warn.
func loadDynamicConfig(contents []byte) (dynamicconfig.Client, error) {
	loaded := dynamicconfig.LoadYamlFile(contents)
	if err := errors.Join(append(loaded.Errors, loaded.Warnings...)...); err != nil {
		return nil, fmt.Errorf("dynamic configuration: %w", err)
	}
	return fixedConfig(loaded.Map), nil
}
