-- name: see_run
INSERT INTO runs (run, began_at, seen_at) VALUES (:run, :at, :at)
ON CONFLICT (run) DO UPDATE SET seen_at = excluded.seen_at

-- name: end_run
DELETE FROM runs WHERE run = :run AND NOT EXISTS (SELECT 1 FROM open_streams WHERE open_streams.run = :run)

-- name: other_runs
SELECT run, seen_at FROM runs WHERE run <> :run ORDER BY run

-- name: open_stream
INSERT INTO open_streams (record_id, run, opened_at, body) VALUES (:record_id, :run, :opened_at, :body)

-- name: streams_of_run
SELECT record_id, opened_at, body FROM open_streams WHERE run = :run ORDER BY opened_at, record_id LIMIT :most

-- name: forget_open
DELETE FROM open_streams WHERE record_id IN :values RETURNING record_id

-- name: leaves_of
SELECT record_id, leaf FROM records WHERE record_id IN :values

-- name: tree
SELECT size, frontier FROM tree WHERE one = 1

-- name: grow_tree
UPDATE tree SET size = :size, frontier = :frontier WHERE one = 1

-- name: append
INSERT INTO records (position, record_id, kind, closed_at, leaf, nonce, body)
VALUES (:position, :record_id, :kind, :closed_at, :leaf, :nonce, :body)

-- name: keep_text
INSERT INTO texts (record_id, subject, salt, text) VALUES (:record_id, :subject, :salt, :text)

-- name: enqueue
INSERT INTO outbox (message_id, record_id, kind, target, subject, created_at, due_at, body)
SELECT :message_id, :record_id, :kind, :target, :subject, :created_at, :due_at, :body
WHERE NOT EXISTS (SELECT 1 FROM disabled_targets WHERE kind = :kind AND target = :target)
