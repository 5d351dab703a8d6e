//! The segments of this host: bridges with the metadata service on them, which the kernel keeps, and the
//! generation of each, which it has no place for.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rhyzome_component::room::unwritten;
use rhyzome_component::{Differs, DriverError};
use rhyzome_hostnet::segment::Held;
use rhyzome_hostnet::{Holder, SegmentError, Vlan, VlanError, segment, vlan};
use rhyzome_model::NetworkId;
use rhyzome_model::network::SegmentPlacement;
use rhyzome_model::placement::{
    Found, Observed, Placement, PlacementKind, PlacementRef, PlacementSpec,
};
use rhyzome_model::segment::{Segment, VlanId};

use crate::cards::Card;
use crate::instances::{Instances, from_disk};
use crate::metadata::Metadata;
use crate::record::replace;

pub struct Segments {
    pub holder: Holder,
    /// A file a segment, named by its network, with the generation that it was brought to.
    pub folder: PathBuf,
    /// The device that VLANs are on.
    pub trunk: Option<String>,
    /// Routers' VMs, which have network cards in segments.
    pub instances: Arc<Instances>,
    pub metadata: Metadata,
}

pub(crate) fn failed(error: SegmentError) -> DriverError {
    let make = if error.is_permanent() {
        DriverError::permanent
    } else {
        DriverError::transient
    };
    make("the segment is not as it should be").with_source(error)
}

fn off_the_trunk(error: VlanError) -> DriverError {
    let make = if error.is_permanent() {
        DriverError::permanent
    } else {
        DriverError::transient
    };
    make("the segment is not on the trunk").with_source(error)
}

/// The network card that a segment is of its network's router.
fn card(spec: &SegmentPlacement) -> Result<Card, DriverError> {
    let instance = spec.router.ok_or_else(|| {
        let text = "is a network card of its router, and which VM that is was not said";
        DriverError::permanent(format!("{} {text}", spec.name))
    })?;
    Ok(Card {
        network: spec.network,
        instance,
        mtu: spec.mtu,
        leaving: false,
    })
}

impl Segments {
    fn note(&self, network: NetworkId) -> PathBuf {
        self.folder.join(network.to_string())
    }

    /// 0 where it is not known.
    fn generation(&self, network: NetworkId) -> u64 {
        let text = fs::read_to_string(self.note(network)).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    pub async fn ensure(
        &self,
        placement: &Placement,
        spec: &SegmentPlacement,
    ) -> Result<Observed, DriverError> {
        let (have, asked) = (self.generation(spec.network), placement.generation);
        let held = self.held(spec.network).await?;
        if asked < have && held.is_some_and(|held| held.placement == placement.id) {
            let text = "is older than what was accepted before";
            return Err(DriverError::permanent(format!(
                "generation {asked} {text}: {have}"
            )));
        }
        segment::ensure(spec.network, placement.id, spec.mtu, self.holder)
            .await
            .map_err(failed)?;
        self.carry(spec).await?;
        self.metadata.ensure(spec.network, spec.mtu).await?;
        let write = || {
            fs::create_dir_all(&self.folder)?;
            replace(&self.note(spec.network), asked.to_string().as_bytes())
        };
        write().map_err(|error| {
            let what = "the segment's generation could not be written";
            unwritten(what, &self.folder, error)
        })?;
        Ok(Observed::Segment)
    }

    /// Puts the segment on what carries it to other hosts; tunnels have placements of their own.
    async fn carry(&self, spec: &SegmentPlacement) -> Result<(), DriverError> {
        match spec.segment {
            Segment::Vxlan(_) => Ok(()),
            Segment::Vlan(id) => {
                let vlan = self.vlan(id)?;
                let ensured = vlan::ensure(spec.network, vlan, spec.mtu, self.holder).await;
                ensured.map_err(off_the_trunk)
            }
            Segment::Port(_) => self.instances.plug(card(spec)?).await,
        }
    }

    /// What of that is not as it should be; none where nothing is.
    async fn check_carried(&self, spec: &SegmentPlacement) -> Result<Option<String>, DriverError> {
        match spec.segment {
            Segment::Vxlan(_) => Ok(None),
            Segment::Vlan(id) => {
                let checked = vlan::check(spec.network, self.vlan(id)?, spec.mtu).await;
                checked.map_err(off_the_trunk)
            }
            Segment::Port(_) => self.instances.check_card(card(spec)?).await,
        }
    }

    fn vlan(&self, id: VlanId) -> Result<Vlan<'_>, DriverError> {
        match &self.trunk {
            Some(trunk) => Ok(Vlan { trunk, id }),
            None => Err(DriverError::permanent(
                "this host has no trunk for VLANs: set trunk, and vlan in segmentation",
            )),
        }
    }

    /// Takes up what this host answered before this process.
    pub async fn take_up(&self) -> Result<(), DriverError> {
        let held = segment::list(self.holder).await.map_err(failed)?;
        self.metadata
            .take_up(held.into_iter().map(|held| held.network))
            .await;
        Ok(())
    }

    pub async fn remove(&self, network: NetworkId) -> Result<(), DriverError> {
        self.metadata.remove(network).await?;
        self.instances.unplug(network).await?;
        segment::remove(network, self.holder)
            .await
            .map_err(failed)?;
        match fs::remove_file(self.note(network)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(from_disk(
                "the segment's generation could not be removed",
                error,
            )),
            _ => Ok(()),
        }
    }

    /// What it is, where it is as its spec says.
    pub async fn look(
        &self,
        placement: &Placement,
        spec: &SegmentPlacement,
    ) -> Result<Result<Observed, Differs>, DriverError> {
        if self.generation(spec.network) != placement.generation {
            return Ok(Err(Differs::default()));
        }
        let difference = segment::check(spec.network, spec.mtu, self.holder)
            .await
            .map_err(failed)?;
        let difference = match difference {
            None => self.check_carried(spec).await?,
            some => some,
        };
        let difference = match difference {
            None => self.metadata.check(spec.network, spec.mtu).await?,
            some => some,
        };
        Ok(difference.map_or(Ok(Observed::Segment), |why| Err(Differs(why))))
    }

    pub async fn inventory(&self, accepted: &[Placement]) -> Result<Vec<Found>, DriverError> {
        let mut found = Vec::new();
        for held in segment::list(self.holder).await.map_err(failed)? {
            let spec = accepted.iter().find_map(|placement| match &placement.spec {
                PlacementSpec::Segment(spec) if placement.id == held.placement => {
                    Some((placement, spec))
                }
                _ => None,
            });
            let looked = match spec {
                Some((placement, spec)) => self.look(placement, spec).await?,
                None => Err(Differs::default()),
            };
            let (observed, differs) = match looked {
                Ok(observed) => (Some(observed), String::new()),
                Err(Differs(differs)) => (None, differs),
            };
            found.push(Found {
                placement: PlacementRef {
                    id: held.placement,
                    kind: PlacementKind::Segment,
                    resource: held.network.0,
                    network: Some(held.network),
                },
                generation: self.generation(held.network),
                observed,
                differs,
            });
        }
        Ok(found)
    }

    async fn held(&self, network: NetworkId) -> Result<Option<Held>, DriverError> {
        let held = segment::list(self.holder).await.map_err(failed)?;
        Ok(held.into_iter().find(|held| held.network == network))
    }
}
