-- name: hold_delivery
-- changes nothing: whoever deletes the row waits until the passages are in, and then finds them
UPDATE outbox SET attempts = attempts WHERE message_id = :message_id AND kind = :kind AND target = :target
RETURNING message_id

-- name: keep_passage_sqlite
INSERT INTO passages (collection, tenant, request_id, chunk, embedder, dimension, vector, record_id, subject,
  conversation_id, profile, model, guard, status, created_at, start_at, end_at, text)
VALUES (:collection, :tenant, :request_id, :chunk, :embedder, :dimension, :vector, :record_id, :subject,
  :conversation_id, :profile, :model, :guard, :status, :created_at, :start_at, :end_at, :text)
ON CONFLICT (collection, tenant, request_id, chunk) DO UPDATE SET embedder = excluded.embedder,
  dimension = excluded.dimension, vector = excluded.vector, record_id = excluded.record_id, subject = excluded.subject,
  conversation_id = excluded.conversation_id, profile = excluded.profile, model = excluded.model,
  guard = excluded.guard, status = excluded.status, created_at = excluded.created_at, start_at = excluded.start_at,
  end_at = excluded.end_at, text = excluded.text

-- name: keep_passage_postgres
INSERT INTO passages (collection, tenant, request_id, chunk, embedder, dimension, vector, record_id, subject,
  conversation_id, profile, model, guard, status, created_at, start_at, end_at, text)
VALUES (:collection, :tenant, :request_id, :chunk, :embedder, :dimension, CAST(:vector AS vector), :record_id, :subject,
  :conversation_id, :profile, :model, :guard, :status, :created_at, :start_at, :end_at, :text)
ON CONFLICT (collection, tenant, request_id, chunk) DO UPDATE SET embedder = excluded.embedder,
  dimension = excluded.dimension, vector = excluded.vector, record_id = excluded.record_id, subject = excluded.subject,
  conversation_id = excluded.conversation_id, profile = excluded.profile, model = excluded.model,
  guard = excluded.guard, status = excluded.status, created_at = excluded.created_at, start_at = excluded.start_at,
  end_at = excluded.end_at, text = excluded.text

-- name: drop_passages_from
DELETE FROM passages
WHERE collection = :collection AND tenant = :tenant AND request_id = :request_id AND chunk >= :chunk

-- name: passages_block
SELECT passage, vector FROM passages
WHERE collection = :collection AND embedder = :embedder AND dimension = :dimension AND passage > :beyond
AND (CAST(:tenant AS TEXT) IS NULL OR tenant = :tenant) AND (CAST(:profile AS TEXT) IS NULL OR profile = :profile)
ORDER BY passage LIMIT :most

-- name: passage
SELECT collection, tenant, request_id, chunk, record_id, conversation_id, profile, model, guard, status, created_at,
  start_at, end_at, text
FROM passages WHERE passage = :passage

-- name: nearest_passages
-- by the index, which gives the nearest of all before they are chosen from; see exact_passages
SELECT collection, tenant, request_id, chunk, record_id, conversation_id, profile, model, guard, status, created_at,
  start_at, end_at, text, 1 - (vector <=> CAST(:vector AS vector))
FROM passages
WHERE collection = :collection AND embedder = :embedder AND dimension = :dimension
AND (CAST(:tenant AS TEXT) IS NULL OR tenant = :tenant) AND (CAST(:profile AS TEXT) IS NULL OR profile = :profile)
ORDER BY vector <=> CAST(:vector AS vector) LIMIT :most

-- name: exact_passages
-- the addition keeps the index of vectors out
SELECT collection, tenant, request_id, chunk, record_id, conversation_id, profile, model, guard, status, created_at,
  start_at, end_at, text, 1 - (vector <=> CAST(:vector AS vector))
FROM passages
WHERE collection = :collection AND embedder = :embedder AND dimension = :dimension
AND (CAST(:tenant AS TEXT) IS NULL OR tenant = :tenant) AND (CAST(:profile AS TEXT) IS NULL OR profile = :profile)
ORDER BY (vector <=> CAST(:vector AS vector)) + 0, passage LIMIT :most

-- name: embedders
SELECT embedder, dimension, count(*) FROM passages WHERE collection = :collection
GROUP BY embedder, dimension ORDER BY embedder, dimension

-- name: collections
SELECT collection, count(*) FROM passages GROUP BY collection ORDER BY collection

-- name: forget_passages
DELETE FROM passages WHERE subject = :subject OR conversation_id = :subject RETURNING passage

-- name: know_passages
SELECT to_regclass('streamweir.passages') IS NOT NULL

-- name: passages_dimension
SELECT atttypmod FROM pg_attribute WHERE attrelid = to_regclass('streamweir.passages') AND attname = 'vector'

-- name: tell_dimension
SELECT set_config('streamweir.dimension', :dimension, false)

-- name: search_on
SELECT set_config('hnsw.iterative_scan', 'strict_order', false)
FROM pg_extension WHERE extname = 'vector' AND CAST(split_part(extversion, '.', 2) AS INTEGER) >= 8

-- name: make_passages
-- the dimension of the type cannot be a parameter; hnsw indexes hold up to 2,000 numbers, beyond them searches read all rows
DO $$
DECLARE
  dimension INTEGER = CAST(current_setting('streamweir.dimension') AS INTEGER);
BEGIN
  -- neither the extension nor the table may be made twice at a time, IF NOT EXISTS or not
  PERFORM pg_advisory_xact_lock(hashtext('streamweir.passages'));
  EXECUTE 'CREATE EXTENSION IF NOT EXISTS vector WITH SCHEMA public';
  EXECUTE 'CREATE TABLE IF NOT EXISTS streamweir.passages ('
    || 'passage BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY, collection TEXT COLLATE "C" NOT NULL, '
    || 'tenant TEXT COLLATE "C" NOT NULL, request_id TEXT COLLATE "C" NOT NULL, chunk INTEGER NOT NULL, '
    || 'embedder TEXT COLLATE "C" NOT NULL, dimension INTEGER NOT NULL, vector vector(' || dimension || ') NOT NULL, '
    || 'record_id TEXT COLLATE "C" NOT NULL, subject TEXT COLLATE "C", conversation_id TEXT COLLATE "C", profile TEXT COLLATE "C", '
    || 'model TEXT NOT NULL, guard TEXT NOT NULL, status TEXT NOT NULL, created_at DOUBLE PRECISION NOT NULL, '
    || 'start_at INTEGER NOT NULL, end_at INTEGER NOT NULL, text TEXT NOT NULL, '
    || 'UNIQUE (collection, tenant, request_id, chunk))';
  IF dimension <= 2000 THEN
    EXECUTE 'CREATE INDEX IF NOT EXISTS passages_near ON streamweir.passages USING hnsw (vector vector_cosine_ops)';
  END IF;
  EXECUTE 'CREATE INDEX IF NOT EXISTS passages_scan ON streamweir.passages (collection, tenant, embedder)';
  EXECUTE 'CREATE INDEX IF NOT EXISTS passages_subject ON streamweir.passages (subject) WHERE subject IS NOT NULL';
  EXECUTE 'CREATE INDEX IF NOT EXISTS passages_conversation ON streamweir.passages (conversation_id) '
    || 'WHERE conversation_id IS NOT NULL';
END
$$
