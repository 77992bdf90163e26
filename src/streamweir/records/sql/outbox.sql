-- name: is_due
SELECT 1 FROM outbox WHERE kind = :kind AND target = :target AND state = 'due' AND due_at <= :now LIMIT 1

-- name: is_left
SELECT 1 FROM outbox WHERE kind = :kind AND target = :target AND state = 'leased' AND leased_until <= :now LIMIT 1

-- name: take_over
UPDATE outbox SET state = 'due', leased_by = NULL, leased_until = NULL
WHERE kind = :kind AND target = :target AND state = 'leased' AND leased_until <= :now

-- name: lease_due_sqlite
UPDATE outbox SET state = 'leased', leased_by = :lease, leased_until = :until, attempts = attempts + 1
WHERE kind = :kind AND target = :target AND state = 'due' AND message_id IN
  (SELECT message_id FROM outbox WHERE kind = :kind AND target = :target AND state = 'due' AND due_at <= :now
  ORDER BY due_at, message_id LIMIT :most)

-- name: lease_due_postgres
-- what somebody else is leasing is passed over: nobody waits, and nobody holds what another waits for. The state is
-- asked again outside, for rows whose lease was committed meanwhile
UPDATE outbox SET state = 'leased', leased_by = :lease, leased_until = :until, attempts = attempts + 1
WHERE kind = :kind AND target = :target AND state = 'due' AND message_id = ANY (ARRAY(SELECT message_id FROM outbox
  WHERE kind = :kind AND target = :target AND state = 'due' AND due_at <= :now
  ORDER BY due_at, message_id LIMIT :most FOR UPDATE SKIP LOCKED))

-- name: leased_now
SELECT message_id, record_id, kind, target, subject, created_at, attempts, body, leased_by FROM outbox
WHERE kind = :kind AND target = :target AND state = 'leased' AND leased_by = :lease ORDER BY due_at, message_id

-- name: delivered
DELETE FROM outbox
WHERE message_id = :message_id AND kind = :kind AND target = :target AND state = 'leased' AND leased_by = :lease

-- name: settle_delivery
UPDATE outbox SET state = :state, due_at = :due_at, error = :error, leased_by = NULL, leased_until = NULL
WHERE message_id = :message_id AND kind = :kind AND target = :target AND state = 'leased' AND leased_by = :lease

-- name: give_back_delivery
UPDATE outbox SET state = 'due', attempts = attempts - 1, leased_by = NULL, leased_until = NULL
WHERE message_id = :message_id AND kind = :kind AND target = :target AND state = 'leased' AND leased_by = :lease

-- name: give_back_run
UPDATE outbox SET state = 'due', leased_by = NULL, leased_until = NULL
WHERE state = 'leased' AND leased_by >= :run || '.' AND leased_by < :run || '/'

-- name: disable_target
INSERT INTO disabled_targets (kind, target, disabled_at, reason) VALUES (:kind, :target, :at, :reason)
ON CONFLICT (kind, target) DO NOTHING

-- name: bury_target
UPDATE outbox SET state = 'dead', error = :reason WHERE kind = :kind AND target = :target AND state = 'due'

-- name: disabled_targets
SELECT kind, target, disabled_at, reason FROM disabled_targets ORDER BY kind, target

-- name: enable_targets
DELETE FROM disabled_targets WHERE EXISTS
  (SELECT 1 FROM outbox WHERE outbox.kind = disabled_targets.kind AND outbox.target = disabled_targets.target
  AND state <> 'leased' AND (:kind = '' OR outbox.kind = :kind) AND (:target = '' OR outbox.target = :target)
  AND (:state = '' OR state = :state) AND (:id = '' OR message_id = :id OR record_id = :id))

-- name: enable_target
DELETE FROM disabled_targets WHERE (:kind = '' OR kind = :kind) AND target = :target

-- name: deliveries
-- an empty filter is none; leased ones are on their way, and left alone by what changes anything
SELECT message_id, record_id, kind, target, state, attempts, created_at, due_at, leased_until, error FROM outbox
WHERE (:kind = '' OR kind = :kind) AND (:target = '' OR target = :target) AND (:state = '' OR state = :state)
AND (:id = '' OR message_id = :id OR record_id = :id) ORDER BY created_at, message_id, target LIMIT :most

-- name: count_deliveries
SELECT count(*) FROM outbox WHERE state <> 'leased' AND (:kind = '' OR kind = :kind)
AND (:target = '' OR target = :target) AND (:state = '' OR state = :state)
AND (:id = '' OR message_id = :id OR record_id = :id)

-- name: retry_deliveries
UPDATE outbox SET state = 'due', due_at = :now, attempts = 0 WHERE state <> 'leased' AND (:kind = '' OR kind = :kind)
AND (:target = '' OR target = :target) AND (:state = '' OR state = :state)
AND (:id = '' OR message_id = :id OR record_id = :id)

-- name: drop_deliveries
DELETE FROM outbox WHERE state <> 'leased' AND (:kind = '' OR kind = :kind)
AND (:target = '' OR target = :target) AND (:state = '' OR state = :state)
AND (:id = '' OR message_id = :id OR record_id = :id)

-- name: drop_dead
DELETE FROM outbox WHERE (state = 'dead' AND created_at < :before) OR (state = 'due' AND created_at < :unclaimed)
