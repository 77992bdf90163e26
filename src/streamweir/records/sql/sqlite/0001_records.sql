-- who writes here: a process's life, whose streams are closed by the next one where it ends without its own word
CREATE TABLE runs (run TEXT PRIMARY KEY, began_at REAL NOT NULL, seen_at REAL NOT NULL) WITHOUT ROWID;

-- streams whose request was sent, or was about to be, and that have not ended; `body` is what an end made for them needs
CREATE TABLE open_streams (
  record_id TEXT PRIMARY KEY, run TEXT NOT NULL, opened_at REAL NOT NULL, body BLOB NOT NULL
) WITHOUT ROWID;

-- the log: leaves stay for ever, bodies until they are purged; times are seconds since the epoch
CREATE TABLE records (
  position INTEGER PRIMARY KEY, record_id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL, closed_at REAL NOT NULL,
  leaf BLOB NOT NULL, nonce BLOB, body BLOB
);

-- what the next leaf is appended to: one row
CREATE TABLE tree (one INTEGER PRIMARY KEY CHECK (one = 1), size INTEGER NOT NULL, frontier BLOB NOT NULL);
INSERT INTO tree VALUES (1, 0, x'');

CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, made_at REAL NOT NULL, note TEXT NOT NULL);

-- replies' texts, where they are kept at all; as UTF-8, since not every database's text holds every character
CREATE TABLE texts (record_id TEXT PRIMARY KEY, subject TEXT, salt BLOB NOT NULL, text BLOB NOT NULL) WITHOUT ROWID;
CREATE INDEX texts_subject ON texts (subject) WHERE subject IS NOT NULL;

-- what is to be delivered: `state` is due, leased or dead; what was delivered is deleted
CREATE TABLE outbox (
  message_id TEXT NOT NULL, record_id TEXT NOT NULL, kind TEXT NOT NULL, target TEXT NOT NULL, subject TEXT,
  created_at REAL NOT NULL, due_at REAL NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, state TEXT NOT NULL DEFAULT 'due',
  leased_by TEXT, leased_until REAL, error TEXT, body BLOB NOT NULL, PRIMARY KEY (message_id, kind, target)
) WITHOUT ROWID;
CREATE INDEX outbox_due ON outbox (kind, target, state, due_at);
CREATE INDEX outbox_subject ON outbox (subject) WHERE subject IS NOT NULL;
CREATE INDEX outbox_record ON outbox (record_id);

-- endpoints that asked for no more deliveries (410)
CREATE TABLE disabled_targets (kind TEXT NOT NULL, target TEXT NOT NULL, disabled_at REAL NOT NULL, reason TEXT NOT NULL,
  PRIMARY KEY (kind, target)) WITHOUT ROWID
