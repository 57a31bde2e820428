package pgtest_test

import (
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"teller/internal/pgtest"
)

func TestServerKeepsItsDataOverARestart(t *testing.T) {
	t.Cleanup(func() { goleak.VerifyNone(t) })
	server := pgtest.Start(t)
	url := server.Database(t)
	exec(t, url, "CREATE TABLE kept (n INT)")

	server.Stop()
	_, err := pgx.Connect(t.Context(), url)
	require.Error(t, err)

	server.Run(t)
	exec(t, url, "INSERT INTO kept VALUES (1)")
	require.NotEqual(t, url, server.Database(t), "each test has a database of its own")
}

func exec(t *testing.T, url, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(t.Context())
	_, err = conn.Exec(t.Context(), statement)
	require.NoError(t, err)
}
