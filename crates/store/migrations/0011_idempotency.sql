-- What a request with a key changed, written in the transaction that changed it: whoever repeats it after
-- a crash gets the answer from this.
ALTER TABLE idempotency ADD COLUMN subject TEXT;
ALTER TABLE idempotency ADD COLUMN lost BIGINT NOT NULL DEFAULT 0;
