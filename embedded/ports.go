package main

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"syscall"
)

// internalPorts are the loopback ports on which the server's own parts talk to one another.
type internalPorts struct{ history, matching, worker int }

// claimPorts makes sure that both public addresses are free and picks the internal ports. All of them are held at the
// same time, so no two can be equal, and let go before it returns, because the server opens its listeners itself.
func claimPorts(s settings) (internalPorts, error) {
	var held []net.Listener
	defer func() {
		for _, l := range held {
			_ = l.Close()
		}
	}()
	for _, a := range []address{s.temporal, s.ui} {
		l, err := net.Listen("tcp", a.listen())
		if err != nil {
			return internalPorts{}, cannotListen(a, err)
		}
		held = append(held, l)
	}
	var ports internalPorts
	for _, port := range []*int{&ports.history, &ports.matching, &ports.worker} {
		l, err := listenInside()
		if err != nil {
			return internalPorts{}, fmt.Errorf("no free port on 127.0.0.1 for the server's internal use: %w", err)
		}
		held = append(held, l)
		*port = l.Addr().(*net.TCPAddr).Port
	}
	return ports, nil
}

// listenInside takes a free port below those that systems give to outgoing connections (from 32768 on Linux): one of
// theirs could be in use again by the time the server opens it.
func listenInside() (l net.Listener, err error) {
	for range 100 {
		if l, err = net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", 20000+rand.IntN(12000))); err == nil {
			return l, nil
		}
	}
	return nil, err
}

func cannotListen(a address, err error) error {
	why := err.Error()
	var number syscall.Errno
	if errors.As(err, &number) {
		why = number.Error()
	}
	other := a
	other.port = a.port%65535 + 1
	return fmt.Errorf("%s: cannot listen on %s (%s); choose another address, such as %s=%s",
		a.variable, a.listen(), why, a.variable, other.listen())
}
