// Package fakeserver is the part that the fake model providers share: a script of what to do with
// the next calls, a log of the calls seen, and the faults that need no wire format (a hang, a reset
// connection, a raw body). openaiserver and geminiserver put their wire formats on top.
//
// Tokens are words here: a provider's usage and its max tokens count the words of the texts.
package fakeserver

import (
	"time"
)

// Behaviour says what a provider does with a call. The zero value answers with DefaultText.
type Behaviour struct {
	// Text is the reply; Reply, when set, makes it from the request instead.
	Text  string
	Reply func(Request) string
	// Choice is the value that a reply bound to an enumeration takes. Empty, or none of them, is the first one. Text
	// and Reply pay no heed to what binds the reply.
	Choice string
	// Served is the model that the reply names. Empty names the model that was asked for.
	Served string
	// LogProb is the log-probability that the reply gives for each of its tokens, 0 or less. nil
	// leaves log-probabilities out.
	LogProb *float64
	// ThinkingTokens are reported beside the reply's own, where the wire format has them.
	ThinkingTokens int
	// Latency passes before the first byte of any reply.
	Latency time.Duration

	// Filtered ends the reply as the provider's content filter does: Text is what it let through
	// and may be empty.
	Filtered bool
	// Blocked refuses the prompt as the provider's content filter does.
	Blocked bool
	// Empty sends a well-formed reply with no text; NoChoice one with no reply in it at all.
	Empty    bool
	NoChoice bool

	// Failure sends an error in the provider's own words and status.
	Failure Failure
	// Detail is added to the words of Failure, as a provider repeats parts of the request.
	Detail string
	// RetryAfter goes out with Failure the way the provider sends it; RetryAfterDate sends the
	// Retry-After header as a date.
	RetryAfter     time.Duration
	RetryAfterDate bool

	// Raw is sent as it stands instead of anything above.
	Raw *Raw
	// Hang reads the request and never answers; it ends when the client goes away.
	Hang bool
	// Reset reads the request and resets the TCP connection.
	Reset bool

	// Pause passes between the pieces of a streamed reply. After Pieces of them it goes wrong in the way of Break.
	Pause  time.Duration
	Pieces int
	Break  Break

	// Times is how many calls the faults (Filtered, Blocked, Empty, NoChoice, Failure, Raw, Hang, Reset, Break)
	// hold for; the calls after them get the plain reply. 0 holds for every call.
	Times int
}

// Raw is an HTTP response, byte for byte.
type Raw struct {
	Status      int // 0 is 200
	ContentType string
	Header      map[string]string
	Body        string
}

// Failure names an error that providers send.
type Failure string

// The failures a provider can be told to send.
const (
	InvalidRequest    Failure = "invalid_request"
	ContextTooLong    Failure = "context_too_long"
	Unauthorized      Failure = "unauthorized"
	Forbidden         Failure = "forbidden"
	ModelNotFound     Failure = "model_not_found"
	RateLimited       Failure = "rate_limited"
	InsufficientQuota Failure = "insufficient_quota"
	ServerError       Failure = "server_error"
	Unavailable       Failure = "unavailable"
	GatewayTimeout    Failure = "gateway_timeout"
)

// DefaultText is the reply of a provider that was told nothing.
const DefaultText = "A savings account is a deposit account that earns interest."

// afterFaults is the behaviour once the scripted faults are used up.
func (b Behaviour) afterFaults() Behaviour {
	b.Filtered, b.Blocked, b.Empty, b.NoChoice = false, false, false, false
	b.Failure, b.Raw, b.Hang, b.Reset, b.Break = "", nil, false, false, ""
	return b
}
