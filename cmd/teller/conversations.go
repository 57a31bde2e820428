package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"text/tabwriter"
	"time"
)

type conversationsCmd struct {
	List  listConversationsCmd `cmd:"" default:"withargs" help:"List the conversations, the one that was last answered first."`
	Show  showConversationCmd  `cmd:"" help:"Show what was said in one."`
	Erase eraseConversationCmd `cmd:"" help:"End one and erase what was said in it."`
}

// conversationsPage is a page of the API's list.
type conversationsPage struct {
	Conversations []struct {
		ID        string    `json:"conversation_id"`
		CreatedAt time.Time `json:"created_at"`
		UpdatedAt time.Time `json:"updated_at"`
		Turns     int64     `json:"turns"`
	} `json:"conversations"`
	Next string `json:"next_cursor,omitempty"`
}

type listConversationsCmd struct {
	Limit  int    `default:"20" help:"The most to list, 1 to 100."`
	Cursor string `help:"Where to go on, from the page before."`
	JSON   bool   `name:"json" help:"Print the API's answer as JSON."`
}

func (c listConversationsCmd) Run(ctx context.Context) error {
	r, err := newRemote()
	if err != nil {
		return err
	}
	var page conversationsPage
	if err := r.get(ctx, fmt.Sprintf("/api/v1/conversations?limit=%d&cursor=%s", c.Limit, url.QueryEscape(c.Cursor)), &page); err != nil {
		return err
	}
	if c.JSON {
		return printJSON(os.Stdout, page)
	}
	if len(page.Conversations) == 0 {
		fmt.Println("There are no conversations.")
		return nil
	}
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "CONVERSATION\tTURNS\tLAST ANSWERED\tBEGUN")
	for _, row := range page.Conversations {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\n", row.ID, row.Turns, row.UpdatedAt.Local().Format(time.DateTime), row.CreatedAt.Local().Format(time.DateTime))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if page.Next != "" {
		fmt.Fprintf(os.Stderr, "There are more: --cursor %s\n", page.Next)
	}
	return nil
}

type showConversationCmd struct {
	ID   string `arg:"" help:"The conversation."`
	JSON bool   `name:"json" help:"Print the API's answer as JSON."`
}

func (c showConversationCmd) Run(ctx context.Context) error {
	r, err := newRemote()
	if err != nil {
		return err
	}
	if c.JSON {
		var transcript json.RawMessage
		if err := r.get(ctx, "/api/v1/conversations/"+url.PathEscape(c.ID), &transcript); err != nil {
			return err
		}
		return printJSON(os.Stdout, transcript)
	}
	return showConversation(ctx, r, os.Stdout, c.ID)
}

// showConversation writes what was said.
func showConversation(ctx context.Context, r *remote, out io.Writer, id string) error {
	var transcript struct {
		Turns []struct {
			At           time.Time `json:"at"`
			Message      string    `json:"message"`
			Response     string    `json:"response"`
			ModelVersion string    `json:"model_version"`
		} `json:"turns"`
		Dropped int `json:"dropped_turns"`
	}
	if err := r.get(ctx, "/api/v1/conversations/"+url.PathEscape(id), &transcript); err != nil {
		return err
	}
	if transcript.Dropped > 0 {
		fmt.Fprintf(out, "(the %d oldest turns are no longer kept)\n", transcript.Dropped)
	}
	for _, turn := range transcript.Turns {
		fmt.Fprintf(out, "%s  you: %s\n", turn.At.Local().Format(time.TimeOnly), printable(turn.Message))
		fmt.Fprintf(out, "          %s: %s\n", turn.ModelVersion, printable(turn.Response))
	}
	return nil
}

type eraseConversationCmd struct {
	ID string `arg:"" help:"The conversation."`
}

func (c eraseConversationCmd) Run(ctx context.Context) error {
	r, err := newRemote()
	if err != nil {
		return err
	}
	if err := r.json(ctx, http.MethodDelete, "/api/v1/conversations/"+url.PathEscape(c.ID), nil, nil); err != nil {
		return err
	}
	fmt.Printf("Conversation %s is erased.\n", c.ID)
	return nil
}
