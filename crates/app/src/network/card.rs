//! Networks that are network cards of their router, which is a VM on the only hypervisor that they come to.

use rhyzome_model::resource::Component;
use rhyzome_model::{ComponentId, InstanceId};
use rhyzome_store::{Conn, instance, network};

use crate::Result;

/// The VM that a router is, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    pub instance: InstanceId,
    pub host: ComponentId,
}

/// The VM that a router says it is. An instance that is called otherwise is not believed to be it: a router that was taken
/// over could have network cards put into anybody's.
pub(crate) async fn machine(conn: &mut Conn, router: &Component) -> Result<Option<Machine>> {
    let Some(id) = router.facts.machine else {
        return Ok(None);
    };
    let found = instance::by_id(conn, InstanceId(id)).await?;
    Ok(found
        .filter(|row| row.meta.name == router.meta.name && !row.deleting)
        .map(|row| Machine {
            instance: row.id,
            host: row.host,
        }))
}

/// Why a router cannot have another network card.
pub(super) async fn unfit(conn: &mut Conn, router: &Component) -> Result<Option<String>> {
    if machine(conn, router).await?.is_none() {
        let name = &router.meta.name;
        let why = format!(
            "its networks are network cards of a VM, and no instance {name} is known to be that: \
             make it with `rhyzome openwrt create {name}`, or choose vlan or vxlan in its configuration"
        );
        return Ok(Some(why));
    }
    let most = router.facts.ports.unwrap_or(0);
    let used = network::ports_of(conn, ComponentId(router.meta.id)).await?;
    Ok((used >= i64::from(most)).then(|| {
        format!("has all {most} of its network cards for networks in use; a VM gets more when it is made anew")
    }))
}
