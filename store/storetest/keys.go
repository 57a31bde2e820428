package storetest

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"teller/store"
)

func keys(t *testing.T, db Database) {
	s := Open(t, db.Config)
	any, err := s.HasKeys(t.Context())
	require.NoError(t, err)
	require.False(t, any)

	made, text, err := s.CreateKey(t.Context(), store.Key{Tenant: "retail", Role: store.RoleChat, Name: "app", RequestsPerMinute: 60}, "operator")
	require.NoError(t, err)
	require.Greater(t, len(text), 50, "256 bits and an id")
	_, other, err := s.CreateKey(t.Context(), store.Key{Tenant: "ops", Role: store.RoleAdmin}, "operator")
	require.NoError(t, err)
	require.NotEqual(t, text, other)

	got, err := s.Authenticate(t.Context(), text)
	require.NoError(t, err)
	require.Equal(t, made, got)
	listed, err := s.Keys(t.Context())
	require.NoError(t, err)
	require.Len(t, listed, 2)
	require.Equal(t, made, listed[0])

	for name, wrong := range map[string]string{
		"nothing": "", "no key": "Bearer", "another secret": text[:len(text)-3] + "AAA", "another id": strings.Replace(text, made.ID, "000000000000", 1),
		"cut": text[:20], "longer": text + "A", "sql": "tlr_' OR '1'='1_x",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := s.Authenticate(t.Context(), wrong)
			require.ErrorIs(t, err, store.ErrNoKey)
		})
	}

	gone, err := s.RevokeKey(t.Context(), made.ID, "operator")
	require.NoError(t, err)
	require.False(t, gone.RevokedAt.IsZero())
	_, err = s.Authenticate(t.Context(), text)
	require.ErrorIs(t, err, store.ErrNoKey)
	again, err := s.RevokeKey(t.Context(), made.ID, "operator")
	require.NoError(t, err)
	require.Equal(t, gone, again)
	_, err = s.RevokeKey(t.Context(), "nosuchkey", "operator")
	require.ErrorIs(t, err, store.ErrNoKey)
	any, err = s.HasKeys(t.Context())
	require.NoError(t, err)
	require.True(t, any)

	audit, err := s.Audit(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, audit, 3)
	for _, entry := range audit {
		_, secret, _ := strings.Cut(strings.TrimPrefix(text, "tlr_"), "_")
		require.NotContains(t, string(entry.After), secret, "the secret is stored nowhere")
	}

	for name, k := range map[string]store.Key{
		"no tenant": {Role: store.RoleChat}, "odd tenant": {Tenant: "a/b", Role: store.RoleChat}, "no role": {Tenant: "a"},
		"limit below zero": {Tenant: "a", Role: store.RoleChat, TokensPerMinute: -1},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := s.CreateKey(t.Context(), k, "operator")
			require.Error(t, err)
		})
	}
}

func limits(t *testing.T, db Database) {
	s, second := Open(t, db.Config), Open(t, db.Config)
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	spent, err := s.Spend(t.Context(), "key", 1, 0, at)
	require.NoError(t, err)
	require.Equal(t, store.Spent{Requests: 1, Ends: at.Add(55 * time.Second)}, spent)
	spent, err = second.Spend(t.Context(), "key", 1, 40, at.Add(time.Second))
	require.NoError(t, err)
	require.EqualValues(t, 2, spent.Requests, "another process counts on")
	require.EqualValues(t, 40, spent.Tokens)
	spent, err = s.Spend(t.Context(), "other", 1, 1, at)
	require.NoError(t, err)
	require.EqualValues(t, 1, spent.Requests)
	spent, err = s.Spend(t.Context(), "key", 0, 5, at.Add(time.Minute))
	require.NoError(t, err)
	require.Equal(t, store.Spent{Tokens: 5, Ends: at.Add(115 * time.Second)}, spent, "a new minute begins at nothing")
}

func claims(t *testing.T, db Database) {
	s, second := Open(t, db.Config), Open(t, db.Config)
	first := store.Claim{TurnID: "t1", Digest: "d1"}
	got, err := s.ClaimKey(t.Context(), "a", "key", first)
	require.NoError(t, err)
	require.Equal(t, first, got)
	got, err = second.ClaimKey(t.Context(), "a", "key", store.Claim{TurnID: "t2", Digest: "d2"})
	require.NoError(t, err)
	require.Equal(t, first, got)
	other := store.Claim{TurnID: "t3", Digest: "d3"}
	got, err = s.ClaimKey(t.Context(), "b", "key", other)
	require.NoError(t, err)
	require.Equal(t, other, got, "another tenant's key is another key")

	require.NoError(t, s.ForgetKeys(t.Context(), time.Now().Add(-time.Hour)))
	got, err = s.ClaimKey(t.Context(), "a", "key", other)
	require.NoError(t, err)
	require.Equal(t, first, got)
	require.NoError(t, s.ForgetKeys(t.Context(), time.Now().Add(time.Second)))
	got, err = s.ClaimKey(t.Context(), "a", "key", other)
	require.NoError(t, err)
	require.Equal(t, other, got)
}
