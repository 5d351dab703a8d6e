-- What is promised on each host is summed over this alone, without reading the instances themselves.
DROP INDEX instances_component;
CREATE INDEX instances_component ON instances (component_id, cpus, memory);
