-- replies' texts in pieces, each with its vector: float32, little-endian, of length 1; times are seconds since the epoch
CREATE TABLE passages (
  passage INTEGER PRIMARY KEY, collection TEXT NOT NULL, tenant TEXT NOT NULL, request_id TEXT NOT NULL,
  chunk INTEGER NOT NULL, embedder TEXT NOT NULL, dimension INTEGER NOT NULL, vector BLOB NOT NULL,
  record_id TEXT NOT NULL, subject TEXT, conversation_id TEXT, profile TEXT, model TEXT NOT NULL, guard TEXT NOT NULL,
  status TEXT NOT NULL, created_at REAL NOT NULL, start_at INTEGER NOT NULL, end_at INTEGER NOT NULL, text TEXT NOT NULL,
  UNIQUE (collection, tenant, request_id, chunk)
);
CREATE INDEX passages_scan ON passages (collection, embedder, dimension);
CREATE INDEX passages_subject ON passages (subject) WHERE subject IS NOT NULL;
CREATE INDEX passages_conversation ON passages (conversation_id) WHERE conversation_id IS NOT NULL;
