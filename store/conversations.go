package store

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Conversation is a row of the list of conversations.
type Conversation struct {
	ID        string    `json:"conversation_id"`
	CreatedAt time.Time `json:"created_at"` // of its first turn's end
	UpdatedAt time.Time `json:"updated_at"` // of its latest turn's end
	Turns     int64     `json:"turns"`      // that were answered
}

// ErrBadCursor means that a cursor did not come from an earlier page.
var ErrBadCursor = errors.New("the cursor is not one of an earlier page")

// Conversations lists a tenant's conversations, the one that was last answered first: at most limit of them after the
// cursor, which is "" for the first page. next is the cursor of the page that follows, "" when there is none.
func (s *Store) Conversations(ctx context.Context, tenant, cursor string, limit int) (page []Conversation, next string, err error) {
	before, beforeID, err := parseCursor(cursor)
	if err != nil {
		return nil, "", err
	}
	rows, err := s.fast.QueryContext(ctx, `SELECT id, created_at_us, updated_at_us, turns FROM conversation
		WHERE tenant = $1 AND (updated_at_us < $2 OR updated_at_us = $2 AND id < $3)
		ORDER BY updated_at_us DESC, id DESC LIMIT $4`, tenant, before, beforeID, limit+1)
	if err != nil {
		return nil, "", fmt.Errorf("list conversations: %w", err)
	}
	defer rows.Close()
	page = []Conversation{}
	for rows.Next() {
		var c Conversation
		var created, updated int64
		if err := rows.Scan(&c.ID, &created, &updated, &c.Turns); err != nil {
			return nil, "", fmt.Errorf("list conversations: %w", err)
		}
		c.CreatedAt, c.UpdatedAt = time.UnixMicro(created).UTC(), time.UnixMicro(updated).UTC()
		page = append(page, c)
	}
	if err := rows.Err(); err != nil {
		return nil, "", fmt.Errorf("list conversations: %w", err)
	}
	if len(page) > limit {
		page = page[:limit]
		last := page[limit-1]
		next = base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(last.UpdatedAt.UnixMicro(), 10) + " " + last.ID))
	}
	return page, next, nil
}

func parseCursor(cursor string) (before int64, id string, err error) {
	if cursor == "" {
		return 1 << 62, "", nil
	}
	data, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil {
		return 0, "", ErrBadCursor
	}
	at, id, _ := strings.Cut(string(data), " ")
	before, err = strconv.ParseInt(at, 10, 64)
	if err != nil || id == "" {
		return 0, "", ErrBadCursor
	}
	return before, id, nil
}

// ForgetConversation takes a conversation off the list. What its turns used stays counted, and no longer says where.
func (s *Store) ForgetConversation(ctx context.Context, tenant, id string) error {
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM conversation WHERE tenant = $1 AND id = $2`, tenant, id); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `UPDATE turn_usage SET conversation = '' WHERE tenant = $1 AND conversation = $2`, tenant, id)
		return err
	})
	if err != nil {
		return fmt.Errorf("forget a conversation: %w", err)
	}
	return nil
}
