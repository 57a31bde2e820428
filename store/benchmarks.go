package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"time"
)

// The store keeps what benchmarks say as JSON: package benchmark knows what stands in it.

// ErrNoRun means that there is no benchmark run of that id, or no run at all.
var ErrNoRun = errors.New("there is no such benchmark run")

// BenchmarkRun is a row of the list of runs.
type BenchmarkRun struct {
	ID        string          `json:"id"`
	Suite     string          `json:"suite"`
	SuiteHash string          `json:"suite_hash"`
	Cause     string          `json:"cause"` // schedule, requests, api, command
	StartedAt time.Time       `json:"started_at"`
	EndedAt   time.Time       `json:"ended_at,omitzero"` // zero while it runs
	Summary   json.RawMessage `json:"summary,omitempty"` // nil while it runs
}

// KeepSuite stores a suite's cases under its hash, once.
func (s *Store) KeepSuite(ctx context.Context, hash, name string, cases []json.RawMessage) error {
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `INSERT INTO benchmark_suite (hash, name, cases) VALUES ($1, $2, $3) ON CONFLICT (hash) DO NOTHING`, hash, name, len(cases))
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return err
		}
		insert, err := tx.PrepareContext(ctx, `INSERT INTO benchmark_suite_case (hash, position, body) VALUES ($1, $2, $3)`)
		if err != nil {
			return err
		}
		defer insert.Close()
		for i, body := range cases {
			if _, err := insert.ExecContext(ctx, hash, i, string(body)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep the suite %s: %w", name, err)
	}
	return nil
}

// ErrNoSuite means that no suite of that hash is kept.
var ErrNoSuite = errors.New("there is no such suite")

// Suite tells the name and the number of cases of a kept suite.
func (s *Store) Suite(ctx context.Context, hash string) (name string, cases int, err error) {
	err = s.fast.QueryRowContext(ctx, `SELECT name, cases FROM benchmark_suite WHERE hash = $1`, hash).Scan(&name, &cases)
	if errors.Is(err, sql.ErrNoRows) {
		err = ErrNoSuite
	}
	if err != nil {
		return "", 0, fmt.Errorf("find the suite %.12s: %w", hash, err)
	}
	return name, cases, nil
}

// SuiteCases gives the cases at the positions of a kept suite, in the positions' order.
func (s *Store) SuiteCases(ctx context.Context, hash string, positions []int) ([]json.RawMessage, error) {
	cases := make([]json.RawMessage, 0, len(positions))
	for _, position := range positions {
		var body string
		err := s.fast.QueryRowContext(ctx, `SELECT body FROM benchmark_suite_case WHERE hash = $1 AND position = $2`, hash, position).Scan(&body)
		if err != nil {
			return nil, fmt.Errorf("read case %d of the suite %.12s: %w", position, hash, err)
		}
		cases = append(cases, json.RawMessage(body))
	}
	return cases, nil
}

// BeginRun stores that a run has begun, once.
func (s *Store) BeginRun(ctx context.Context, r BenchmarkRun) error {
	_, err := s.db.ExecContext(ctx, `INSERT INTO benchmark_run (id, suite, suite_hash, cause, started_at_us, ended_at_us, summary)
		VALUES ($1, $2, $3, $4, $5, 0, '') ON CONFLICT (id) DO NOTHING`, r.ID, r.Suite, r.SuiteHash, r.Cause, r.StartedAt.UnixMicro())
	if err != nil {
		return fmt.Errorf("begin a benchmark run: %w", err)
	}
	return nil
}

