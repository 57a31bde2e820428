package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// minRetention is the server's own lower limit for a local namespace.
const minRetention = time.Hour

// settings is everything a user can choose. All of it comes from the environment.
type settings struct {
	temporal    address
	ui          address
	dataDir     string
	namespace   string
	retention   time.Duration // how long a closed workflow stays visible
	synchronous string        // SQLite's synchronous pragma
	logLevel    slog.Level
}

// databasePath is the one file that holds all workflows.
func (s settings) databasePath() string { return filepath.Join(s.dataDir, "temporal.db") }

// readSettings reads the environment through lookup. An error names the variable at fault.
func readSettings(lookup func(string) string) (settings, error) {
	get := func(name, fallback string) string {
		if value := lookup(name); value != "" {
			return value
		}
		return fallback
	}
	s := settings{
		dataDir:   get("TELLER_DATA_DIR", ".teller"),
		namespace: get("TELLER_TEMPORAL_NAMESPACE", "default"),
	}
	var err error
	if s.temporal, err = parseAddress("TELLER_TEMPORAL_ADDR", get("TELLER_TEMPORAL_ADDR", "127.0.0.1:7233")); err != nil {
		return settings{}, err
	}
	if s.ui, err = parseAddress("TELLER_UI_ADDR", get("TELLER_UI_ADDR", "127.0.0.1:8233")); err != nil {
		return settings{}, err
	}
	if s.namespace == "temporal-system" {
		return settings{}, errors.New("TELLER_TEMPORAL_NAMESPACE: temporal-system belongs to the server itself; choose another name")
	}
	retention := get("TELLER_TEMPORAL_RETENTION", "168h")
	if s.retention, err = time.ParseDuration(retention); err != nil || s.retention < minRetention {
		return settings{}, fmt.Errorf("TELLER_TEMPORAL_RETENTION: %q is not a duration of at least 1h, such as 168h (7 days)", retention)
	}
	s.synchronous = strings.ToLower(get("TELLER_TEMPORAL_SYNCHRONOUS", "normal"))
	switch s.synchronous {
	case "off", "normal", "full":
	default:
		return settings{}, fmt.Errorf("TELLER_TEMPORAL_SYNCHRONOUS: %q is not one of off, normal, full", s.synchronous)
	}
	level := get("TELLER_LOG_LEVEL", "warn")
	if err = s.logLevel.UnmarshalText([]byte(level)); err != nil {
		return settings{}, fmt.Errorf("TELLER_LOG_LEVEL: %q is not one of debug, info, warn, error", level)
	}
	return s, nil
}

// address is a place to listen on. It remembers its variable, so that whatever goes wrong with it can name it.
type address struct {
	variable string
	host     string     // as the user wrote it
	ip       netip.Addr // what host resolves to
	port     int
}

// listen is host:port as the user wrote it.
func (a address) listen() string { return net.JoinHostPort(a.host, strconv.Itoa(a.port)) }

// dial is where a process on this machine reaches the address: loopback when it listens on every interface.
func (a address) dial() string {
	ip := a.ip
	switch ip {
	case netip.IPv4Unspecified():
		ip = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case netip.IPv6Unspecified():
		ip = netip.IPv6Loopback()
	}
	return net.JoinHostPort(ip.String(), strconv.Itoa(a.port))
}

func parseAddress(variable, value string) (address, error) {
	wrong := func(why string) (address, error) {
		return address{}, fmt.Errorf("%s: %q %s; give host:port, such as %s=127.0.0.1:7233", variable, value, why, variable)
	}
	host, portText, err := net.SplitHostPort(value)
	if err != nil {
		return wrong("is not an address")
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil || port == 0 {
		return wrong("has no port between 1 and 65535")
	}
	if host == "" {
		return wrong("has no host (0.0.0.0 means every interface)")
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		resolved, err := net.ResolveIPAddr("ip", host)
		if err != nil {
			return wrong("has a host that does not resolve")
		}
		ip, _ = netip.AddrFromSlice(resolved.IP)
		ip = ip.Unmap()
	}
	return address{variable: variable, host: host, ip: ip, port: int(port)}, nil
}
