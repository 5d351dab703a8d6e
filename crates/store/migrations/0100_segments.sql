-- What carries a network between its hosts: a VLAN of the trunk, which is the site's only one of that number, tunnels, or
-- a network card of its router. What was there before has tunnels.
ALTER TABLE networks ADD COLUMN segmentation TEXT NOT NULL DEFAULT 'vxlan';
ALTER TABLE networks ADD COLUMN vlan BIGINT;
CREATE UNIQUE INDEX networks_vlan ON networks (vlan);

-- Routers and hypervisors are told it. Their generations stay: nothing changes for what they have.
UPDATE placements SET spec = SUBSTR(spec, 1, LENGTH(spec) - 1) || ',"segment":{"vxlan":'
    || (SELECT vni FROM networks WHERE networks.id = placements.network_id) || '}}'
WHERE kind IN ('network', 'segment') AND EXISTS (SELECT 1 FROM networks WHERE networks.id = placements.network_id);
