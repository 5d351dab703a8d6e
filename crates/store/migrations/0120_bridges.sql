-- Interfaces of instances on bridges of their hosts' own: no two interfaces of the site have one Ethernet address.
CREATE TABLE bridge_interfaces (
    instance_id TEXT NOT NULL REFERENCES instances (id),
    mac TEXT NOT NULL UNIQUE
);
CREATE INDEX bridge_interfaces_instance ON bridge_interfaces (instance_id);
