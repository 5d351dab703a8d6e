//! Networks that are network cards of their router, which is a VM on the only hypervisor that they come to.

use rhyzome_model::component::ComponentKind;
use rhyzome_model::resource::Component;
use rhyzome_model::{ComponentId, InstanceId};
use rhyzome_store::instance::Instance;
use rhyzome_store::{Conn, component, instance, network};

use crate::{Error, Kind, Result};

/// The VM that a router is, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    pub instance: InstanceId,
    pub host: ComponentId,
    /// How many network cards it can have for networks.
    slots: u32,
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
            slots: row.spec.card_slots,
        }))
}

/// Why a router cannot have another network card.
pub(super) async fn unfit(conn: &mut Conn, router: &Component) -> Result<Option<String>> {
    let name = &router.meta.name;
    let Some(Machine { slots, .. }) = machine(conn, router).await? else {
        let why = format!(
            "its networks are network cards of a VM, and no instance {name} is known to be that: \
             make it with `rhyzome openwrt create {name}`, or choose vlan or vxlan in its configuration"
        );
        return Ok(Some(why));
    };
    let used = network::ports_of(conn, ComponentId(router.meta.id)).await?;
    Ok((used >= i64::from(slots)).then(|| match slots {
        0 => format!(
            "the instance {name} was made without slots for network cards of networks: \
             make it anew with `rhyzome openwrt create {name} --segmentation port`"
        ),
        _ => format!(
            "networks are network cards of {name}, which was made with slots for {slots} of them, and all are used: \
             delete one, make another router, or make this one anew with more `--card-slots`"
        ),
    }))
}

/// Refuses to delete a VM whose network cards are networks.
pub(crate) async fn refuse_in_use(conn: &mut Conn, found: &Instance) -> Result<()> {
    let mut routers = component::of_kind(conn, ComponentKind::Openwrt).await?;
    routers.extend(component::of_kind(conn, ComponentKind::Linux).await?);
    for router in routers {
        let is_it = machine(conn, &router)
            .await?
            .is_some_and(|machine| machine.instance == found.id);
        if !is_it {
            continue;
        }
        let used = network::ports_of(conn, ComponentId(router.meta.id)).await?;
        if used > 0 {
            let name = &router.meta.name;
            let why = format!(
                "networks are network cards of {name} and would go with it, {used} in all: delete them first; \
                 `rhyzome network list --project …` says which they are"
            );
            return Err(Error::new(Kind::InUse, why));
        }
    }
    Ok(())
}
