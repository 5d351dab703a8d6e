//! Peers through real WireGuard: a member's tunnel from elsewhere to an instance.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::future::join_all;
use futures::poll;
use rhyzome_component::Driver;
use rhyzome_hostnet::nft::{self, counted, is, meta, payload};
use rhyzome_model::PeerId;
use rhyzome_model::job::FailureKind;
use rhyzome_model::network::NetworkPlacement;
use rhyzome_model::peer::PeerPlacement;
use rhyzome_model::placement::{Observed, Placement, PlacementSpec};
use rhyzome_wireguard::config::{ClientConfig, HostPort, PeerConfig};
use rhyzome_wireguard::endpoint::Control;
use rhyzome_wireguard::key::PrivateKey;
use rhyzome_wireguard::tunnel::Tunnel;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use uuid::Uuid;

use crate::client::{GREETING, Server, configure};
use crate::counted::Counted;
use crate::neighbour::neighbour;
use crate::site::{Site, instance, lease, network, on_a_site, placed};
use crate::world::Place;

/// A member's device, next to the host as 192.0.2.2.
struct Member {
    place: Place,
    key: PrivateKey,
    placement: Placement,
    spec: PeerPlacement,
}

async fn member(network: &NetworkPlacement) -> Member {
    let place = neighbour("member").await;
    let key = PrivateKey::generate(&mut rand::rng());
    let spec = peer(network, &key, 9);
    Member {
        place,
        key,
        placement: placed(PlacementSpec::Peer(spec.clone())),
        spec,
    }
}

pub fn peer(network: &NetworkPlacement, key: &PrivateKey, number: u8) -> PeerPlacement {
    PeerPlacement {
        peer: PeerId(Uuid::new_v4()),
        network: network.network,
        public_key: key.public_key().to_string(),
        ipv4: [10, 200, 0, number].into(),
        ipv6: format!("fd00:1:2:ffff::{number:x}").parse().unwrap(),
    }
}

impl Member {
    /// The first bytes of an answer to a question over TCP, through the endpoint of a network.
    async fn ask(
        &self,
        network: &NetworkPlacement,
        endpoint_key: &str,
        to: SocketAddr,
        question: &'static [u8],
        size: usize,
    ) -> Option<Vec<u8>> {
        let config = ClientConfig {
            private_key: self.key.clone(),
            addresses: vec![
                format!("{}/32", self.spec.ipv4).parse().unwrap(),
                format!("{}/128", self.spec.ipv6).parse().unwrap(),
            ],
            dns: Vec::new(),
            search: Vec::new(),
            mtu: Some(1370),
            peers: vec![PeerConfig {
                public_key: endpoint_key.parse().unwrap(),
                preshared_key: None,
                endpoint: HostPort::new("192.0.2.1", network.endpoint_port).unwrap(),
                // Whatever the core said: a stranger sends everything.
                allowed_ips: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
                keepalive: None,
            }],
        };
        let work = move || async move {
            let tunnel = Tunnel::start(&config).await.unwrap();
            let answer = async {
                let mut stream = tunnel.connect(to, Duration::from_secs(2)).await.ok()?;
                stream.write_all(question).await.ok()?;
                let mut answer = vec![0; size];
                stream.read_exact(&mut answer).await.ok()?;
                Some(answer)
            };
            let answer = tokio::time::timeout(Duration::from_secs(3), answer).await;
            tunnel.stop().await;
            answer.ok().flatten()
        };
        self.place.run(work).await
    }

    /// Whether a greeting comes through the endpoint of a network.
    async fn reaches(
        &self,
        network: &NetworkPlacement,
        endpoint_key: &str,
        to: SocketAddr,
    ) -> bool {
        let answer = self
            .ask(network, endpoint_key, to, b"", GREETING.len())
            .await;
        answer.is_some_and(|answer| answer == GREETING.as_bytes())
    }
}

async fn made(site: &Site, number: u8) -> (Placement, NetworkPlacement, String) {
    let (placement, spec) = network(number);
    let Observed::Network(observed) = site.ensure(&placement).await.unwrap() else {
        panic!("a network")
    };
    assert_eq!(observed.endpoint_kind, "userspace");
    (placement, spec, observed.endpoint_key)
}

