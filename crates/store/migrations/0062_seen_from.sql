-- The address that a component's latest session came from.
ALTER TABLE components ADD COLUMN seen_from TEXT;
