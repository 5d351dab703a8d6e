-- Who joined with a token, and with which key: whoever lost the answer may ask again, and nobody else.
ALTER TABLE join_tokens ADD COLUMN component_id TEXT;
ALTER TABLE join_tokens ADD COLUMN key_fingerprint TEXT;
