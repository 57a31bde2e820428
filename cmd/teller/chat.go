package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"

	"github.com/google/uuid"
	"github.com/tmaxmax/go-sse"
	"golang.org/x/term"
)

type chatCmd struct {
	Question     []string `arg:"" optional:"" help:"What to ask. Without it, a conversation begins; '-' reads the question from standard input."`
	Model        string   `short:"m" help:"The one model to ask; without it the route decides." predictor:"model"`
	Conversation string   `short:"c" help:"The conversation to go on with, or to begin. Without it a question stands alone, and an interactive conversation gets an id of its own."`
	Context      string   `help:"What is known about the customer, such as balances: it stands before the question."`
	MaxTokens    int      `help:"The most tokens of a reply."`
	Temperature  *float64 `help:"The sampling temperature, 0 to 2."`
	JSON         bool     `name:"json" help:"Print the API's answer as JSON, one object for each question."`
}

// Help stands below the flags.
func (chatCmd) Help() string {
	return `teller chat "What is a bank?"      one question
teller chat                        a conversation; /help lists its commands
echo ... | teller chat -           a question from a pipe

TELLER_API_URL (or TELLER_API_ADDR) and TELLER_API_KEY say which API is asked, and with which key.`
}

func (c chatCmd) Run(ctx context.Context) error {
	r, err := newRemote()
	if err != nil {
		return err
	}
	question := strings.Join(c.Question, " ")
	terminal := term.IsTerminal(int(os.Stdin.Fd())) && term.IsTerminal(int(os.Stdout.Fd()))
	switch {
	case question == "-" || question == "" && !terminal:
		text, err := io.ReadAll(os.Stdin)
		if err != nil {
			return err
		}
		question = strings.TrimSpace(string(text))
		if question == "" {
			return errors.New("standard input holds no question")
		}
	case question == "":
		return c.converse(ctx, r)
	}
	s := session{remote: r, options: c, out: os.Stdout}
	return s.ask(ctx, question)
}

// session asks questions of one conversation, or single ones.
type session struct {
	*remote
	options chatCmd
	out     io.Writer
}

// chatAnswer is the part of a chat's answer that is shown.
type chatAnswer struct {
	Response         string   `json:"response"`
	LatencyMs        int64    `json:"latency_ms"`
	ModelVersion     string   `json:"model_version"`
	Confidence       *float64 `json:"confidence"`
	FallbackFrom     string   `json:"fallback_from"`
	FinishReason     string   `json:"finish_reason"`
	OmittedTurns     int      `json:"omitted_turns"`
	ConfidenceReason string   `json:"confidence_reason"`
}

// ask puts one question and shows its answer as it comes.
func (s *session) ask(ctx context.Context, question string) error {
	o := s.options
	body := map[string]any{"message": question}
	for name, value := range map[string]string{"model": o.Model, "conversation_id": o.Conversation, "context": o.Context} {
		if value != "" {
			body[name] = value
		}
	}
	if o.MaxTokens != 0 {
		body["max_tokens"] = o.MaxTokens
	}
	if o.Temperature != nil {
		body["temperature"] = *o.Temperature
	}
	if o.JSON {
		var answer json.RawMessage
		if err := s.json(ctx, http.MethodPost, "/api/v1/chat", body, &answer); err != nil {
			return err
		}
		_, err := fmt.Fprintln(s.out, string(answer))
		return err
	}
	body["stream"] = true
	resp, err := s.call(ctx, http.MethodPost, "/api/v1/chat", body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return s.show(resp.Body)
}

// show writes a streamed reply.
func (s *session) show(body io.Reader) error {
	for event, err := range sse.Read(body, nil) {
		if err != nil {
			return fmt.Errorf("the connection was lost in the midst of the reply: %w", err)
		}
		switch event.Type {
		case "delta":
			var delta struct {
				Text string `json:"text"`
			}
			if err := json.Unmarshal([]byte(event.Data), &delta); err != nil {
				return err
			}
			fmt.Fprint(s.out, printable(delta.Text))
		case "reset":
			// What was shown cannot be taken back from a terminal or a pipe.
			fmt.Fprint(s.out, "\n(the reply begins anew)\n")
		case "done":
			var answer chatAnswer
			if err := json.Unmarshal([]byte(event.Data), &answer); err != nil {
				return err
			}
			fmt.Fprintln(s.out)
			fmt.Fprintln(os.Stderr, dim("— "+about(answer)))
			return nil
		case "error":
			return errorOf(http.StatusOK, "", strings.NewReader(event.Data))
		}
	}
	return errors.New("the connection ended in the midst of the reply")
}

// about tells in one line where an answer is from.
func about(a chatAnswer) string {
	parts := []string{a.ModelVersion, fmt.Sprintf("%d ms", a.LatencyMs)}
	if a.Confidence != nil {
		parts = append(parts, fmt.Sprintf("confidence %.2f", *a.Confidence))
	}
	if a.FallbackFrom != "" {
		parts = append(parts, "instead of "+a.FallbackFrom)
	}
	if a.FinishReason == "length" {
		parts = append(parts, "cut at its length limit")
	}
	if a.OmittedTurns > 0 {
		parts = append(parts, fmt.Sprintf("without the %d oldest turns", a.OmittedTurns))
	}
	return strings.Join(parts, ", ")
}

// printable keeps a model's text from driving the terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || r >= ' ' && r != 0x7f && (r < 0x80 || r > 0x9f) {
			return r
		}
		return -1
	}, text)
}