// BeginDueRun stores that a run has begun because enough chats were answered, once, and marks their number. It gives false, and stores
// nothing, where another run has begun since the one at which last chats had been answered.
func (s *Store) BeginDueRun(ctx context.Context, r BenchmarkRun, last, answered int64) (due bool, err error) {
	err = s.inTx(ctx, func(tx *sql.Tx) error {
		result, err := tx.ExecContext(ctx, `INSERT INTO benchmark_run (id, suite, suite_hash, cause, started_at_us, ended_at_us, summary)
			VALUES ($1, $2, $3, $4, $5, 0, '') ON CONFLICT (id) DO NOTHING`, r.ID, r.Suite, r.SuiteHash, r.Cause, r.StartedAt.UnixMicro())
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			due = err == nil // it has begun before
			return err
		}
		// The insert lets the row exist, so that the update decides in every case.
		if _, err := tx.ExecContext(ctx, `INSERT INTO counter (name, value) VALUES ($1, 0) ON CONFLICT (name) DO NOTHING`, benchmarkedCounter); err != nil {
			return err
		}
		result, err = tx.ExecContext(ctx, `UPDATE counter SET value = $1 WHERE name = $2 AND value = $3`, answered, benchmarkedCounter, last)
		if err != nil {
			return err
		}
		if n, err := result.RowsAffected(); err != nil || n == 0 {
			return errors.Join(err, errNotDue)
		}
		due = true
		return nil
	})
	if errors.Is(err, errNotDue) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("begin a benchmark run: %w", err)
	}
	return due, nil
}

// errNotDue takes a transaction back.
var errNotDue = errors.New("another run has begun")

// EndRun stores a run's summary, once: a run that has ended keeps it. It tells whether this call ended it.
func (s *Store) EndRun(ctx context.Context, id string, at time.Time, summary json.RawMessage) (bool, error) {
	result, err := s.db.ExecContext(ctx, `UPDATE benchmark_run SET ended_at_us = $1, summary = $2 WHERE id = $3 AND ended_at_us = 0`, at.UnixMicro(), string(summary), id)
	if err != nil {
		return false, fmt.Errorf("end the benchmark run %s: %w", id, err)
	}
	n, err := result.RowsAffected()
	return n == 1, err
}

// runColumns are what scanRun reads, in its order.
const runColumns = `id, suite, suite_hash, cause, started_at_us, ended_at_us, summary`

func scanRun(row scanner) (BenchmarkRun, error) {
	var r BenchmarkRun
	var started, ended int64
	var summary string
	err := row.Scan(&r.ID, &r.Suite, &r.SuiteHash, &r.Cause, &started, &ended, &summary)
	if errors.Is(err, sql.ErrNoRows) {
		return r, ErrNoRun
	}
	r.StartedAt = time.UnixMicro(started).UTC()
	if ended != 0 {
		r.EndedAt = time.UnixMicro(ended).UTC()
	}
	if summary != "" {
		r.Summary = json.RawMessage(summary)
	}
	return r, err
}

// Run reads one run.
func (s *Store) Run(ctx context.Context, id string) (BenchmarkRun, error) {
	r, err := scanRun(s.db.QueryRowContext(ctx, `SELECT `+runColumns+` FROM benchmark_run WHERE id = $1`, id))
	if err != nil {
		return r, fmt.Errorf("read the benchmark run %q: %w", id, err)
	}
	return r, nil
}

// Runs lists the latest runs, newest first, at most limit of them; with a suite's hash only those of that suite. endedOnly leaves out
// those that have not ended.
func (s *Store) Runs(ctx context.Context, suiteHash string, endedOnly bool, limit int) ([]BenchmarkRun, error) {
	after := int64(-1)
	if endedOnly {
		after = 0
	}
	rows, err := s.db.QueryContext(ctx, `SELECT `+runColumns+` FROM benchmark_run WHERE ($1 = '' OR suite_hash = $1) AND ended_at_us > $2
		ORDER BY started_at_us DESC, id DESC LIMIT $3`, suiteHash, after, max(limit, 0))
	if err != nil {
		return nil, fmt.Errorf("list benchmark runs: %w", err)
	}
	defer rows.Close()
	runs := []BenchmarkRun{}
	for rows.Next() {
		r, err := scanRun(rows)
		if err != nil {
			return nil, fmt.Errorf("list benchmark runs: %w", err)
		}
		runs = append(runs, r)
	}
	return runs, rows.Err()
}

// RunBefore reads the latest run of the same suite that had ended before the run of the id began. There may be none: ErrNoRun.
func (s *Store) RunBefore(ctx context.Context, id string) (BenchmarkRun, error) {
	r, err := scanRun(s.db.QueryRowContext(ctx, `SELECT `+runColumns+` FROM benchmark_run
		WHERE suite_hash = (SELECT suite_hash FROM benchmark_run WHERE id = $1) AND ended_at_us > 0
			AND ended_at_us <= (SELECT started_at_us FROM benchmark_run WHERE id = $1)
		ORDER BY ended_at_us DESC, id DESC LIMIT 1`, id))
	if err != nil {
		return r, fmt.Errorf("find the run before the benchmark run %q: %w", id, err)
	}
	return r, nil
}

