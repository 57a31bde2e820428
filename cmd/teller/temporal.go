package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	operatorservice "go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/log"

	"teller/config"
	"teller/telemetry"
)

// dial makes a client of the Temporal server that the environment names (TEMPORAL_ADDRESS,
// TEMPORAL_NAMESPACE, TLS, API key; a profile file), or of the embedded one. It does not connect: the
// server may come later.
func dial(cfg config.Config, logger *slog.Logger) (client.Client, string, error) {
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return nil, "", fmt.Errorf("TEMPORAL_*: %w", err)
	}
	if options.HostPort == "" {
		options.HostPort = cfg.TemporalAddr
	}
	if options.Namespace == "" {
		options.Namespace = client.DefaultNamespace
	}
	// A turn is some ten calls of a kilobyte or two: packing them costs both sides more time than it
	// saves the network.
	options.ConnectionOptions.GrpcCompression = &client.GrpcCompressionNone{}
	options.Logger = log.NewStructuredLogger(telemetry.ForTemporal(logger))
	c, err := client.NewLazyClient(options)
	if err != nil {
		return nil, "", fmt.Errorf("TEMPORAL_ADDRESS %s: %w", options.HostPort, err)
	}
	return c, options.Namespace, nil
}

// awaitTemporal returns when the server answers and knows our search attributes.
func awaitTemporal(ctx context.Context, c client.Client, namespace string, logger *slog.Logger) error {
	for try := 0; ; try++ {
		err := reach(ctx, c, namespace)
		if err == nil {
			return nil
		}
		var final *attributesError
		if errors.As(err, &final) {
			return err
		}
		if try == 1 {
			logger.Warn("waiting for Temporal", "error", err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(300 * time.Millisecond):
		}
	}
}

func reach(ctx context.Context, c client.Client, namespace string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	if _, err := c.CheckHealth(ctx, &client.CheckHealthRequest{}); err != nil {
		return err
	}
	return ensureSearchAttributes(ctx, c, namespace)
}

// searchAttributes are what the workflows set. One that the server does not know would stop every turn.
var searchAttributes = map[string]enumspb.IndexedValueType{
	"TellerModel":        enumspb.INDEXED_VALUE_TYPE_KEYWORD,
	"TellerConversation": enumspb.INDEXED_VALUE_TYPE_KEYWORD,
	"TellerTenant":       enumspb.INDEXED_VALUE_TYPE_KEYWORD,
	"TellerOutcome":      enumspb.INDEXED_VALUE_TYPE_KEYWORD,
	"TellerLatencyMs":    enumspb.INDEXED_VALUE_TYPE_INT,
}

// attributesError says that an operator has to register the search attributes.
type attributesError struct{ cause error }

func (e *attributesError) Error() string {
	return fmt.Sprintf("the namespace lacks Teller's search attributes and they could not be added (%v); deploy/README.md has the commands", e.cause)
}

func ensureSearchAttributes(ctx context.Context, c client.Client, namespace string) error {
	known, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		var denied *serviceerror.PermissionDenied
		var unknown *serviceerror.Unimplemented
		if errors.As(err, &denied) || errors.As(err, &unknown) {
			return nil // a cluster that lets nobody look has been set up by its operators
		}
		return err
	}
	missing := map[string]enumspb.IndexedValueType{}
	for name, kind := range searchAttributes {
		if _, ok := known.GetCustomAttributes()[name]; !ok {
			missing[name] = kind
		}
	}
	if len(missing) == 0 {
		return nil
	}
	_, err = c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{Namespace: namespace, SearchAttributes: missing})
	var exists *serviceerror.AlreadyExists
	var unavailable *serviceerror.Unavailable
	switch {
	case err == nil, errors.As(err, &exists): // another process may have been quicker
		return nil
	case errors.As(err, &unavailable), ctx.Err() != nil:
		return err
	default:
		return &attributesError{err}
	}
}
