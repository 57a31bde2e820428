package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	uiserver "github.com/temporalio/ui-server/v2/server"
	uiconfig "github.com/temporalio/ui-server/v2/server/config"
	"github.com/temporalio/ui-server/v2/server/server_options"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	sdklog "go.temporal.io/sdk/log"
	"go.temporal.io/server/common/cluster"
	"go.temporal.io/server/common/config"
	"go.temporal.io/server/common/membership/static"
	"go.temporal.io/server/common/persistence/sql/sqlplugin/sqlite"
	"go.temporal.io/server/common/primitives"
	"go.temporal.io/server/temporal"
)

// historyShards is how many parts the workflows are split into. A shard runs its workflows' writes one after the other,
// as SQLite does for the whole file, so more of them gain nothing here, and each has queues of its own that are polled
// when idle. Measured with 1, 2, 4 and 16: 16 is slower throughout, 2 is level with or ahead of 4. A file keeps the
// number it was made with.
const historyShards = 2

// server is the Temporal server and its Web UI.
type server struct {
	temporal temporal.Server
	ui       *uiserver.Server
	stopping *atomic.Bool
}

// startServer starts both and returns when both are usable, or when ctx ends.
func startServer(ctx context.Context, s settings, log *slog.Logger) (*server, error) {
	ports, err := claimPorts(s)
	if err != nil {
		return nil, err
	}
	dynamicConfig, err := loadDynamicConfig(dynamicConfigYAML)
	if err != nil {
		return nil, err
	}
	database, err := prepareDatabase(ctx, s)
	if err != nil {
		return nil, err
	}
	stopping := new(atomic.Bool)
	local := func(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
	temporalServer, err := temporal.NewServer(
		temporal.WithConfig(serverConfig(s, database, ports)),
		temporal.ForServices(temporal.DefaultServices),
		temporal.WithStaticHosts(map[primitives.ServiceName]static.Hosts{
			primitives.FrontendService: static.SingleLocalHost(s.temporal.dial()),
			primitives.HistoryService:  static.SingleLocalHost(local(ports.history)),
			primitives.MatchingService: static.SingleLocalHost(local(ports.matching)),
			primitives.WorkerService:   static.SingleLocalHost(local(ports.worker)),
		}),
		temporal.WithDynamicConfigClient(dynamicConfig),
		temporal.WithLogger(quietWhenStopping{log, stopping}),
	)
	if err != nil {
		return nil, fmt.Errorf("temporal server: %w", err)
	}
	if err := temporalServer.Start(); err != nil {
		return nil, fmt.Errorf("temporal server: %w", err)
	}
	running := &server{temporal: temporalServer, ui: newUI(s), stopping: stopping}
	go func() { _ = running.ui.Start() }() // returns when stopped; when it cannot listen it ends the process with the reason
	if err := waitUntilUsable(ctx, s); err != nil {
		_ = running.stop()
		return nil, err
	}
	return running, nil
}

// stop lets running requests end for a second or two. What is in the database stays there.
func (r *server) stop() error {
	r.stopping.Store(true)
	r.ui.Stop()
	return r.temporal.Stop()
}

func serverConfig(s settings, database *config.SQL, ports internalPorts) *config.Config {
	internal := func(port int) config.Service {
		return config.Service{RPC: config.RPC{GRPCPort: port, BindOnIP: "127.0.0.1"}}
	}
	return &config.Config{
		Persistence: config.Persistence{
			DefaultStore:     sqlite.PluginName,
			VisibilityStore:  sqlite.PluginName,
			NumHistoryShards: historyShards,
			DataStores:       map[string]config.DataStore{sqlite.PluginName: {SQL: database}},
		},
		ClusterMetadata: &cluster.Config{
			FailoverVersionIncrement: 10,
			MasterClusterName:        clusterName,
			CurrentClusterName:       clusterName,
			ClusterInformation: map[string]cluster.ClusterInformation{
				clusterName: {Enabled: true, InitialFailoverVersion: 1, RPCAddress: s.temporal.dial()},
			},
		},
		DCRedirectionPolicy: config.DCRedirectionPolicy{Policy: "noop"},
		Services: map[string]config.Service{
			string(primitives.FrontendService): {RPC: config.RPC{GRPCPort: s.temporal.port, BindOnIP: s.temporal.ip.String()}},
			string(primitives.HistoryService):  internal(ports.history),
			string(primitives.MatchingService): internal(ports.matching),
			string(primitives.WorkerService):   internal(ports.worker),
		},
		Archival: config.Archival{
			History:    config.HistoryArchival{State: "disabled"},
			Visibility: config.VisibilityArchival{State: "disabled"},
		},
		NamespaceDefaults: config.NamespaceDefaults{Archival: config.ArchivalNamespaceDefaults{
			History:    config.HistoryArchivalNamespaceDefaults{State: "disabled"},
			Visibility: config.VisibilityArchivalNamespaceDefaults{State: "disabled"},
		}},
		PublicClient: config.PublicClient{HostPort: s.temporal.dial()},
	}
}

func newUI(s settings) *uiserver.Server {
	host := s.ui.host
	if strings.Contains(host, ":") {
		host = "[" + host + "]" // the UI joins host and port by hand
	}
	return uiserver.NewServer(server_options.WithConfigProvider(&uiconfig.Config{
		TemporalGRPCAddress: s.temporal.dial(),
		Host:                host,
		Port:                s.ui.port,
		EnableUI:            true,
		DefaultNamespace:    s.namespace,
		CORS:                uiconfig.CORS{CookieInsecure: true}, // plain HTTP
		DisableNewsFetch:    true,
		HideLogs:            true,
	}))
}

// uiURL is where a browser on this machine finds the Web UI.
func uiURL(s settings) string { return "http://" + s.ui.dial() }

// waitUntilUsable returns when the server answers, the namespace is there with all search attributes, and so is the UI.
func waitUntilUsable(ctx context.Context, s settings) error {
	c, err := client.NewLazyClient(client.Options{
		HostPort: s.temporal.dial(), Namespace: s.namespace,
		Logger: sdklog.NewStructuredLogger(slog.New(slog.DiscardHandler)),
	})
	if err != nil {
		return fmt.Errorf("temporal client: %w", err)
	}
	defer c.Close()
	conditions := make([]string, len(searchAttributes))
	for i, attribute := range searchAttributes {
		conditions[i] = attribute.name + " IS NULL"
	}
	checks := []struct {
		what  string
		check func(context.Context) error
	}{
		{"the frontend's health", func(ctx context.Context) error {
			_, err := c.CheckHealth(ctx, &client.CheckHealthRequest{})
			return err
		}},
		{"the namespace and its search attributes", func(ctx context.Context) error {
			_, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: strings.Join(conditions, " AND ")})
			return err
		}},
		{"the Web UI", func(ctx context.Context) error { return getOK(ctx, uiURL(s)) }},
	}
	for _, c := range checks {
		if err := retry(ctx, c.check); err != nil {
			return fmt.Errorf("not ready: %s: %w", c.what, err)
		}
	}
	return nil
}

func getOK(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	_, _ = io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, resp.Status)
	}
	return nil
}

// retry calls check until it succeeds. When ctx ends it returns check's last error, which says more than ctx's.
func retry(ctx context.Context, check func(context.Context) error) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-tick.C:
		}
	}
}
