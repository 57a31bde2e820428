package transformer

import (
	"errors"
	"fmt"
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
	if len(msgs) == 0 {
		return nil, errors.New("a dialogue needs at least one message")
	}
	markers, err := t.dialogueMarkers()
	if err != nil {
		return nil, err
	}
	ids := []int{markers.begin}
	for i, m := range msgs {
		marker, ok := markers.role[m.Role]
		if !ok {
			return nil, fmt.Errorf("message %d has the unknown role %q", i, m.Role)
		}
		ids = append(ids, marker)
		ids = t.appendText(ids, m.Text)
		ids = append(ids, markers.end)
	}
	if msgs[len(msgs)-1].Role != RoleAssistant {
		ids = append(ids, markers.role[RoleAssistant])
	}
	return ids, nil
}

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
