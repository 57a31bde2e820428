-- Benchmarks: what was asked, each model's result of each case, the summary of each run, and how many chats were answered.

-- +goose Up
CREATE TABLE benchmark_suite (
    hash  TEXT   PRIMARY KEY,
    name  TEXT   NOT NULL,
    cases BIGINT NOT NULL
);

CREATE TABLE benchmark_suite_case (
    hash     TEXT   NOT NULL,
    position BIGINT NOT NULL, -- from 0, in the suite's order
    body     TEXT   NOT NULL, -- the case, JSON
    PRIMARY KEY (hash, position)
);

CREATE TABLE benchmark_run (
    id            TEXT   PRIMARY KEY,
    suite         TEXT   NOT NULL,
    suite_hash    TEXT   NOT NULL,
    cause         TEXT   NOT NULL, -- schedule, requests, api, command
    started_at_us BIGINT NOT NULL,
    ended_at_us   BIGINT NOT NULL, -- 0: still running
    summary       TEXT   NOT NULL  -- JSON; '' while it runs
);

CREATE INDEX benchmark_run_by_time ON benchmark_run (started_at_us, id);

CREATE TABLE benchmark_result (
    run_id  TEXT NOT NULL,
    model   TEXT NOT NULL,
    case_id TEXT NOT NULL,
    body    TEXT NOT NULL, -- JSON
    PRIMARY KEY (run_id, model, case_id)
);

CREATE TABLE counter (
    name  TEXT   PRIMARY KEY,
    value BIGINT NOT NULL
);

-- +goose Down
DROP TABLE counter;
DROP TABLE benchmark_result;
DROP TABLE benchmark_run;
DROP TABLE benchmark_suite_case;
DROP TABLE benchmark_suite;
