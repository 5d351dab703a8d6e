-- When it was noticed that a component is silent for too long; nothing once it was heard of again.
ALTER TABLE components ADD COLUMN gone_at BIGINT;
