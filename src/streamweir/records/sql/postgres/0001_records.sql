-- the tables of sql/sqlite/0001_records.sql, in a schema of their own; keys are ordered by their bytes, as there
CREATE TABLE schema_steps (
  number INTEGER PRIMARY KEY, name TEXT NOT NULL, applied_at TIMESTAMPTZ NOT NULL DEFAULT now()
);

CREATE TABLE runs (
  run TEXT COLLATE "C" PRIMARY KEY, began_at DOUBLE PRECISION NOT NULL, seen_at DOUBLE PRECISION NOT NULL
);

CREATE TABLE open_streams (
  record_id TEXT COLLATE "C" PRIMARY KEY, run TEXT COLLATE "C" NOT NULL, opened_at DOUBLE PRECISION NOT NULL,
  body BYTEA NOT NULL
);

CREATE TABLE records (
  position BIGINT PRIMARY KEY, record_id TEXT COLLATE "C" NOT NULL UNIQUE, kind TEXT NOT NULL,
  closed_at DOUBLE PRECISION NOT NULL, leaf BYTEA NOT NULL, nonce BYTEA, body BYTEA
);

-- written with every commit: room in its page, so that old versions are cleared away without a vacuum
CREATE TABLE tree (one INTEGER PRIMARY KEY CHECK (one = 1), size BIGINT NOT NULL, frontier BYTEA NOT NULL)
  WITH (fillfactor = 10);
INSERT INTO tree VALUES (1, 0, '');

CREATE TABLE checkpoints (size BIGINT PRIMARY KEY, made_at DOUBLE PRECISION NOT NULL, note TEXT NOT NULL);

CREATE TABLE texts (
  record_id TEXT COLLATE "C" PRIMARY KEY, subject TEXT COLLATE "C", salt BYTEA NOT NULL, text BYTEA NOT NULL
);
CREATE INDEX texts_subject ON texts (subject) WHERE subject IS NOT NULL;

CREATE TABLE outbox (
  message_id TEXT COLLATE "C" NOT NULL, record_id TEXT COLLATE "C" NOT NULL, kind TEXT COLLATE "C" NOT NULL,
  target TEXT COLLATE "C" NOT NULL, subject TEXT COLLATE "C", created_at DOUBLE PRECISION NOT NULL,
  due_at DOUBLE PRECISION NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, state TEXT COLLATE "C" NOT NULL DEFAULT 'due',
  leased_by TEXT COLLATE "C", leased_until DOUBLE PRECISION, error TEXT, body BYTEA NOT NULL,
  PRIMARY KEY (message_id, kind, target)
);
CREATE INDEX outbox_due ON outbox (kind, target, state, due_at);
CREATE INDEX outbox_subject ON outbox (subject) WHERE subject IS NOT NULL;
CREATE INDEX outbox_record ON outbox (record_id);

CREATE TABLE disabled_targets (
  kind TEXT COLLATE "C" NOT NULL, target TEXT COLLATE "C" NOT NULL, disabled_at DOUBLE PRECISION NOT NULL,
  reason TEXT NOT NULL, PRIMARY KEY (kind, target)
);
