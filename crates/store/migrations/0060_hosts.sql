-- A network's number on the wire between hosts (VXLAN, 24 bits), unique in the site. Networks that are
-- there get the first ones in the order of their ids; new ones follow from the seed, from 4096 on.
ALTER TABLE networks ADD COLUMN vni BIGINT NOT NULL DEFAULT 0;
UPDATE networks SET vni = (SELECT COUNT(*) FROM networks other WHERE other.id <= networks.id);
CREATE UNIQUE INDEX networks_vni ON networks (vni);

-- The groups that an instance is placed by; '' where it has none.
ALTER TABLE instances ADD COLUMN affinity TEXT NOT NULL DEFAULT '';
ALTER TABLE instances ADD COLUMN anti_affinity TEXT NOT NULL DEFAULT '';
CREATE INDEX instances_affinity ON instances (project_id, affinity);
CREATE INDEX instances_anti_affinity ON instances (project_id, anti_affinity);
