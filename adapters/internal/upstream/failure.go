package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"teller/llm"
)

// Failure names why the call got no complete response, or nil when it got one. who is the provider
// as a sentence names it, such as "the vLLM server". sdk is the SDK's error; it counts only where the
// SDK gave up before it sent anything.
func (c *Call) Failure(who string, sdk error) *llm.Error {
	c.mu.Lock()
	done, err := c.done, c.err
	c.mu.Unlock()
	switch {
	case done:
		return nil
	case errors.Is(err, errTooLarge), errors.Is(err, errLongStream):
		return &llm.Error{Code: llm.BadReply, Message: who + " sent a reply that is too large", Cause: err}
	case c.parent.Err() != nil:
		return Ended(c.parent, who)
	case err == nil && sdk != nil:
		// The SDK's own check refused the request, or the SDK could not read its settings. Its error may
		// quote them, the key included.
		return &llm.Error{Code: llm.Internal, Message: "the request to " + who + " could not be made", Cause: fmt.Errorf("%T", sdk)}
	case err == nil:
		return &llm.Error{Code: llm.Internal, Message: "no request to " + who + " was made"}
	case strings.Contains(err.Error(), "malformed HTTP") || strings.Contains(err.Error(), "malformed MIME"):
		// net/http quotes what it got.
		return &llm.Error{Code: llm.BadReply, Message: who + " did not answer with HTTP", Cause: errors.New("malformed HTTP response")}
	case errors.Is(err, errSilent):
		return &llm.Error{Code: llm.Timeout, Message: who + " stopped in the middle of its reply", Cause: err}
	case timedOut(err):
		return &llm.Error{Code: llm.Timeout, Message: who + " did not answer in time", Cause: bare(err)}
	default:
		return &llm.Error{Code: llm.Unavailable, Message: reach(err, who), Cause: bare(err)}
	}
}

// Ended names the end of the caller's context: Canceled or Timeout.
func Ended(ctx context.Context, who string) *llm.Error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return &llm.Error{Code: llm.Timeout, Message: who + " did not answer in time", Cause: ctx.Err()}
	}
	return &llm.Error{Code: llm.Canceled, Message: "the call to " + who + " was canceled", Cause: ctx.Err()}
}

// timedOut tells a wait for a response from a connection that could not be made in time: the latter is
// a server that cannot be reached.
func timedOut(err error) bool {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return false
	}
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		(errors.As(err, &timeout) && timeout.Timeout() && !strings.Contains(err.Error(), "TLS handshake"))
}

// reach says in one sentence what kept the call from the provider, without an address.
func reach(err error, who string) string {
	var (
		dns    *net.DNSError
		op     *net.OpError
		verify *tls.CertificateVerificationError
		record tls.RecordHeaderError
	)
	switch {
	case errors.As(err, &dns):
		return "the address of " + who + " cannot be resolved"
	case errors.As(err, &verify), errors.As(err, &record):
		return who + " cannot be reached: its TLS certificate or protocol was not accepted"
	case errors.As(err, &op) && op.Op == "dial":
		return who + " cannot be reached"
	default:
		return "the connection to " + who + " broke"
	}
}

// bare takes the URL out of err.
func bare(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}
