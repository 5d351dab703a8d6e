//! Segments that span hosts: who reaches whom, and what is not taken from the wire.

use std::net::Ipv4Addr;

use rhyzome_hostnet::tunnel::Kept;
use rhyzome_hostnet::underlay::End;
use rhyzome_hostnet::{Links, Underlay, nft, segment};
use rhyzome_model::network::{bridge_name, router_mac, tunnel_name};

use crate::counted::Counted;
use crate::frame::{TRIES, answers_arp, arp, arrives, icmp6, inject, is_answered, open, udp4};
use crate::wire::{Host, Spanning, Under, Wire};
use crate::world::Place;

const A: &str = "52:54:00:00:00:0a";
const B: &str = "52:54:00:00:00:0b";
const C: &str = "52:54:00:00:00:0c";

fn octets(mac: &str) -> [u8; 6] {
    mac.parse::<rhyzome_model::MacAddr>().unwrap().octets()
}

fn wired<F, Fut>(work: F)
where
    F: FnOnce() -> Fut,
    Fut: Future<Output = ()>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(work());
}

/// Whether a frame arrives at an instance that has to, and be it late. What may not arrive has other bytes: the
/// last of these may be on its way yet.
async fn hears(instance: &Place, needle: &'static [u8], send: impl AsyncFn()) -> bool {
    let socket = instance.run(|| async { open() }).await;
    for _ in 0..TRIES {
        send().await;
        if arrives(&socket, needle).await {
            return true;
        }
    }
    false
}

/// Whether a frame that somebody sends does not arrive at an instance.
async fn misses<S: Future<Output = ()>>(instance: &Place, needle: &'static [u8], sent: S) -> bool {
    let socket = instance.run(|| async { open() }).await;
    sent.await;
    !arrives(&socket, needle).await
}