// CaseRow is a model's result of one case.
type CaseRow struct {
	Model, CaseID string
	Body          json.RawMessage
}

// KeepResults stores results of a run, each case's once a model: one that is there stays.
func (s *Store) KeepResults(ctx context.Context, runID string, results []CaseRow) error {
	err := inTx(ctx, s.fast, func(tx *sql.Tx) error {
		insert, err := tx.PrepareContext(ctx, `INSERT INTO benchmark_result (run_id, model, case_id, body) VALUES ($1, $2, $3, $4)
			ON CONFLICT (run_id, model, case_id) DO NOTHING`)
		if err != nil {
			return err
		}
		defer insert.Close()
		for _, r := range results {
			if _, err := insert.ExecContext(ctx, runID, r.Model, r.CaseID, string(r.Body)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("keep results of the benchmark run %s: %w", runID, err)
	}
	return nil
}

// Recorded counts a run's results by model.
func (s *Store) Recorded(ctx context.Context, runID string) (map[string]int, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT model, COUNT(*) FROM benchmark_result WHERE run_id = $1 GROUP BY model`, runID)
	if err != nil {
		return nil, fmt.Errorf("count the results of the benchmark run %s: %w", runID, err)
	}
	defer rows.Close()
	recorded := map[string]int{}
	for rows.Next() {
		var model string
		var n int
		if err := rows.Scan(&model, &n); err != nil {
			return nil, fmt.Errorf("count the results of the benchmark run %s: %w", runID, err)
		}
		recorded[model] = n
	}
	return recorded, rows.Err()
}

// resultsPage is how many results are read at a time: a run of 100,000 cases is never in memory at once.
const resultsPage = 1000

// Results gives a run's results, ordered by model and case. model "" gives all models'.
func (s *Store) Results(ctx context.Context, runID, model string) iter.Seq2[CaseRow, error] {
	return func(yield func(CaseRow, error) bool) {
		last := CaseRow{Model: model}
		for {
			page, err := s.resultsAfter(ctx, runID, model, last)
			if err != nil {
				yield(CaseRow{}, fmt.Errorf("read results of the benchmark run %s: %w", runID, err))
				return
			}
			for _, row := range page {
				if !yield(row, nil) {
					return
				}
				last = row
			}
			if len(page) < resultsPage {
				return
			}
		}
	}
}

func (s *Store) resultsAfter(ctx context.Context, runID, model string, last CaseRow) ([]CaseRow, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT model, case_id, body FROM benchmark_result
		WHERE run_id = $1 AND ($2 = '' OR model = $2) AND (model > $3 OR model = $3 AND case_id > $4)
		ORDER BY model, case_id LIMIT $5`, runID, model, last.Model, last.CaseID, resultsPage)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var page []CaseRow
	for rows.Next() {
		var r CaseRow
		var body string
		if err := rows.Scan(&r.Model, &r.CaseID, &body); err != nil {
			return nil, err
		}
		r.Body = json.RawMessage(body)
		page = append(page, r)
	}
	return page, rows.Err()
}

// chatsCounter counts the turns that were answered, each once, over all processes.
const chatsCounter = "chats"

// benchmarkedCounter is the number of chats at which a benchmark was last started because of their number.
const benchmarkedCounter = "benchmarked_chats"

// Chats gives how many turns were answered ever, and the number at which a benchmark was last started because of it.
func (s *Store) Chats(ctx context.Context) (answered, benchmarked int64, err error) {
	for name, value := range map[string]*int64{chatsCounter: &answered, benchmarkedCounter: &benchmarked} {
		err := s.fast.QueryRowContext(ctx, `SELECT value FROM counter WHERE name = $1`, name).Scan(value)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return 0, 0, fmt.Errorf("read the number of chats: %w", err)
		}
	}
	return answered, benchmarked, nil
}
