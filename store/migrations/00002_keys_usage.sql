-- Who may call, what they used, and the turns that must not run twice. Texts of customers stand nowhere;
-- a conversation's id is what its caller named it.

-- +goose Up
CREATE TABLE api_key (
    id                  TEXT   PRIMARY KEY,
    secret_sha256       TEXT   NOT NULL,
    tenant              TEXT   NOT NULL,
    role                TEXT   NOT NULL,
    name                TEXT   NOT NULL,
    requests_per_minute BIGINT NOT NULL, -- 0: no limit
    tokens_per_minute   BIGINT NOT NULL, -- 0: no limit
    created_at_us       BIGINT NOT NULL,
    revoked_at_us       BIGINT NOT NULL  -- 0: valid
);

CREATE TABLE key_window (
    key_id    TEXT   PRIMARY KEY,
    minute    BIGINT NOT NULL, -- minutes since the Unix epoch
    requests  BIGINT NOT NULL,
    tokens    BIGINT NOT NULL
);

CREATE TABLE turn_usage (
    turn_id           TEXT   PRIMARY KEY,
    tenant            TEXT   NOT NULL,
    conversation      TEXT   NOT NULL, -- '' for a turn that stands alone, or whose conversation was erased
    model             TEXT   NOT NULL,
    fallback_from     TEXT   NOT NULL,
    outcome           TEXT   NOT NULL, -- 'ok' or an error code
    at_us             BIGINT NOT NULL,
    latency_ms        BIGINT NOT NULL,
    prompt_tokens     BIGINT NOT NULL,
    completion_tokens BIGINT NOT NULL,
    cost_nano_usd     BIGINT           -- NULL: the model has no price
);

CREATE INDEX turn_usage_by_time ON turn_usage (tenant, at_us);
CREATE INDEX turn_usage_by_conversation ON turn_usage (tenant, conversation);

CREATE TABLE conversation (
    tenant        TEXT   NOT NULL,
    id            TEXT   NOT NULL,
    created_at_us BIGINT NOT NULL,
    updated_at_us BIGINT NOT NULL,
    turns         BIGINT NOT NULL,
    PRIMARY KEY (tenant, id)
);

CREATE INDEX conversation_by_time ON conversation (tenant, updated_at_us, id);

CREATE TABLE idempotency (
    tenant     TEXT   NOT NULL,
    key_sha256 TEXT   NOT NULL,
    digest     TEXT   NOT NULL, -- of the request that came first
    turn_id    TEXT   NOT NULL,
    at_us      BIGINT NOT NULL,
    PRIMARY KEY (tenant, key_sha256)
);

CREATE INDEX idempotency_by_time ON idempotency (at_us);

-- +goose Down
DROP TABLE idempotency;
DROP TABLE conversation;
DROP TABLE turn_usage;
DROP TABLE key_window;
DROP TABLE api_key;