/// Makes sure that a frame that somebody sends does not arrive at an instance, and that the rules of a host count it.
async fn is_dropped<S: Future<Output = ()>>(
    instance: &Place,
    needle: &'static [u8],
    sent: S,
    (host, family, counter): (&Host, &'static str, &str),
) {
    let rules = || async { Counted::of(family, "rhyzome_tunnel") };
    let before = host.place.run(rules).await;
    let what = String::from_utf8_lossy(needle);
    assert!(misses(instance, needle, sent).await, "{what} arrived");
    host.place.run(rules).await.rose(&before, counter, &what);
}

/// Two hosts, and an instance on each.
struct Two {
    wire: Wire,
    on: Spanning,
    first: Host,
    second: Host,
    a: Place,
    b: Place,
}

impl Two {
    async fn new() -> Self {
        Self::over(Under::Ipv4).await
    }

    async fn over(under: Under) -> Self {
        let mut wire = Wire::new(under).await;
        let on = Spanning::new(0x00a1_b2c3);
        let (first, second) = (wire.host().await, wire.host().await);
        first.segment(on).await;
        second.segment(on).await;
        first.connect(second.end(on, &[B]), 1).await;
        second.connect(first.end(on, &[A]), 1).await;
        let a = first.instance(on, A, "10.1.0.10/24").await;
        let b = second.instance(on, B, "10.1.0.11/24").await;
        // Before all links are awake, that nothing gets through would prove nothing.
        assert!(is_answered(&a, octets(A), "10.1.0.10", "10.1.0.11").await);
        assert!(is_answered(&b, octets(B), "10.1.0.11", "10.1.0.10").await);
        Self {
            wire,
            on,
            first,
            second,
            a,
            b,
        }
    }
}

#[test]
fn instances_on_two_hosts_are_on_one_segment() {
    wired(|| async {
        let two = Two::new().await;
        assert!(is_answered(&two.a, octets(A), "10.1.0.10", "10.1.0.11").await);
        assert!(is_answered(&two.b, octets(B), "10.1.0.11", "10.1.0.10").await);
    });
}

#[test]
fn nothing_is_taken_but_from_an_end_and_from_a_mac_behind_it() {
    wired(|| async {
        let mut two = Two::new().await;
        let stranger = two.wire.host().await;
        let to = two.first.address;
        let with = |mac: &str, text: &[u8]| {
            let from = Ipv4Addr::new(10, 1, 0, 11);
            udp4(octets(mac), from, (1000, 1000), text)
        };
        let frame = |mac: &str| with(mac, b"forged");
        let vni = two.on.vni;
        let control = async || two.second.forge(to, vni, with(B, b"control")).await;
        assert!(
            hears(&two.a, b"control", control).await,
            "the control does not arrive"
        );
        let other_mac = two.second.forge(to, vni, frame(C));
        let by = (&two.first, "inet", "forged");
        is_dropped(&two.a, b"forged", other_mac, by).await;
        let own_mac = two.second.forge(to, vni, frame(A));
        is_dropped(&two.a, b"forged", own_mac, by).await;
        let from_a_stranger = stranger.forge(to, vni, frame(B));
        is_dropped(&two.a, b"forged", from_a_stranger, by).await;
        let other_number = two.second.forge(to, vni + 1, frame(B));
        let by = (&two.first, "inet", "unknown");
        is_dropped(&two.a, b"forged", other_number, by).await;
    });
}

#[test]
fn hosts_may_speak_ipv6_with_each_other_which_takes_twenty_bytes_more() {
    for under in [Under::Ipv4, Under::Ipv6] {
        wired(|| async {
            let mut two = Two::over(under).await;
            let (own, fits) = (two.first.address, under.mtu());
            let found = two
                .first
                .place
                .run(move || async move { Underlay::new(End::Given(own)).look().await });
            let found = found.await;
            assert_eq!(found.mtu, Some(fits), "{}", found.said);
            assert!(is_answered(&two.a, octets(A), "10.1.0.10", "10.1.0.11").await);
            // IP's and UDP's headers are 28 bytes of it; the largest packet arrives as it was sent.
            let sized = |bytes: u16| {
                let mut payload = vec![b'x'; usize::from(bytes) - 28 - 5];
                payload.extend(b"whole");
                udp4(
                    octets(B),
                    Ipv4Addr::new(10, 1, 0, 11),
                    (1000, 1000),
                    &payload,
                )
            };
            let sent = async || inject(&two.b, sized(fits)).await;
            assert!(
                hears(&two.a, b"whole", sent).await,
                "{fits} bytes do not fit over {under:?}"
            );
            let stranger = two.wire.host().await;
            let frame = |text: &[u8]| {
                let from = Ipv4Addr::new(10, 1, 0, 11);
                udp4(octets(B), from, (1000, 1000), text)
            };
            let (to, vni) = (two.first.address, two.on.vni);
            let control = async || two.second.forge(to, vni, frame(b"control")).await;
            assert!(
                hears(&two.a, b"control", control).await,
                "the control does not arrive"
            );
            let forged = stranger.forge(to, vni, frame(b"forged"));
            assert!(misses(&two.a, b"forged", forged).await, "over {under:?}");
        });
    }
}

#[test]
fn rules_that_were_flushed_are_noticed_once() {
    wired(|| async {
        let two = Two::new().await;
        two.first
            .place
            .run(|| async {
                let mut watch = nft::Watch::default();
                assert!(!watch.look().await.unwrap());
                assert!(!watch.look().await.unwrap());
                let flush = serde_json::json!({"flush": {"ruleset": null}});
                nft::apply(vec![flush]).await.unwrap();
                assert!(watch.look().await.unwrap());
                assert!(!watch.look().await.unwrap());
            })
            .await;
    });
}

#[test]
fn an_end_of_another_segment_is_no_end_of_this_one() {
    wired(|| async {
        let mut two = Two::new().await;
        let third = two.wire.host().await;
        let other = Spanning::new(two.on.vni + 1);
        two.first.segment(other).await;
        third.segment(other).await;
        two.first.connect(third.end(other, &[C]), 1).await;
        third.connect(two.first.end(other, &[]), 1).await;
        let neighbour = two
            .first
            .instance(other, "52:54:00:00:00:0d", "10.1.0.13/24")
            .await;
        let frame = |text: &[u8]| udp4(octets(C), Ipv4Addr::new(10, 1, 0, 12), (1000, 1000), text);
        let to = two.first.address;
        let control = async || third.forge(to, other.vni, frame(b"in its own")).await;
        assert!(hears(&neighbour, b"in its own", control).await);
        let across = third.forge(to, two.on.vni, frame(b"across"));
        assert!(misses(&two.a, b"across", across).await);
        let from = Ipv4Addr::new(10, 1, 0, 11);
        let alone = || udp4(octets(B), from, (9, 9), b"for a alone");
        let sent = async || inject(&two.b, alone()).await;
        let socket = neighbour.run(|| async { open() }).await;
        assert!(hears(&two.a, b"for a alone", sent).await);
        assert!(
            !arrives(&socket, b"for a alone").await,
            "it leaked into another segment"
        );
    });
}

#[test]
fn only_the_router_advertises_and_hands_out_addresses() {
    wired(|| async {
        let two = Two::new().await;
        let router = router_mac(two.on.network);
        let end = two.second.end(two.on, &[B, &router.to_string()]);
        two.first.connect(end, 2).await;
        let to = two.first.address;
        let offer = |mac, text: &[u8]| udp4(mac, Ipv4Addr::new(10, 1, 0, 1), (67, 68), text);
        let advertisement = |mac, text: &[u8]| icmp6(mac, "fe80::1".parse().unwrap(), 134, text);
        let vni = two.on.vni;
        let its = router.octets();
        let from_router = async || two.second.forge(to, vni, offer(its, b"an offer")).await;
        assert!(hears(&two.a, b"an offer", from_router).await);
        let sent = || advertisement(its, b"an advertisement");
        let from_router = async || two.second.forge(to, vni, sent()).await;
        assert!(hears(&two.a, b"an advertisement", from_router).await);
        let from_instance = two.second.forge(to, vni, offer(octets(B), b"of nobody"));
        let by = (&two.first, "bridge", "dhcp_server");
        is_dropped(&two.a, b"of nobody", from_instance, by).await;
        let from_instance = advertisement(octets(B), b"of nobody");
        let from_instance = two.second.forge(to, vni, from_instance);
        let by = (&two.first, "bridge", "router");
        is_dropped(&two.a, b"of nobody", from_instance, by).await;
    });
}

#[test]
fn the_metadata_services_address_stays_on_its_host() {
    wired(|| async {
        let two = Two::new().await;
        let metadata = Ipv4Addr::new(169, 254, 169, 254);
        let own = Ipv4Addr::new(10, 1, 0, 11);
        let ask = |target| arp(octets(B), 1, (octets(B), own), target);
        let needle: &[u8] = &[169, 254, 169, 254];
        let by = (&two.second, "bridge", "metadata");
        is_dropped(&two.a, needle, inject(&two.b, ask(metadata)), by).await;
        let forged = two
            .second
            .forge(two.first.address, two.on.vni, ask(metadata));
        let by = (&two.first, "bridge", "metadata");
        is_dropped(&two.a, needle, forged, by).await;
        let ordinary = async || inject(&two.b, ask(Ipv4Addr::new(10, 1, 0, 77))).await;
        assert!(
            hears(&two.a, &[10, 1, 0, 77], ordinary).await,
            "the control does not arrive"
        );
    });
}

#[test]
fn ends_come_and_go_one_by_one_and_the_tunnel_with_the_last() {
    wired(|| async {
        let mut two = Two::new().await;
        let third = two.wire.host().await;
        let on = two.on;
        third.segment(on).await;
        two.first.connect(third.end(on, &[C]), 1).await;
        third.connect(two.first.end(on, &[A]), 1).await;
        let c = third.instance(on, C, "10.1.0.12/24").await;
        assert!(is_answered(&c, octets(C), "10.1.0.12", "10.1.0.10").await);
        let (tunnels, second, host) = (two.first.tunnels(), two.second.component, third.component);
        two.first
            .place
            .run(move || async move {
                let links = Links::open().unwrap();
                let name = tunnel_name(on.network);
                let before = links.find(&name).await.unwrap().unwrap();
                tunnels.remove(on.network, second).await.unwrap();
                let kept = tunnels.list().await.unwrap();
                assert_eq!(
                    kept.iter().map(|kept: &Kept| kept.host).collect::<Vec<_>>(),
                    [host]
                );
                let after = links.find(&name).await.unwrap().unwrap();
                assert_eq!(after.index, before.index, "the tunnel was made anew");
                let ends = links.forwarding(after.index).await.unwrap().ends;
                assert_eq!(ends.len(), 2, "{ends:?}");
            })
            .await;
        assert!(is_answered(&c, octets(C), "10.1.0.12", "10.1.0.10").await);
        assert!(!answers_arp(&two.b, octets(B), "10.1.0.11", "10.1.0.10").await);
        let (tunnels, holder) = (two.first.tunnels(), two.first.holder());
        two.first
            .place
            .run(move || async move {
                tunnels.remove(on.network, host).await.unwrap();
                tunnels.remove(on.network, host).await.unwrap();
                assert_eq!(tunnels.list().await.unwrap(), []);
                let links = Links::open().unwrap();
                assert_eq!(links.find(&tunnel_name(on.network)).await.unwrap(), None);
                assert!(
                    links
                        .find(&bridge_name(on.network))
                        .await
                        .unwrap()
                        .is_some()
                );
                segment::remove_all(holder).await.unwrap();
                assert!(nft::tables().await.unwrap().is_empty());
            })
            .await;
    });
}

#[test]
fn what_somebody_took_away_is_missed_and_put_back() {
    wired(|| async {
        let two = Two::new().await;
        let (on, tunnels, end) = (two.on, two.first.tunnels(), two.second.end(two.on, &[B, C]));
        let placement = two.first.connect(end.clone(), 7).await;
        two.first
            .place
            .run(move || async move {
                let links = Links::open().unwrap();
                let about = (placement, 7);
                let broken = || tunnels.check(about, &end);
                let name = tunnel_name(on.network);
                let link = links.find(&name).await.unwrap().unwrap();
                let have = links.forwarding(link.index).await.unwrap();
                links
                    .change_forwarding(link.index, &have, &Default::default())
                    .await
                    .unwrap();
                assert!(broken().await.unwrap().is_some(), "entries are gone");
                tunnels.ensure(about, &end).await.unwrap();
                links.delete_named(&name).await.unwrap();
                assert!(broken().await.unwrap().is_some(), "the tunnel is gone");
                tunnels.ensure(about, &end).await.unwrap();
                // As an earlier version wrote them: what is of no segment was not counted.
                let rules = nft::list_chain("inet", "rhyzome_tunnel", "input").await;
                let rules = rules.unwrap().unwrap();
                let last = rules.objects("rule").last().unwrap()["handle"].clone();
                let rule = serde_json::json!({ "family": "inet", "table": "rhyzome_tunnel", "chain": "input", "handle": last });
                let delete = serde_json::json!({ "delete": { "rule": rule } });
                nft::apply(vec![delete]).await.unwrap();
                assert!(broken().await.unwrap().is_some(), "it is not counted");
                tunnels.ensure(about, &end).await.unwrap();
                assert_eq!(broken().await.unwrap(), None);
                for family in ["inet", "bridge"] {
                    nft::delete(family, "rhyzome_tunnel").await.unwrap();
                    assert!(broken().await.unwrap().is_some(), "the rules are gone");
                    tunnels.ensure(about, &end).await.unwrap();
                }
                assert_eq!(broken().await.unwrap(), None);
            })
            .await;
        assert!(is_answered(&two.a, octets(A), "10.1.0.10", "10.1.0.11").await);
    });
}

#[test]
fn what_a_kill_left_of_the_rules_goes_with_the_next_removal() {
    wired(|| async {
        let two = Two::new().await;
        let (on, tunnels, end) = (two.on, two.first.tunnels(), two.second.end(two.on, &[B]));
        let placement = two.first.connect(end.clone(), 7).await;
        two.first
            .place
            .run(move || async move {
                let frames = || async { nft::list("bridge", "rhyzome_tunnel").await.unwrap() };
                for all in [false, true] {
                    // Of the two tables the one is gone, or not there yet.
                    nft::delete("inet", "rhyzome_tunnel").await.unwrap();
                    assert!(frames().await.is_some());
                    match all {
                        false => tunnels.remove(on.network, end.host).await.unwrap(),
                        true => tunnels.remove_all().await.unwrap(),
                    }
                    assert!(frames().await.is_none(), "all: {all}");
                    tunnels.ensure((placement, 7), &end).await.unwrap();
                }
                assert_eq!(tunnels.check((placement, 7), &end).await.unwrap(), None);
            })
            .await;
    });
}
