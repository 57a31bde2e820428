// Package storetest is the suite that the store passes on each database it runs on.
package storetest

import (
	"testing"

	"github.com/stretchr/testify/require"

	"teller/store"
)

// Database is a new, empty database.
type Database struct {
	store.Config
	// Exec runs a statement past the store, as another program would.
	Exec func(t *testing.T, statement string)
}

// Run runs the suite; each test gets a database of its own.
func Run(t *testing.T, empty func(t *testing.T) Database) {
	for _, test := range []struct {
		name string
		run  func(t *testing.T, db Database)
	}{
		{"the first start stores the defaults", firstStart},
		{"later starts keep the route", laterStarts},
		{"a changed MODEL_VERSION wins", changedModelVersion},
		{"concurrent first starts agree", concurrentStarts},
		{"a switch is stored and audited", switchRoute},
		{"concurrent switches are all kept", concurrentSwitches},
		{"the audit keeps its order when a clock is set back", clockSetBack},
		{"a wrong route is refused", wrongRoute},
		{"there is no route before the first start", noRoute},
		{"a canceled call ends", canceledCall},
		{"the cache sees other processes' switches", cacheFollows},
		{"the cache sees its own switch at once", cacheSwitches},
		{"the cache serves through an outage", cacheOutage},
		{"keys are made, recognised and revoked", keys},
		{"what a key spends is counted by the minute", limits},
		{"an idempotency key belongs to the turn that came first", claims},
		{"usage is recorded once a turn and summed", usage},
		{"usage is recorded once by several processes", usageRaces},
		{"of the rows of a turn the last to have begun stands", usageGivesWay},
		{"conversations are listed, newest first", conversations},
		{"a benchmark's suite, run and results are kept once", benchmarks},
		{"chats are counted once a turn", chats},
		{"a newer schema is refused", newerSchema},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(t, empty(t)) })
	}
}

// Open opens the store and closes it with the test.
func Open(t *testing.T, cfg store.Config) *store.Store {
	t.Helper()
	s, err := store.Open(t.Context(), cfg)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Close()) })
	return s
}
