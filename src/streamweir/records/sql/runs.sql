-- how PostgreSQL's sessions know each other; SQLite has files for it
-- name: session_clock
SELECT CAST(extract(epoch FROM clock_timestamp()) AS DOUBLE PRECISION),
  CAST(extract(epoch FROM pg_postmaster_start_time()) AS DOUBLE PRECISION)

-- name: hold_run
SELECT pg_try_advisory_lock(CAST(:number AS BIGINT))

-- name: leave_run
SELECT pg_advisory_unlock(CAST(:number AS BIGINT))

-- name: is_run_free
SELECT pg_try_advisory_xact_lock(CAST(:number AS BIGINT))
