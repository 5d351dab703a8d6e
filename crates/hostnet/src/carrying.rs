//! How a host carries networks, as its operator wrote it, and what of that its kernel can.

use rhyzome_model::component::{HostFacts, Trunk};
use rhyzome_model::segment::Segmentation;

use crate::link::NAME_MAX;
use crate::vlan;

/// What is written under `segmentation` and `trunk`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Carrying {
    /// The preferred one first.
    pub segmentations: Vec<Segmentation>,
    /// The device that VLANs are on.
    pub trunk: Option<String>,
}

impl Default for Carrying {
    fn default() -> Self {
        Self {
            segmentations: vec![Segmentation::default()],
            trunk: None,
        }
    }
}

impl Carrying {
    /// What of it cannot be meant, by the key.
    pub fn flaws(&self) -> Vec<(&'static str, String)> {
        let mut flaws = Vec::new();
        let mut flaw = |key, why: &str| flaws.push((key, why.to_owned()));
        let count = |which| {
            self.segmentations
                .iter()
                .filter(|one| **one == which)
                .count()
        };
        if self.segmentations.is_empty() {
            flaw(
                "segmentation",
                "no network could be here without one: vlan or vxlan",
            );
        }
        if Segmentation::ALL.iter().any(|which| count(*which) > 1) {
            flaw("segmentation", "the same is in it twice");
        }
        if count(Segmentation::Port) > 0 {
            flaw(
                "segmentation",
                "port is for routers that are VMs: vlan and vxlan are possible here",
            );
        }
        match &self.trunk {
            None if count(Segmentation::Vlan) > 0 => {
                flaw(
                    "trunk",
                    "vlan in segmentation needs the device that VLANs are on, as eth1",
                );
            }
            Some(_) if count(Segmentation::Vlan) == 0 => {
                flaw("trunk", "it is of no use without vlan in segmentation");
            }
            Some(device) if !is_device(device) => {
                flaw(
                    "trunk",
                    "no device can have this name: 1 to 15 bytes without / and spaces",
                );
            }
            _ => {}
        }
        flaws
    }

    /// Says in the facts of a host what it can. `most`: the largest IP packet that the operator wants, in bytes.
    pub async fn tell(&self, facts: &mut HostFacts, most: u16) {
        facts.segmentations.clone_from(&self.segmentations);
        let Some(device) = &self.trunk else {
            return;
        };
        match vlan::trunk(device).await {
            Ok(trunk) => {
                let mtu = trunk.mtu.min(most);
                let said = format!("on {device}, MTU {mtu}");
                facts.details.insert("vlan".to_owned(), said);
                facts.trunk = Some(Trunk { mtu, ..trunk });
            }
            Err(error) => {
                tracing::error!(
                    trunk = device,
                    error = &error as &dyn std::error::Error,
                    "no VLANs can be here"
                );
                facts.segmentations.retain(|one| *one != Segmentation::Vlan);
                facts
                    .details
                    .insert("vlan".to_owned(), format!("none: {error}"));
                if facts.segmentations.is_empty() {
                    facts
                        .details
                        .insert("segmentation".to_owned(), error.to_string());
                }
            }
        }
    }
}

/// Whether a network device can have the name (the kernel's `dev_valid_name`).
fn is_device(name: &str) -> bool {
    let odd = |c: char| c == '/' || c == ':' || c.is_whitespace() || c.is_control();
    !matches!(name, "" | "." | "..") && name.len() <= NAME_MAX && !name.contains(odd)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(segmentations: &[Segmentation], trunk: Option<&str>, expect: &[&str]) {
        let carrying = Carrying {
            segmentations: segmentations.to_vec(),
            trunk: trunk.map(str::to_owned),
        };
        let keys: Vec<&str> = carrying.flaws().iter().map(|(key, _)| *key).collect();
        assert_eq!(keys, expect, "{carrying:?}");
    }

    #[test]
    fn what_cannot_be_meant_is_told_by_its_key() {
        use Segmentation::{Port, Vlan, Vxlan};
        check(&[Vxlan], None, &[]);
        check(&[Vlan, Vxlan], Some("eth1"), &[]);
        check(&[], None, &["segmentation"]);
        check(&[Vxlan, Vxlan], None, &["segmentation"]);
        check(&[Port], None, &["segmentation"]);
        check(&[Vlan], None, &["trunk"]);
        check(&[Vxlan], Some("eth1"), &["trunk"]);
        for odd in ["", "a/b", "a device of 17 b", "eth1 "] {
            check(&[Vlan], Some(odd), &["trunk"]);
        }
    }
}
