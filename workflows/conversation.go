package workflows

import (
	"cmp"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"teller/activities"
	"teller/llm"
)

// The names under which a running Conversation is reached.
const (
	UpdateTurn       = "turn"        // TurnInput -> Answer: one more message
	QueryTranscript  = "transcript"  // -> Transcript
	SignalCancelTurn = "cancel-turn" // string: the id of a turn whose caller has gone
)

// RollingOver is the type of the error that an update gets while the conversation moves to a new
// run. The same update, sent again a moment later, is taken by that run.
const RollingOver = "rolling_over"

const (
	maxTranscriptBytes = 1 << 20  // what is kept: a run's input must stay inside Temporal's 2 MiB payload
	maxHistoryBytes    = 64 << 10 // what is sent to a model of an unknown window; the adapter cuts further, to a known one
	maxWaiting         = 8        // turns in flight; Temporal's own limit of updates is 10
	maxTurnsPerRun     = 500      // Temporal allows 2,000 updates in a run
)

// ConversationInput starts a conversation, or carries it over to a new run.
type ConversationInput struct {
	// Idle is how long the conversation waits for another turn before it ends.
	Idle time.Duration `json:"idle"`
	// Carried is the transcript of the runs before this one.
	Carried Transcript `json:"carried"`
}

// Transcript is what was said, oldest first.
type Transcript struct {
	Turns []TranscriptTurn `json:"turns"`
	// Dropped counts the oldest turns, which no longer fit.
	Dropped int `json:"dropped,omitempty"`
}

// TranscriptTurn is one answered turn.
type TranscriptTurn struct {
	At      time.Time `json:"at"`
	Message string    `json:"message"`
	Answer  Answer    `json:"answer"`
}

func (t TranscriptTurn) bytes() int { return len(t.Message) + len(t.Answer.Completion.Text) + 512 }

// Conversation is a conversation: it takes one turn after the other, keeps what was said, moves to a
// new run before its history grows large, and ends after an idle time.
func Conversation(ctx workflow.Context, in ConversationInput) error {
	c := &conversation{
		transcript: in.Carried,
		turn:       workflow.NewMutex(ctx),
		running:    map[string]workflow.CancelFunc{},
		lastTurn:   workflow.Now(ctx),
	}
	if err := workflow.SetQueryHandler(ctx, QueryTranscript, func() (Transcript, error) { return c.transcript, nil }); err != nil {
		return err
	}
	err := workflow.SetUpdateHandlerWithOptions(ctx, UpdateTurn, c.take, workflow.UpdateHandlerOptions{Validator: c.validate})
	if err != nil {
		return err
	}
	workflow.Go(ctx, c.hearCancellations)
	for {
		idle := workflow.NewTimer(ctx, c.lastTurn.Add(in.Idle).Sub(workflow.Now(ctx)))
		if err := workflow.Await(ctx, func() bool { return c.waiting == 0 && (c.rollingOver || idle.IsReady()) }); err != nil {
			return err
		}
		if c.rollingOver {
			// Update results reach their callers only once the handlers have returned.
			if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
				return err
			}
			return workflow.NewContinueAsNewError(ctx, Conversation, ConversationInput{Idle: in.Idle, Carried: c.transcript})
		}
		if workflow.Now(ctx).Sub(c.lastTurn) >= in.Idle {
			return nil
		}
	}
}

type conversation struct {
	transcript  Transcript
	turn        workflow.Mutex // held while a model is asked: turns are answered in the order of their arrival
	running     map[string]workflow.CancelFunc
	waiting     int // turns in flight
	taken       int // turns of this run
	rollingOver bool
	lastTurn    time.Time
	labels      labels // of the last turn of this run
}

func (c *conversation) validate(ctx workflow.Context, in TurnInput) error {
	switch {
	case c.rollingOver:
		return temporal.NewApplicationError("the conversation is moving to a new run", RollingOver)
	case c.waiting >= maxWaiting:
		return activities.Failure(&llm.Error{Code: llm.Overloaded, RetryAfter: time.Second,
			Message: "too many turns of this conversation are waiting"}, true)
	case len(in.Route) == 0 || len(in.Messages) == 0:
		return activities.Failure(&llm.Error{Code: llm.InvalidRequest, Message: "the turn names no model or holds no message"}, true)
	}
	return nil
}

// take answers one turn. A turn that was answered already, in this run or an earlier one, gets the
// same answer again.
func (c *conversation) take(ctx workflow.Context, in TurnInput) (Answer, error) {
	arrived := workflow.Now(ctx)
	c.waiting++
	defer func() { c.waiting-- }()
	ctx, cancel := workflow.WithCancel(ctx)
	c.running[in.ID] = cancel
	defer delete(c.running, in.ID)
	if err := c.turn.Lock(ctx); err != nil {
		return Answer{}, activities.Failure(activities.FromTemporal(err), true)
	}
	defer c.turn.Unlock()

	if before, ok := c.find(in.ID); ok {
		return before, nil
	}
	in.Timeout -= workflow.Now(ctx).Sub(arrived)
	a, err := answer(ctx, in, c.history, &c.labels)
	c.lastTurn = workflow.Now(ctx)
	c.taken++
	if err == nil {
		c.commit(TranscriptTurn{At: c.lastTurn, Message: in.message(), Answer: a})
	}
	c.rollingOver = c.rollingOver || c.taken >= maxTurnsPerRun || workflow.GetInfo(ctx).GetContinueAsNewSuggested()
	return a, err
}

// commit appends the turn and drops the oldest ones that no longer fit.
func (c *conversation) commit(t TranscriptTurn) {
	c.transcript.Turns = append(c.transcript.Turns, t)
	size := 0
	for i := len(c.transcript.Turns) - 1; i >= 0; i-- {
		size += c.transcript.Turns[i].bytes()
		if size > maxTranscriptBytes {
			c.transcript.Dropped += i + 1
			c.transcript.Turns = append([]TranscriptTurn(nil), c.transcript.Turns[i+1:]...)
			return
		}
	}
}

// history is what a model is told of the conversation: its last turns.
func (c *conversation) history(target Target) (messages []llm.Message, omitted int) {
	bound := cmp.Or(target.HistoryBytes, maxHistoryBytes)
	first, size := len(c.transcript.Turns), 0
	for first > 0 {
		size += c.transcript.Turns[first-1].bytes()
		if size > bound {
			break
		}
		first--
	}
	for _, t := range c.transcript.Turns[first:] {
		messages = append(messages,
			llm.Message{Role: llm.User, Text: t.Message},
			llm.Message{Role: llm.Assistant, Text: t.Answer.Completion.Text})
	}
	const each = 2 // a turn is a question and its reply
	return messages, each * (c.transcript.Dropped + first)
}

func (c *conversation) find(turnID string) (Answer, bool) {
	for _, t := range c.transcript.Turns {
		if t.Answer.TurnID == turnID {
			return t.Answer, true
		}
	}
	return Answer{}, false
}

// hearCancellations ends the turns whose callers have gone.
func (c *conversation) hearCancellations(ctx workflow.Context) {
	gone := workflow.GetSignalChannel(ctx, SignalCancelTurn)
	for {
		var turnID string
		gone.Receive(ctx, &turnID)
		if cancel, ok := c.running[turnID]; ok {
			cancel()
		}
	}
}
