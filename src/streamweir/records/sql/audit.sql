-- name: log_rows
SELECT position, record_id, kind, leaf, nonce, body FROM records WHERE position >= :first ORDER BY position LIMIT :most

-- name: signed_rows
SELECT position, record_id, kind, leaf, nonce, body FROM records WHERE position >= :first AND kind <> 'stream'
ORDER BY position LIMIT :most

-- name: log_row
SELECT position, record_id, kind, leaf, nonce, body FROM records WHERE record_id = :record_id

-- name: newest_rows
SELECT position, record_id, kind, leaf, nonce, body FROM records ORDER BY position DESC LIMIT :most

-- name: log_leaves
SELECT position, leaf FROM records WHERE position >= :first AND position < :last ORDER BY position LIMIT :most

-- name: checkpoints_behind
SELECT size, note FROM checkpoints WHERE size > :size ORDER BY size LIMIT :most

-- name: newest_checkpoint
SELECT size, made_at, note FROM checkpoints ORDER BY size DESC LIMIT 1

-- name: keep_checkpoint
INSERT INTO checkpoints (size, made_at, note) VALUES (:size, :made_at, :note)
ON CONFLICT (size) DO UPDATE SET made_at = excluded.made_at, note = excluded.note

-- name: checkpoint_of
SELECT note FROM checkpoints WHERE size = :size

-- name: enqueue_once
INSERT INTO outbox (message_id, record_id, kind, target, subject, created_at, due_at, body)
SELECT :message_id, :record_id, :kind, :target, :subject, :created_at, :due_at, :body
WHERE NOT EXISTS (SELECT 1 FROM disabled_targets WHERE kind = :kind AND target = :target)
ON CONFLICT (message_id, kind, target) DO NOTHING

-- name: kept_text
SELECT subject, salt, text FROM texts WHERE record_id = :record_id

-- name: oldest_bodies
-- the order of positions is nearly that of time: only the oldest are looked at, not all that is kept
SELECT position, record_id, closed_at FROM records
WHERE position >= :first AND kind = 'stream' AND body IS NOT NULL ORDER BY position LIMIT :most

-- name: purge_texts
DELETE FROM texts WHERE record_id IN (SELECT record_id FROM records WHERE position >= :first AND position <= :last)
RETURNING record_id

-- name: purge_bodies
UPDATE records SET nonce = NULL, body = NULL WHERE position >= :first AND position <= :last

-- name: records_of_subject
SELECT record_id FROM texts WHERE subject = :subject UNION SELECT record_id FROM outbox WHERE subject = :subject

-- name: bodies_with_more
-- those with a text, or with something that is to be delivered yet
SELECT record_id, body FROM records
WHERE record_id > :behind AND body IS NOT NULL
  AND (EXISTS (SELECT 1 FROM texts WHERE texts.record_id = records.record_id)
    OR EXISTS (SELECT 1 FROM outbox WHERE outbox.record_id = records.record_id))
ORDER BY record_id LIMIT :most

-- name: forget_text
DELETE FROM texts WHERE record_id = :record_id RETURNING record_id

-- name: forget_deliveries
DELETE FROM outbox WHERE record_id = :record_id RETURNING message_id