// dim greys a text out on a terminal.
func dim(text string) string {
	if !term.IsTerminal(int(os.Stderr.Fd())) || os.Getenv("NO_COLOR") != "" {
		return text
	}
	return "\x1b[2m" + text + "\x1b[0m"
}

const chatHelp = `  /model NAME     ask this model from now on; /model alone: let the route decide
  /models         list the models
  /switch NAME    make this model the active one for everybody
  /history        show what was said
  /new            begin a new conversation
  /quit           leave (Ctrl-D does too)`

// converse is an interactive conversation.
func (c chatCmd) converse(ctx context.Context, r *remote) error {
	var shown modelsShown
	if err := r.get(ctx, "/models", &shown); err != nil {
		return err
	}
	if c.Conversation == "" {
		c.Conversation = "chat-" + uuid.NewString()[:8]
	}
	terminal, restore, err := newTerminal()
	if err != nil {
		return err
	}
	defer restore()
	s := &session{remote: r, options: c, out: terminal}
	fmt.Fprintf(terminal, "Conversation %s with %s. /help lists the commands.\n", c.Conversation, shown.Active)
	for {
		line, err := terminal.ReadLine()
		switch {
		case errors.Is(err, io.EOF):
			fmt.Fprintln(terminal)
			return nil
		case err != nil:
			return err
		}
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		if command, ok := strings.CutPrefix(line, "/"); ok {
			var leave bool
			leave, err = s.command(ctx, command)
			if leave {
				return nil
			}
		} else {
			err = s.ask(ctx, line)
		}
		if err != nil {
			fmt.Fprintln(terminal, "teller:", err)
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// command obeys a line that began with a slash.
func (s *session) command(ctx context.Context, line string) (leave bool, err error) {
	name, argument, _ := strings.Cut(line, " ")
	argument = strings.TrimSpace(argument)
	switch name {
	case "quit", "exit", "q":
		return true, nil
	case "help", "?":
		_, err = fmt.Fprintln(s.out, chatHelp)
	case "model":
		s.options.Model = argument
	case "models":
		err = listModels(ctx, s.remote, s.out)
	case "switch":
		err = switchModel(ctx, s.remote, s.out, argument, switchOptions{})
	case "history":
		err = showConversation(ctx, s.remote, s.out, s.options.Conversation)
	case "new":
		s.options.Conversation = "chat-" + uuid.NewString()[:8]
		_, err = fmt.Fprintf(s.out, "Conversation %s.\n", s.options.Conversation)
	default:
		err = fmt.Errorf("there is no command /%s; /help lists those there are", name)
	}
	return false, err
}

// newTerminal puts the terminal into raw mode, in which lines are edited and remembered, until restore is called.
func newTerminal() (t *term.Terminal, restore func(), err error) {
	in := int(os.Stdin.Fd())
	before, err := term.MakeRaw(in)
	if err != nil {
		return nil, nil, err
	}
	t = term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{os.Stdin, os.Stdout}, "> ")
	if width, height, err := term.GetSize(in); err == nil {
		_ = t.SetSize(width, height) // it works with a default width too
	}
	return t, func() { _ = term.Restore(in, before) }, nil
}
