//! The driver of the router that the program runs on, as its configuration says.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use rhyzome_component::surroundings::Names;
use rhyzome_component::{CoreUrl, Link};
use rhyzome_model::segment::Segmentation;

use super::configuration::{Configuration, Nic};
use crate::{Confirm, Router, Settings, System, Times, Trunk};

/// How often it is looked whether there is a way to the core.
const LOOK: Duration = Duration::from_secs(2);
/// How long a connection to the core may take, before a change and after it.
const REACHED_WITHIN: Duration = Duration::from_secs(10);

/// What the driver is set up with. The address from which the core is reached is waited for where it is needed: where
/// tunnels end, and where members reach the router, unless these are configured.
pub(super) async fn settings(
    configuration: Configuration,
    root: &Path,
    state_dir: &Path,
    link: Arc<Link>,
    names: &dyn Names,
) -> Settings {
    let carries = |one| configuration.segmentation.is_none_or(|only| only == one);
    // Nothing but being asked for says that this machine can have them.
    let ports = configuration.segmentation == Some(Segmentation::Port);
    let tunnels = carries(Segmentation::Vxlan) && configuration.tunnel_address.is_none();
    let own = match tunnels || configuration.public_address.is_none() {
        true => Some(towards(link.core(), names).await),
        false => None,
    };
    let end = configuration.tunnel_address.or(own.filter(|_| tunnels));
    let trunk = configuration.trunk.filter(|_| carries(Segmentation::Vlan));
    Settings {
        system: System::new(root, Vec::new()),
        state_dir: state_dir.to_owned(),
        router: Router {
            trunk: trunk.map(Nic::into_trunk),
            tunnel: end.map(|address| (address, configuration.tunnel_port)),
            ports,
            uplink_zone: configuration.uplink_zone,
        },
        public_address: configuration
            .public_address
            .or(own.map(|address| address.to_string())),
        endpoint_ports: configuration.endpoint_ports,
        mtu: configuration.mtu,
        confirm: Some(Arc::new(Reached(link))),
        times: Times::default(),
    }
}

impl Nic {
    fn into_trunk(self) -> Trunk {
        let Self { device, ports, .. } = self;
        match ports.is_empty() {
            true => Trunk::Device(device),
            false => Trunk::Bridge { device, ports },
        }
    }
}

/// The address from which the core is reached. Until there is a way to it, what was made before goes on: it is in the
/// router's own configuration.
async fn towards(core: &CoreUrl, names: &dyn Names) -> IpAddr {
    let mut said = false;
    loop {
        let error = match own_address(core, names).await {
            Ok(address) => return address,
            Err(error) => error,
        };
        if !said {
            tracing::warn!(
                %error,
                "there is no way to the core yet, and so no address for tunnels and members; options tunnel_address and \
                 public_address would say them"
            );
            said = true;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn own_address(core: &CoreUrl, names: &dyn Names) -> io::Result<IpAddr> {
    let mut last = io::ErrorKind::AddrNotAvailable.into();
    for there in core.addresses(names).await? {
        match source(there) {
            Ok(address) => return Ok(address),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// Sends nothing: the kernel chooses the way when it is told where to.
fn source(there: SocketAddr) -> io::Result<IpAddr> {
    let any: SocketAddr = match there {
        SocketAddr::V4(_) => ([0; 4], 0).into(),
        SocketAddr::V6(_) => ([0; 16], 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(there)?;
    Ok(socket.local_addr()?.ip())
}

/// Whether the core can be reached now.
struct Reached(Arc<Link>);

#[async_trait]
impl Confirm for Reached {
    async fn core_is_reached(&self) -> bool {
        let reached = tokio::time::timeout(REACHED_WITHIN, self.0.connect()).await;
        matches!(reached, Ok(Ok(_)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Nobody;

    #[async_trait]
    impl Names for Nobody {
        async fn addresses(&self, _host: &str) -> io::Result<Vec<IpAddr>> {
            Err(io::ErrorKind::NotFound.into())
        }
    }

    #[tokio::test]
    async fn tunnels_end_where_the_core_is_reached_from() {
        let core: CoreUrl = "https://127.0.0.1:7443".parse().unwrap();
        assert_eq!(towards(&core, &Nobody).await, IpAddr::from([127, 0, 0, 1]));
        let core: CoreUrl = "https://nobody.example:7443".parse().unwrap();
        let error = own_address(&core, &Nobody).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_trunk_is_a_device_or_ports_of_a_bridge() {
        let nic = |ports: &[&str]| Nic {
            device: "eth1".to_owned(),
            mac: None,
            ports: ports.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(nic(&[]).into_trunk(), Trunk::Device("eth1".to_owned()));
        let bridge = Trunk::Bridge {
            device: "eth1".to_owned(),
            ports: vec!["lan1".to_owned()],
        };
        assert_eq!(nic(&["lan1"]).into_trunk(), bridge);
    }
}
