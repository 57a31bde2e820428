package openai

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"teller/internal/strictjson"
	"teller/llm"
)

// message is a message of a request. A reply's message can be sent back as it came.
type message struct {
	Role         string          `json:"role"`
	Content      json.RawMessage `json:"content"`
	Refusal      json.RawMessage `json:"refusal"`
	Annotations  json.RawMessage `json:"annotations"`
	Name         json.RawMessage `json:"name"`
	Audio        json.RawMessage `json:"audio"`
	ToolCalls    json.RawMessage `json:"tool_calls"`
	ToolCallID   json.RawMessage `json:"tool_call_id"`
	FunctionCall json.RawMessage `json:"function_call"`
}

// messages reads a dialogue. System and developer messages stand before all others and become one: chat templates and
// Gemini know one place for them, the beginning.
func messages(list []json.RawMessage, maxBytes int) ([]llm.Message, *Error) {
	switch {
	case len(list) == 0:
		return nil, &Error{"messages", "messages is required and must hold at least one message"}
	case len(list) > MaxMessages:
		return nil, &Error{"messages", fmt.Sprintf("messages are %d and must be at most %d", len(list), MaxMessages)}
	}
	all := make([]llm.Message, 0, len(list))
	var system []string
	for i, text := range list {
		at := fmt.Sprintf("messages[%d]", i)
		m, wrong := readMessage(text, at, maxBytes)
		switch {
		case wrong != nil:
			return nil, wrong
		case m.Role != llm.System:
			all = append(all, m)
		case len(all) > 0:
			return nil, &Error{at + ".role", at + " has the role of a system message and stands behind another message: all of them must stand at the beginning"}
		default:
			system = append(system, m.Text)
		}
	}
	last := fmt.Sprintf("messages[%d]", len(list)-1)
	switch {
	case len(all) == 0 || all[len(all)-1].Role != llm.User:
		return nil, &Error{last + ".role", last + " must have the role user: it is the message to answer"}
	case strings.TrimSpace(all[len(all)-1].Text) == "":
		return nil, &Error{last + ".content", last + ".content must hold more than white space"}
	}
	if len(system) > 0 {
		all = append([]llm.Message{{Role: llm.System, Text: strings.Join(system, "\n\n")}}, all...)
	}
	encoded, err := json.Marshal(all)
	if err != nil {
		panic(err) // strings that came from JSON
	}
	if len(encoded) > MaxDialogueBytes {
		return nil, &Error{"messages", fmt.Sprintf("messages are %d bytes of JSON and must be at most %d: leave the oldest out", len(encoded), MaxDialogueBytes)}
	}
	return all, nil
}

func readMessage(text json.RawMessage, at string, maxBytes int) (out llm.Message, wrong *Error) {
	var m message
	if wrong := strictjson.Object(text, &m, at); wrong != nil {
		return out, &Error{wrong.Field, wrong.Message}
	}
	switch m.Role {
	case "system", "developer":
		out.Role = llm.System
	case "user":
		out.Role = llm.User
	case "assistant":
		out.Role = llm.Assistant
	case "tool", "function":
		return out, &Error{at + ".role", fmt.Sprintf("%s.role is %q: tools are not supported", at, m.Role)}
	default:
		return out, &Error{at + ".role", fmt.Sprintf("%s.role is %q and must be system, developer, user or assistant", at, strictjson.Shortened(m.Role))}
	}
	for _, p := range []struct {
		name    string
		value   json.RawMessage
		neutral string
	}{
		{"refusal", m.Refusal, ""}, {"annotations", m.Annotations, "[]"}, {"name", m.Name, ""}, {"audio", m.Audio, ""},
		{"tool_calls", m.ToolCalls, "[]"}, {"tool_call_id", m.ToolCallID, ""}, {"function_call", m.FunctionCall, ""},
	} {
		if strictjson.Given(p.value) && compact(p.value) != p.neutral {
			return out, &Error{at + "." + p.name, fmt.Sprintf("%s.%s is not supported: leave it out", at, p.name)}
		}
	}
	if out.Text, wrong = content(m.Content, at+".content"); wrong != nil {
		return out, wrong
	}
	switch {
	case out.Text == "":
		return out, &Error{at + ".content", at + ".content is empty"}
	case len(out.Text) > maxBytes:
		return out, &Error{at + ".content", fmt.Sprintf("%s.content is %d bytes long and must be at most %d", at, len(out.Text), maxBytes)}
	case strings.ContainsRune(out.Text, 0):
		return out, &Error{at + ".content", at + ".content must not hold a NUL character"}
	}
	return out, nil
}

// content reads a text, or parts that are texts, which follow one another with nothing between them.
func content(text json.RawMessage, at string) (string, *Error) {
	if !strictjson.Given(text) {
		return "", &Error{at, at + " is required"}
	}
	var whole string
	if json.Unmarshal(text, &whole) == nil {
		return whole, nil
	}
	var parts []json.RawMessage
	if json.Unmarshal(text, &parts) != nil {
		return "", &Error{at, at + " must be a string or a list of text parts"}
	}
	var all strings.Builder
	for i, part := range parts {
		where := fmt.Sprintf("%s[%d]", at, i)
		// The type first: a part of another type has members of its own.
		var kind struct {
			Type string `json:"type"`
		}
		if json.Unmarshal(part, &kind) == nil && kind.Type != "text" && kind.Type != "" {
			return "", &Error{where + ".type", fmt.Sprintf("%s.type is %q: only text is supported", where, strictjson.Shortened(kind.Type))}
		}
		var p struct {
			Type string  `json:"type"`
			Text *string `json:"text"`
		}
		if wrong := strictjson.Object(part, &p, where); wrong != nil {
			return "", &Error{wrong.Field, wrong.Message}
		}
		switch {
		case p.Type == "":
			return "", &Error{where + ".type", where + ".type is required"}
		case p.Text == nil:
			return "", &Error{where + ".text", where + ".text is required"}
		}
		all.WriteString(*p.Text)
	}
	return all.String(), nil
}

// compact is a JSON text without white space.
func compact(text json.RawMessage) string {
	var out bytes.Buffer
	if err := json.Compact(&out, text); err != nil {
		return string(text)
	}
	return out.String()
}
