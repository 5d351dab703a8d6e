-- The program that each component runs, as it says itself, the latest upgrade that was asked of it, and the bytes
-- that it is to fetch for that, as long as it has not ended.
ALTER TABLE components ADD COLUMN program TEXT;
ALTER TABLE components ADD COLUMN upgrade TEXT;
ALTER TABLE components ADD COLUMN upgrade_digest TEXT;
CREATE INDEX components_upgrade ON components (upgrade_digest);
