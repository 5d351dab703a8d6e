//! Names and places of one network on this host: all follow from its id and the component's mark.

use std::path::{Path, PathBuf};

use rhyzome_hostnet::segment::{Holder, Role};
use rhyzome_hostnet::{Mark, Namespace};
use rhyzome_model::network::{bridge_name, router_mac};
use rhyzome_model::{NetworkId, PlacementId};
use uuid::Uuid;

/// The router's links, inside its namespace.
pub(crate) const SEGMENT_LINK: &str = "seg";
pub(crate) const UPLINK: &str = "up";
pub(crate) const TUNNEL: &str = "wg";

#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub mark: Mark,
    pub network: NetworkId,
    pub namespace: Namespace,
    /// Where its records are.
    pub folder: PathBuf,
}

/// What all networks' folders are in.
pub(crate) fn networks_dir(state_dir: &Path) -> PathBuf {
    state_dir.join("networks")
}

impl Layout {
    pub fn new(state_dir: &Path, mark: Mark, network: NetworkId) -> Self {
        let short = rhyzome_model::id::short(network.0);
        Self {
            mark,
            network,
            namespace: Namespace::named(format!("rz-{short}-{mark}")),
            folder: networks_dir(state_dir).join(short),
        }
    }

    pub fn bridge(&self) -> String {
        bridge_name(self.network)
    }

    fn link(&self, prefix: &str) -> String {
        format!("{prefix}{}", rhyzome_model::id::short(self.network.0))
    }

    /// The router's port of the bridge, on the host.
    pub fn port(&self) -> String {
        self.link("rzp")
    }

    /// The host's end of the way out.
    pub fn uplink(&self) -> String {
        self.link("rzu")
    }

    /// The MAC of the router in its segment.
    pub fn router_mac(&self) -> [u8; 6] {
        router_mac(self.network).octets()
    }

    /// The text on the host's ends of links that says whose they are.
    pub fn alias(&self) -> String {
        format!("rhyzome {} {}", self.mark, self.network)
    }

    pub fn holder(&self) -> Holder {
        holder(self.mark)
    }

    pub fn endpoint(&self) -> PathBuf {
        self.folder.join("wg")
    }
}

pub(crate) fn holder(mark: Mark) -> Holder {
    Holder {
        role: Role::Router,
        mark,
    }
}

/// Whether a namespace is a router of this component.
pub(crate) fn is_router(namespace: &Namespace, mark: Mark) -> bool {
    namespace.name().starts_with("rz-") && namespace.name().ends_with(&format!("-{mark}"))
}

/// What a router's namespace says of itself, as the alias of its loopback link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct About {
    pub network: NetworkId,
    pub placement: PlacementId,
    /// What it was last brought to; 0 while it never was.
    pub generation: u64,
}

impl About {
    pub fn text(&self) -> String {
        format!(
            "rhyzome network {} placement {} generation {}",
            self.network, self.placement, self.generation
        )
    }

    pub fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("rhyzome network ")?;
        let (network, rest) = rest.split_once(" placement ")?;
        let (placement, generation) = rest.split_once(" generation ")?;
        Some(Self {
            network: NetworkId(Uuid::try_parse(network).ok()?),
            placement: PlacementId(Uuid::try_parse(placement).ok()?),
            generation: generation.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_the_kernels_limits() {
        let mark = Mark::of_state_dir(Path::new("/var/lib/rhyzome/linux"));
        let layout = Layout::new(
            Path::new("/var/lib/rhyzome/linux"),
            mark,
            NetworkId(Uuid::max()),
        );
        assert!(layout.port().len() <= 15 && layout.uplink().len() <= 15);
        assert!(is_router(&layout.namespace, mark));
        assert!(!is_router(
            &layout.namespace,
            Mark::of_state_dir(Path::new("/elsewhere"))
        ));
        // Room for the endpoint's sockets (unix(7): 107 bytes).
        assert!(layout.endpoint().join("control.sock").as_os_str().len() < 80);
    }

    #[test]
    fn what_a_namespace_says_of_itself_can_be_read_back() {
        let about = About {
            network: NetworkId(Uuid::max()),
            placement: PlacementId(Uuid::nil()),
            generation: 7,
        };
        assert_eq!(About::parse(&about.text()), Some(about));
        assert_eq!(
            About::parse("rhyzome network x placement y generation z"),
            None
        );
    }
}
