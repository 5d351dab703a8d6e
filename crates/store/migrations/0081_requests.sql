-- A request with a key is noted with what it changed, and not before: one that has no answer lost it with its core.
DELETE FROM idempotency WHERE status IS NULL AND subject IS NULL;
ALTER TABLE idempotency DROP COLUMN lost;
