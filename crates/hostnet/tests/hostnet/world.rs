//! Hosts and instances of a test: a network namespace each, gone at its end however it ends.

use std::future::Future;

use ipnet::IpNet;
use rhyzome_hostnet::link::Change;
use rhyzome_hostnet::{Links, Namespace, sysctl};
use uuid::Uuid;

/// A namespace of its own, deleted when dropped.
pub struct Place(pub Namespace);

impl Place {
    pub async fn new(what: &str) -> Self {
        let place = Self(Namespace::named(format!(
            "rztest-{what}-{}",
            &Uuid::new_v4().simple().to_string()[..12]
        )));
        place.0.ensure().await.unwrap();
        place
            .run(|| async {
                up("lo").await;
                sysctl::ensure("net/ipv6/conf/default/accept_dad", "0").unwrap();
            })
            .await;
        place
    }

    pub async fn run<T, F, Fut>(&self, work: F) -> T
    where
        T: Send + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = T>,
    {
        self.0.run(work).await.unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.delete().unwrap();
    }
}

/// Runs a test in a host of its own.
pub fn on_a_host<F, Fut>(work: F)
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let host = Place::new("host").await;
        host.run(work).await;
    });
}

/// Takes a link of the calling thread's namespace into use, and gives its index.
pub async fn up(link: &str) -> (Links, u32) {
    let links = Links::open().unwrap();
    let index = links.find(link).await.unwrap().unwrap().index;
    let up = Change {
        up: Some(true),
        ..Change::default()
    };
    links.change(index, up).await.unwrap();
    (links, index)
}

/// Plugs an instance into a bridge of the calling thread's namespace: a link of that name there, `eth0`
/// with the MAC and the addresses in the instance.
pub async fn plug(instance: &Place, bridge: &str, tap: &str, mac: [u8; 6], addresses: Vec<IpNet>) {
    plug_into(&instance.0, bridge, tap, mac, addresses).await;
}

/// The same with an instance that is made elsewhere.
pub async fn plug_into(
    instance: &Namespace,
    bridge: &str,
    tap: &str,
    mac: [u8; 6],
    addresses: Vec<IpNet>,
) {
    let links = Links::open().unwrap();
    links.add_veth(tap, "eth0").await.unwrap();
    let eth0 = links.find("eth0").await.unwrap().unwrap();
    let namespace = std::fs::File::open(instance.path()).unwrap();
    links
        .change(
            eth0.index,
            Change {
                mac: Some(mac),
                namespace: Some(&namespace),
                ..Change::default()
            },
        )
        .await
        .unwrap();
    let bridge = links.find(bridge).await.unwrap().unwrap();
    let tap = links.find(tap).await.unwrap().unwrap();
    let plugged = Change {
        up: Some(true),
        controller: Some(bridge.index),
        ..Change::default()
    };
    links.change(tap.index, plugged).await.unwrap();
    instance
        .run(move || async move {
            let (links, eth0) = up("eth0").await;
            links.ensure_addresses(eth0, &addresses).await.unwrap();
        })
        .await
        .unwrap();
}