#[test]
fn a_peer_reaches_its_network_and_no_other_until_it_is_removed() {
    on_a_site(|site| async move {
        let (_one, spec, key) = made(&site, 1).await;
        let (_two, other, other_key) = made(&site, 2).await;
        let mut instances = Vec::new();
        for network in [&spec, &other] {
            let (web, web_spec) = lease(network, 17, "web");
            site.ensure(&web).await.unwrap();
            let instance = instance(network, web_spec.mac).await;
            configure(&instance, network, &web_spec).await;
            let server = Server::in_place(&instance, 80).await;
            instances.push((instance, web_spec, server));
        }
        let (web, foreign) = (&instances[0].1, &instances[1].1);
        let member = member(&spec).await;
        assert!(
            !member.reaches(&spec, &key, (web.ipv4, 80).into()).await,
            "not yet a peer"
        );
        assert_eq!(
            site.ensure(&member.placement).await.unwrap(),
            Observed::Peer
        );
        assert!(member.reaches(&spec, &key, (web.ipv4, 80).into()).await);
        assert!(
            member.reaches(&spec, &key, (web.ipv6, 80).into()).await,
            "over IPv6"
        );
        let _own = Server::here(80).await;
        let elsewhere: [(&str, SocketAddr, &str); 7] = [
            ("another network", (foreign.ipv4, 80).into(), "from_tunnel"),
            ("and over IPv6", (foreign.ipv6, 80).into(), "from_tunnel"),
            (
                "its router",
                (other.router_ipv4(), 53).into(),
                "from_tunnel",
            ),
            ("the host", "192.0.2.1:80".parse().unwrap(), "from_tunnel"),
            ("the core", "192.0.2.2:9090".parse().unwrap(), "from_tunnel"),
            (
                "other ports of the router",
                (spec.router_ipv4(), 80).into(),
                "to_router",
            ),
            (
                "and over IPv6",
                (spec.router_ipv6(), 51821).into(),
                "to_router",
            ),
        ];
        for (what, to, counter) in elsewhere {
            let before = site.counted().await;
            assert!(!member.reaches(&spec, &key, to).await, "{what}: {to}");
            site.counted().await.rose(&before, counter, what);
        }
        assert!(
            !member
                .reaches(&other, &other_key, (foreign.ipv4, 80).into())
                .await,
            "through the other's"
        );
        assert!(site.driver.look(&member.placement).await.unwrap().is_ok());
        // Names too: over TCP, with the length before the question.
        let name = b"\x03web\x04lan1\x07default\x07rhyzome\x08internal\0\0\x01\0\x01";
        let length = (12 + name.len()) as u8;
        let head = [0, length, 7, 7, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        let question: &'static [u8] = [&head[..], name].concat().leak();
        let server = (spec.router_ipv4(), 53).into();
        let answer = member
            .ask(&spec, &key, server, question, question.len() + 16)
            .await;
        assert!(answer.expect("an answer").ends_with(&web.ipv4.octets()));
        site.remove(&member.placement).await;
        assert!(
            !member.reaches(&spec, &key, (web.ipv4, 80).into()).await,
            "removed"
        );
        assert!(site.driver.look(&member.placement).await.unwrap().is_err());
    });
}

/// The endpoint of the site's only network.
async fn endpoint(site: &Site) -> Control {
    let folder = std::fs::read_dir(site.state.path().join("networks"));
    let network = folder.unwrap().next().unwrap().unwrap().path();
    Control::connect(&network.join("wg")).await.unwrap()
}

/// Counts what comes out of the tunnel, before anything else looks at it, and what of it is from another peer's addresses.
pub async fn count_tunnelled(of_other: [IpAddr; 2]) {
    let object = |fields: Value| {
        let mut object = json!({ "family": "inet", "table": "test" });
        let fields = fields.as_object().unwrap().clone();
        object.as_object_mut().unwrap().extend(fields);
        object
    };
    let counter = |name: &str| json!({ "add": { "counter": object(json!({ "name": name })) } });
    let hook = json!({ "name": "raw", "type": "filter", "hook": "prerouting", "prio": -400, "policy": "accept" });
    let mut rules = vec![
        json!({ "add": { "table": { "family": "inet", "name": "test" } } }),
        counter("tunnelled"),
        counter("of_other"),
        json!({ "add": { "chain": object(hook) } }),
    ];
    let tunnelled = is(meta("iifname"), "wg");
    let mut add = |expressions: Value| {
        let rule = object(json!({ "chain": "raw", "expr": expressions }));
        rules.push(json!({ "add": { "rule": rule } }));
    };
    add(json!([tunnelled, counted("tunnelled")]));
    for address in of_other {
        let family = if address.is_ipv4() { "ip" } else { "ip6" };
        let is_of_other = is(payload(family, "saddr"), address.to_string());
        add(json!([tunnelled, is_of_other, counted("of_other")]));
    }
    nft::apply(rules).await.unwrap();
}

#[test]
fn what_comes_with_another_peers_address_ends_at_the_endpoint() {
    on_a_site(|site| async move {
        let (_network, spec, key) = made(&site, 1).await;
        let (web, web_spec) = lease(&spec, 17, "web");
        site.ensure(&web).await.unwrap();
        let instance = instance(&spec, web_spec.mac).await;
        configure(&instance, &spec, &web_spec).await;
        let _server = Server::in_place(&instance, 80).await;
        let mut thief = member(&spec).await;
        let other = peer(&spec, &PrivateKey::generate(&mut rand::rng()), 10);
        for placement in [
            &thief.placement,
            &placed(PlacementSpec::Peer(other.clone())),
        ] {
            site.ensure(placement).await.unwrap();
        }
        let [router] = &site.routers()[..] else {
            panic!("one router")
        };
        let of_other = [other.ipv4.into(), other.ipv6.into()];
        router.run(move || count_tunnelled(of_other)).await.unwrap();
        let tunnelled = || router.run(|| async { Counted::of("inet", "test") });
        let (four, six) = (
            SocketAddr::from((web_spec.ipv4, 80)),
            (web_spec.ipv6, 80).into(),
        );
        let none = tunnelled().await.unwrap();
        assert!(thief.reaches(&spec, &key, four).await, "as itself");
        let before = tunnelled().await.unwrap();
        before.rose(&none, "tunnelled", "what the peer sends as itself");
        let received = async || {
            let status = endpoint(&site).await.status().await.unwrap();
            let all = status.peers.iter().map(|peer| peer.rx_bytes);
            all.sum::<u64>()
        };
        for spec_of_other in [other.clone(), peer(&spec, &thief.key, 77)] {
            (thief.spec.ipv4, thief.spec.ipv6) = (spec_of_other.ipv4, spec_of_other.ipv6);
            for to in [four, six] {
                let bytes = received().await;
                assert!(!thief.reaches(&spec, &key, to).await, "{to}");
                assert!(received().await > bytes, "its packets came to the endpoint");
            }
        }
        assert_eq!(tunnelled().await.unwrap(), before, "none of them went on");
    });
}

#[test]
fn peers_survive_the_death_of_the_endpoint_and_removed_ones_do_not_come_back() {
    on_a_site(|site| async move {
        let (network, spec, key) = made(&site, 1).await;
        let stays = placed(PlacementSpec::Peer(peer(
            &spec,
            &PrivateKey::generate(&mut rand::rng()),
            2,
        )));
        let goes = placed(PlacementSpec::Peer(peer(
            &spec,
            &PrivateKey::generate(&mut rand::rng()),
            3,
        )));
        site.ensure(&stays).await.unwrap();
        site.ensure(&goes).await.unwrap();
        site.kill_endpoint(&spec);
        site.remove(&goes).await;
        let Observed::Network(observed) = site.ensure(&network).await.unwrap() else {
            panic!("a network")
        };
        assert_eq!(observed.endpoint_key, key);
        let accepted = [network.clone(), stays.clone(), goes.clone()];
        let found = site.driver.inventory(&accepted).await.unwrap();
        let peers: Vec<_> = found
            .iter()
            .filter(|f| f.placement.id != network.id)
            .collect();
        assert_eq!(peers.len(), 1);
        assert_eq!(
            (&peers[0].placement, &peers[0].observed),
            (&stays.reference(), &Some(Observed::Peer))
        );
    });
}

#[test]
fn a_bad_peer_is_refused_and_fails_no_other() {
    on_a_site(|site| async move {
        let (_network, spec, _) = made(&site, 1).await;
        let key = PrivateKey::generate(&mut rand::rng());
        let good = placed(PlacementSpec::Peer(peer(&spec, &key, 2)));
        site.ensure(&good).await.unwrap();
        let mut rubbish = peer(&spec, &key, 3);
        rubbish.public_key = "rubbish".to_owned();
        let error = site
            .ensure(&placed(PlacementSpec::Peer(rubbish)))
            .await
            .unwrap_err();
        assert_eq!(error.kind, FailureKind::Permanent, "{}", error.chain());
        let same_address = peer(&spec, &PrivateKey::generate(&mut rand::rng()), 2);
        let error = site
            .ensure(&placed(PlacementSpec::Peer(same_address)))
            .await
            .unwrap_err();
        assert!(error.chain().contains("belongs to"), "{}", error.chain());
        assert!(site.driver.look(&good).await.unwrap().is_ok());
        let later = placed(PlacementSpec::Peer(peer(
            &spec,
            &PrivateKey::generate(&mut rand::rng()),
            4,
        )));
        assert_eq!(site.ensure(&later).await.unwrap(), Observed::Peer);
    });
}

#[test]
fn many_come_and_go_at_once_and_each_is_told_of_its_own() {
    on_a_site(|site| async move {
        let (_network, spec, _) = made(&site, 1).await;
        let new = |number: u8| {
            let key = PrivateKey::generate(&mut rand::rng());
            peer(&spec, &key, number)
        };
        let stays = new(200);
        let going: Vec<_> = (2..32)
            .map(|number| placed(PlacementSpec::Peer(new(number))))
            .collect();
        let coming: Vec<_> = (32..62)
            .map(|number| placed(PlacementSpec::Peer(new(number))))
            .collect();
        let mut same_key = new(100);
        same_key.public_key.clone_from(&stays.public_key);
        // Of two, the one with the smaller id has it.
        same_key.peer = PeerId(Uuid::max());
        let mut rubbish = new(101);
        rubbish.public_key = "rubbish".to_owned();
        let bad = [new(200), same_key, rubbish].map(|spec| placed(PlacementSpec::Peer(spec)));
        let stays = placed(PlacementSpec::Peer(stays));
        site.ensure(&stays).await.unwrap();
        for made in join_all(going.iter().map(|one| site.ensure(one))).await {
            assert_eq!(made.unwrap(), Observed::Peer);
        }
        let leave = join_all(going.iter().map(|one| site.remove(one)));
        let come = join_all(coming.iter().map(|one| site.ensure(one)));
        let fail = join_all(bad.iter().map(|one| site.ensure(one)));
        let (_, came, failed) = tokio::join!(leave, come, fail);
        for made in came {
            assert_eq!(made.unwrap(), Observed::Peer);
        }
        let failed: Vec<_> = failed
            .into_iter()
            .map(|one| one.unwrap_err().chain())
            .collect();
        for (error, why) in
            failed
                .iter()
                .zip(["belongs to", "the same key", "no WireGuard public key"])
        {
            assert!(error.contains(why), "{error}");
        }
        for there in coming.iter().chain([&stays]) {
            assert!(site.driver.look(there).await.unwrap().is_ok());
        }
        let in_force = endpoint(&site).await.status().await.unwrap().peers.len();
        assert_eq!(in_force, coming.len() + 1);
    });
}

#[test]
fn who_is_ended_in_the_middle_of_the_work_of_several_ends_only_its_own() {
    on_a_site(|site| async move {
        let (network, spec, _) = made(&site, 1).await;
        let peers = [2, 3, 4].map(|number| {
            let key = PrivateKey::generate(&mut rand::rng());
            placed(PlacementSpec::Peer(peer(&spec, &key, number)))
        });
        for one in &peers[..2] {
            site.ensure(one).await.unwrap();
        }
        // While the network is at work, the three wait together.
        let mut busy = Box::pin(site.ensure(&network));
        assert!(poll!(&mut busy).is_pending());
        let mut ended = Box::pin(site.remove(&peers[0]));
        let mut goes = Box::pin(site.remove(&peers[1]));
        let mut comes = Box::pin(site.ensure(&peers[2]));
        assert!(poll!(&mut ended).is_pending());
        assert!(poll!(&mut goes).is_pending() && poll!(&mut comes).is_pending());
        busy.await.unwrap();
        // The first does it for all.
        assert!(poll!(&mut ended).is_pending());
        assert!(poll!(&mut goes).is_pending() && poll!(&mut comes).is_pending());
        drop(ended);
        let both = async { tokio::join!(goes, comes).1 };
        let both = tokio::time::timeout(Duration::from_secs(20), both).await;
        assert_eq!(both.expect("they are told").unwrap(), Observed::Peer);
        assert!(site.driver.look(&peers[1]).await.unwrap().is_err());
        assert!(site.driver.look(&peers[2]).await.unwrap().is_ok());
        site.remove(&peers[0]).await;
        let in_force = endpoint(&site).await.status().await.unwrap().peers.len();
        assert_eq!(in_force, 1);
    });
}
