package transformer

import (
	"errors"
	"fmt"
	"slices"
)

// The roles of a dialogue's messages.
const (
	RoleSystem    = "system"
	RoleUser      = "user"
	RoleAssistant = "assistant"
)

// Message is one message of a dialogue.
type Message struct {
	Role string // RoleSystem, RoleUser or RoleAssistant
	Text string // always data: a special token spelled out in it stays text
}

// The special tokens of the dialogue layout. Their ids are their places in SpecialTokens.
const (
	PadToken       = "<|pad|>"
	BeginToken     = "<|begin|>"
	EndToken       = "<|end|>" // ends a message; the model's end of sequence
	SystemToken    = "<|system|>"
	UserToken      = "<|user|>"
	AssistantToken = "<|assistant|>"
)

// SpecialTokens gives the special tokens in the order of their ids, 0 upward.
func SpecialTokens() []string {
	return []string{PadToken, BeginToken, EndToken, SystemToken, UserToken, AssistantToken}
}

// EncodeDialogue lays a dialogue out as the weights were trained on it:
//
//	<|begin|> { <|ROLE|> text <|end|> } [ <|assistant|> ]
//
// The last marker stands open when the last message is not the assistant's: the model's reply follows it.
// It refuses an empty dialogue, an unknown role, and a tokenizer that lacks these special tokens.
func (t *Tokenizer) EncodeDialogue(msgs []Message) ([]int, error) {
	l, err := t.layout(msgs)
	if err != nil {
		return nil, err
	}
	ids := []int{l.begin}
	for _, m := range msgs {
		ids = l.appendMessage(ids, m)
	}
	return append(ids, l.closing...), nil
}

// FitDialogue is EncodeDialogue for at most limit tokens: where the whole dialogue is longer, it leaves out
// the oldest messages. What it keeps starts with a user message, after the system message if there is
// one, which always stays. omitted counts the messages that it leaves out. It fails with *WindowError when not even the
// last user message fits, and does not encode texts that cannot.
func (t *Tokenizer) FitDialogue(msgs []Message, limit int) (ids []int, omitted int, err error) {
	l, err := t.layout(msgs)
	if err != nil {
		return nil, 0, err
	}
	head, rest := []int{l.begin}, msgs
	if msgs[0].Role == RoleSystem {
		if need := t.minTokens(msgs[0].Text); need > limit {
			return nil, 0, &WindowError{Tokens: need, Window: limit}
		}
		head, rest = l.appendMessage(head, msgs[0]), msgs[1:]
	}
	length := len(head) + len(l.closing)
	var kept, turn [][]int // newest first; a turn is kept once its user message fits too
	for i := len(rest) - 1; i >= 0; i-- {
		need := t.minTokens(rest[i].Text)
		if length+need <= limit {
			part := l.appendMessage(nil, rest[i])
			turn = append(turn, part)
			need = len(part)
		}
		length += need
		if length > limit {
			break
		}
		if rest[i].Role == RoleUser || i == 0 {
			kept, turn = append(kept, turn...), nil
		}
	}
	if length > limit && len(kept) == 0 {
		return nil, 0, &WindowError{Tokens: length, Window: limit}
	}
	ids = head
	for _, part := range slices.Backward(kept) {
		ids = append(ids, part...)
	}
	return append(ids, l.closing...), len(rest) - len(kept), nil
}

// minTokens is a lower bound of len(Encode(text)), found without encoding.
func (t *Tokenizer) minTokens(text string) int {
	return (len(text) + t.longest - 1) / t.longest
}

// dialogueLayout is the special tokens of one dialogue.
type dialogueLayout struct {
	dialogueMarkers
	tokenizer *Tokenizer
	closing   []int // the open marker for the reply, or nothing
}

// layout checks the roles and finds the special tokens.
func (t *Tokenizer) layout(msgs []Message) (dialogueLayout, error) {
	if len(msgs) == 0 {
		return dialogueLayout{}, errors.New("a dialogue needs at least one message")
	}
	markers, err := t.dialogueMarkers()
	if err != nil {
		return dialogueLayout{}, err
	}
	for i, m := range msgs {
		if _, ok := markers.role[m.Role]; !ok {
			return dialogueLayout{}, fmt.Errorf("message %d has the unknown role %q", i, m.Role)
		}
	}
	l := dialogueLayout{dialogueMarkers: markers, tokenizer: t}
	if msgs[len(msgs)-1].Role != RoleAssistant {
		l.closing = []int{markers.role[RoleAssistant]}
	}
	return l, nil
}

func (l dialogueLayout) appendMessage(ids []int, m Message) []int {
	ids = append(ids, l.role[m.Role])
	ids = l.tokenizer.appendText(ids, m.Text)
	return append(ids, l.end)
}

// dialogueMarkers is the ids of the special tokens of dialogues.
type dialogueMarkers struct {
	begin, end int
	role       map[string]int
}

func (t *Tokenizer) dialogueMarkers() (dialogueMarkers, error) {
	var missing error
	id := func(token string) int {
		id, ok := t.TokenID(token)
		if !ok {
			missing = fmt.Errorf("the tokenizer lacks the special token %s", token)
		}
		return id
	}
	m := dialogueMarkers{
		begin: id(BeginToken),
		end:   id(EndToken),
		role:  map[string]int{RoleSystem: id(SystemToken), RoleUser: id(UserToken), RoleAssistant: id(AssistantToken)},
	}
	return m, missing
}

// Question gives the text of the user's message that ids, a dialogue up to an <|assistant|> marker and without it, end with;
// empty when they end with anything else.
func (t *Tokenizer) Question(ids []int) string {
	markers, err := t.dialogueMarkers()
	if err != nil {
		return ""
	}
	return t.question(markers, ids)
}

func (t *Tokenizer) question(markers dialogueMarkers, ids []int) string {
	last := len(ids) - 1
	if last < 0 || ids[last] != markers.end {
		return ""
	}
	for i := last - 1; i >= 0; i-- {
		switch ids[i] {
		case markers.role[RoleUser]:
			return t.Decode(ids[i+1 : last])
		case markers.end, markers.begin, markers.role[RoleSystem], markers.role[RoleAssistant]:
			return ""
		}
	}
	return ""
}
