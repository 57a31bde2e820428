-- Times are microseconds since the Unix epoch and lists are JSON text, so that one set of
-- migrations serves SQLite and PostgreSQL.

-- +goose Up
CREATE TABLE route (
    id            BIGINT PRIMARY KEY CHECK (id = 1),
    active        TEXT   NOT NULL,
    fallbacks     TEXT   NOT NULL,
    split         TEXT   NOT NULL,
    version       BIGINT NOT NULL,
    updated_at_us BIGINT NOT NULL,
    updated_by    TEXT   NOT NULL,
    reason        TEXT   NOT NULL,
    model_version TEXT   NOT NULL
);

CREATE TABLE audit (
    id           TEXT   PRIMARY KEY,
    at_us        BIGINT NOT NULL,
    actor        TEXT   NOT NULL,
    action       TEXT   NOT NULL,
    before_state TEXT   NOT NULL,
    after_state  TEXT   NOT NULL
);

CREATE INDEX audit_by_time ON audit (at_us, id);

-- +goose Down
DROP TABLE audit;
DROP TABLE route;
