-- What is promised on each host, kept beside it, and its share of memory that is free: the choice of a host
-- begins with the roomiest of those that are connected, and reads the others only if those will not do.
ALTER TABLE components ADD COLUMN promised_instances BIGINT NOT NULL DEFAULT 0;
ALTER TABLE components ADD COLUMN promised_cpus BIGINT NOT NULL DEFAULT 0;
ALTER TABLE components ADD COLUMN promised_memory BIGINT NOT NULL DEFAULT 0;
UPDATE components SET
    promised_instances = (SELECT COUNT(*) FROM instances i WHERE i.component_id = components.id),
    promised_cpus = (SELECT CAST(COALESCE(SUM(i.cpus), 0) AS BIGINT) FROM instances i WHERE i.component_id = components.id),
    promised_memory = (SELECT CAST(COALESCE(SUM(i.memory), 0) AS BIGINT) FROM instances i WHERE i.component_id = components.id);
CREATE INDEX components_room ON components (kind, connected DESC,
    (CAST(memory - promised_memory AS DOUBLE PRECISION) / CASE WHEN memory > 0 THEN memory ELSE 1 END) DESC, name);

DROP INDEX instances_component;
CREATE INDEX instances_component ON instances (component_id);

-- The tunnels of a network are few among the leases of its instances.
DROP INDEX placements_network;
CREATE INDEX placements_network ON placements (network_id, kind);
