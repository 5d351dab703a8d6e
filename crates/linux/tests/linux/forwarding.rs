//! What else the host forwards while a network has egress.

use std::net::SocketAddr;

use rhyzome_component::Driver;
use rhyzome_hostnet::{Mark, nft, sysctl};
use rhyzome_model::placement::Placement;

use crate::client::{Server, comes_to_connect, connects};
use crate::neighbour::{beside, route};
use crate::reach::{lan, outside, world};
use crate::site::{Site, on_a_site};
use crate::world::Place;

const SWITCH: &str = "net/ipv4/ip_forward";

/// Two links of the host's that have nothing to do with each other; who is behind the first one takes
/// the host for a router.
struct Strangers {
    first: Place,
    _second: Place,
    _server: Server,
}

impl Strangers {
    async fn new() -> Self {
        let first = beside("first", "one0", ["203.0.113.1/24", "203.0.113.2/24"]).await;
        let second = beside("second", "two0", ["198.51.100.1/24", "198.51.100.2/24"]).await;
        first
            .run(|| route("eth0", "198.51.100.0/24", "203.0.113.1"))
            .await;
        second
            .run(|| route("eth0", "203.0.113.0/24", "198.51.100.1"))
            .await;
        let server = Server::in_place(&second, 80).await;
        Self {
            first,
            _second: second,
            _server: server,
        }
    }

    async fn meet(&self) -> bool {
        connects(&self.first, Self::second()).await
    }

    /// The same where they have to.
    async fn come_to_meet(&self) -> bool {
        comes_to_connect(&self.first, Self::second()).await
    }

    fn second() -> SocketAddr {
        "198.51.100.2:80".parse().unwrap()
    }
}

async fn is_whole(site: &Site, placement: &Placement) -> bool {
    site.driver.look(placement).await.unwrap().is_ok()
}

/// Takes all rules for what is forwarded out of a component's table on the host.
async fn flush_forward(site: &Site) {
    let table = format!("rhyzome_{}", Mark::of_state_dir(site.state.path()));
    let chain = serde_json::json!({ "family": "inet", "table": table, "name": "forward" });
    nft::apply(vec![serde_json::json!({ "flush": { "chain": chain } })])
        .await
        .unwrap();
}

#[test]
fn egress_makes_no_router_of_a_host_that_was_none() {
    on_a_site(|site| async move {
        sysctl::ensure(SWITCH, "0").unwrap();
        let _world = world().await;
        let strangers = Strangers::new().await;
        let one = lan(&site, 1, true).await;
        assert!(comes_to_connect(&one.instance, outside()).await, "egress");
        assert!(!strangers.meet().await);
        // What holds them back is looked after like the rest.
        flush_forward(&site).await;
        assert!(
            strangers.come_to_meet().await,
            "nothing else holds them back"
        );
        assert!(!is_whole(&site, &one.placement).await);
        site.ensure(&one.placement).await.unwrap();
        assert!(is_whole(&site, &one.placement).await);
        assert!(!strangers.meet().await, "back");
        // Another component finds the switch on, and knows that it was off.
        let other = Site::new();
        let two = lan(&other, 2, true).await;
        for lan in [&one, &two] {
            assert!(
                comes_to_connect(&lan.instance, outside()).await,
                "egress of both"
            );
        }
        rhyzome_linux::down(site.state.path()).await.unwrap();
        assert!(
            comes_to_connect(&two.instance, outside()).await,
            "the other goes on"
        );
        assert!(!strangers.meet().await, "and is no router either");
        rhyzome_linux::down(other.state.path()).await.unwrap();
        assert_eq!(sysctl::read(SWITCH).unwrap().unwrap(), "0");
        assert_eq!(nft::tables().await.unwrap(), []);
    });
}

#[test]
fn a_host_that_was_a_router_stays_one() {
    on_a_site(|site| async move {
        sysctl::ensure(SWITCH, "1").unwrap();
        let _world = world().await;
        let strangers = Strangers::new().await;
        assert!(strangers.come_to_meet().await, "before");
        let one = lan(&site, 1, true).await;
        assert!(comes_to_connect(&one.instance, outside()).await, "egress");
        assert!(strangers.come_to_meet().await, "during");
        assert!(is_whole(&site, &one.placement).await);
        site.remove(&one.placement).await;
        assert!(strangers.come_to_meet().await, "afterwards");
        assert_eq!(sysctl::read(SWITCH).unwrap().unwrap(), "1");
    });
}
