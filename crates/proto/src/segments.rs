//! What carries networks, and what a host can.

use rhyzome_model::component::Trunk;
use rhyzome_model::segment::{Segment, Segmentation};

use crate::invalid::{Invalid, checked, narrow};
use crate::pb;
use crate::pb::carrier::Number;

impl From<Segment> for pb::Carrier {
    fn from(segment: Segment) -> Self {
        let number = match segment {
            Segment::Vlan(vlan) => Number::Vlan(u16::from(vlan).into()),
            Segment::Vxlan(vni) => Number::Vxlan(vni.into()),
            Segment::Port(vni) => Number::Port(vni.into()),
        };
        Self {
            number: Some(number),
        }
    }
}

impl TryFrom<pb::Carrier> for Segment {
    type Error = Invalid;

    fn try_from(carrier: pb::Carrier) -> Result<Self, Invalid> {
        let number = carrier.number.ok_or_else(|| Invalid::missing("number"))?;
        match number {
            Number::Vlan(vlan) => checked("vlan", narrow("vlan", vlan, u16::MAX)?).map(Self::Vlan),
            Number::Vxlan(vni) => checked("vxlan", vni).map(Self::Vxlan),
            Number::Port(vni) => checked("port", vni).map(Self::Port),
        }
    }
}

pub(crate) fn segmentations(all: &[Segmentation]) -> pb::Segmentations {
    let word = |one: &Segmentation| match one {
        Segmentation::Vlan => pb::Segmentation::Vlan.into(),
        Segmentation::Vxlan => pb::Segmentation::Vxlan.into(),
        Segmentation::Port => pb::Segmentation::Port.into(),
    };
    pb::Segmentations {
        all: all.iter().map(word).collect(),
    }
}

/// Those that are known here.
pub(crate) fn known(told: &pb::Segmentations) -> Vec<Segmentation> {
    let known = |value: &i32| match pb::Segmentation::try_from(*value) {
        Ok(pb::Segmentation::Vlan) => Some(Segmentation::Vlan),
        Ok(pb::Segmentation::Vxlan) => Some(Segmentation::Vxlan),
        Ok(pb::Segmentation::Port) => Some(Segmentation::Port),
        Ok(pb::Segmentation::Unspecified) | Err(_) => None,
    };
    told.all.iter().filter_map(known).collect()
}

impl From<Trunk> for pb::Trunk {
    fn from(trunk: Trunk) -> Self {
        Self {
            device: trunk.device,
            mtu: trunk.mtu.into(),
        }
    }
}

impl TryFrom<pb::Trunk> for Trunk {
    type Error = Invalid;

    fn try_from(trunk: pb::Trunk) -> Result<Self, Invalid> {
        Ok(Self {
            device: trunk.device,
            mtu: narrow("mtu", trunk.mtu, u16::MAX)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_none_is_refused_with_its_place() {
        for (number, expect) in [
            (None, "number: is missing"),
            (Some(Number::Vlan(0)), "vlan: 0 is no VLAN: 1 to 4094 are"),
            (Some(Number::Vlan(70_000)), "vlan: 70000 is more than 65535"),
            (
                Some(Number::Vxlan(1 << 24)),
                "vxlan: 16777216 is no number of a network: 1 to 16777215 are",
            ),
        ] {
            let refused = Segment::try_from(pb::Carrier { number }).unwrap_err();
            assert_eq!(refused.to_string(), expect);
        }
    }

    #[test]
    fn what_a_newer_component_can_besides_is_left_out() {
        let told = pb::Segmentations {
            all: vec![1, 99, 2],
        };
        assert_eq!(known(&told), [Segmentation::Vlan, Segmentation::Vxlan]);
    }
}
