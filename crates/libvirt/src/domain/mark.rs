//! The mark that a domain carries in its metadata: what it is and what it was made from.

use quick_xml::Reader;
use quick_xml::events::Event;
use rhyzome_guest::documents;
use rhyzome_model::instance::InstancePlacement;
use rhyzome_model::{Digest, PlacementId};

use super::has_seed;

/// The XML namespace of the mark's element.
pub const NAMESPACE: &str = "urn:rhyzome:libvirt:1";

/// What says that a domain is ours, and which placement's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainMark {
    /// Which component made it: two may share one libvirt.
    pub component: String,
    pub placement: PlacementId,
    /// The generation that it was last brought to.
    pub generation: u64,
    /// [`spec_hash`] of what it was started with.
    pub spec: Digest,
}

/// A hash over what cannot be changed while a guest runs: where it differs, a restart is needed.
///
/// What a seed disk says counts as far as cloud-init reads it at each start: its network configuration is
/// read at the first one alone, so a restart would not bring it.
pub fn spec_hash(spec: &InstancePlacement) -> Digest {
    let mut fixed = serde_json::json!({
        "cpus": spec.cpus,
        "memory": spec.memory,
        "image": spec.image,
        "initrd": spec.initrd,
        "command_line": spec.command_line,
        "interfaces": spec.interfaces.iter()
            .map(|interface| (interface.network, interface.mac, interface.mtu))
            .collect::<Vec<_>>(),
    });
    // A kernel's hash stays what it was before there was firmware: its guest needs no restart.
    if let Some(firmware) = spec.disk.and_then(|disk| disk.firmware) {
        fixed["firmware"] = firmware.as_str().into();
    }
    if has_seed(spec) {
        let told = [
            documents::meta_data(spec),
            documents::user_data(spec).to_owned(),
        ];
        fixed["seed"] = told
            .map(|text| Digest::of(text.as_bytes()).to_string())
            .to_vec()
            .into();
    }
    Digest::of(fixed.to_string().as_bytes())
}

impl DomainMark {
    /// The element alone, as `virDomainSetMetadata` takes it: libvirt adds the prefix.
    pub fn to_element(&self) -> String {
        let mut writer = quick_xml::Writer::new(Vec::new());
        writer
            .create_element("placement")
            .with_attributes(
                self.attributes()
                    .iter()
                    .map(|(key, value)| (*key, value.as_str())),
            )
            .write_empty()
            .expect("writing to memory does not fail");
        String::from_utf8(writer.into_inner()).expect("what was written is text")
    }

    pub(super) fn attributes(&self) -> [(&'static str, String); 4] {
        [
            ("component", self.component.clone()),
            ("id", self.placement.to_string()),
            ("generation", self.generation.to_string()),
            ("spec", self.spec.to_string()),
        ]
    }

    /// Reads the element that `virDomainGetMetadata` returns; none where it is not one of ours.
    pub fn parse(element: &str) -> Option<Self> {
        let mut reader = Reader::from_str(element);
        loop {
            let element = match reader.read_event().ok()? {
                Event::Start(element) | Event::Empty(element) => element,
                Event::Eof => return None,
                _ => continue,
            };
            if element.local_name().as_ref() != "placement" {
                return None;
            }
            let attribute = |name: &str| {
                let attribute = element.try_get_attribute(name).ok()??;
                Some(attribute.value.into_owned())
            };
            return Some(Self {
                component: attribute("component")?,
                placement: attribute("id")?.parse().ok()?,
                generation: attribute("generation")?.parse().ok()?,
                spec: attribute("spec")?.parse().ok()?,
            });
        }
    }
}
