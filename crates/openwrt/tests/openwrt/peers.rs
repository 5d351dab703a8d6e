//! Peers come and go on a device that runs.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rhyzome_component::Driver;
use rhyzome_model::job::FailureKind;
use rhyzome_model::placement::{Observed, Placement, PlacementSpec};
use rhyzome_openwrt::Step;
use rhyzome_test_router::{Release, Router};

use crate::site::{Site, ensure, key_of, made, network, peer, remove, removed};

/// The number by which the kernel knows a link: another one where it was made anew.
fn index(site: &Site, link: &str) -> String {
    let text = site.machine.output(["ip", "-o", "link", "show", link]);
    text.split(':').next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_peers_come_and_go_at_once() {
    let site = Site::new();
    let driver = site.driver();
    let (placement, spec) = network(1);
    made(&driver, &placement).await;
    let device = index(&site, "rz_x1_wg");
    let stays = peer(&spec, 1);
    made(&driver, &stays).await;
    let peers: Vec<Placement> = (2..302).map(|number| peer(&spec, number)).collect();
    let all = peers.iter().map(|peer| ensure(&driver, peer));
    for result in futures::future::join_all(all).await {
        assert_eq!(result.unwrap(), Observed::Peer);
    }
    let there = site.peers_of(&spec);
    assert!(peers.iter().all(|peer| there.contains(key_of(peer))));

    let all = peers.iter().map(|peer| remove(&driver, peer));
    for result in futures::future::join_all(all).await {
        result.unwrap();
    }
    let there = site.peers_of(&spec);
    assert!(there.contains(key_of(&stays)));
    assert!(peers.iter().all(|peer| !there.contains(key_of(peer))));
    let text = &site.files()["network"];
    assert_eq!(text.matches("config wireguard_rz_x1_wg").count(), 1);
    assert_eq!(index(&site, "rz_x1_wg"), device, "the device was made anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_peer_is_gone_from_the_kernel_also_where_that_cannot_be_written() {
    let site = Arc::new(Site::new());
    let (placement, spec) = network(1);
    let (one, two) = (peer(&spec, 2), peer(&spec, 3));
    for placement in [&placement, &one, &two] {
        made(&site.driver(), placement).await;
    }
    let fills = Arc::clone(&site);
    let filled = AtomicBool::new(false);
    let fill = Arc::new(move |step| {
        if step == Step::Network && !filled.swap(true, Ordering::Relaxed) {
            let there = fills.peers_of(&network(1).1);
            assert_eq!(
                there.lines().count(),
                2,
                "it is gone before anything is written"
            );
            fills.machine.fill_flash();
        }
        None
    });
    let driver = site.driver().interrupted_by(fill);
    let error = remove(&driver, &one).await.unwrap_err();
    assert!(error.chain().contains("flash is full"), "{}", error.chain());
    site.machine.empty_flash();
    removed(&driver, &one).await;
    let there = site.peers_of(&spec);
    assert!(
        !there.contains(key_of(&one)) && there.contains(key_of(&two)),
        "{there}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_peer_fails_no_other() {
    let site = Site::on(Router::builder().release(Release::V25_12).start());
    let driver = site.driver();
    let (placement, spec) = network(1);
    made(&driver, &placement).await;
    let (good, mut bad, taken) = (peer(&spec, 2), peer(&spec, 3), peer(&spec, 2));
    if let PlacementSpec::Peer(spec) = &mut bad.spec {
        spec.public_key = "no key".to_owned();
    }
    made(&driver, &good).await;
    let more: Vec<Placement> = (4..8).map(|number| peer(&spec, number)).collect();
    let all = more.iter().chain([&bad, &taken]);
    let results = futures::future::join_all(all.map(|peer| ensure(&driver, peer))).await;
    let (refused, kept) = results.split_at(4);
    for result in refused {
        assert!(result.is_ok(), "{result:?}");
    }
    for result in kept {
        let error = result.as_ref().unwrap_err();
        assert_eq!(error.kind, FailureKind::Permanent, "{}", error.chain());
    }
    let there = site.peers_of(&spec);
    assert!(
        there.contains(key_of(&good)) && !there.contains(key_of(&taken)),
        "{there}"
    );
    assert_eq!(there.lines().count(), 1 + 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_written_to_flash_where_nothing_changes() {
    let site = Site::new();
    let driver = site.driver();
    let (placement, spec) = network(1);
    let peer = peer(&spec, 2);
    made(&driver, &placement).await;
    made(&driver, &peer).await;
    let before = site.machine.written().bytes;
    made(&driver, &placement).await;
    made(&driver, &peer).await;
    let accepted = [placement.clone(), peer.clone()];
    let found = driver.inventory(&accepted).await.unwrap();
    assert!(found.iter().all(|found| found.observed.is_some()));
    assert_eq!(site.machine.written().bytes, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_endpoints_key_is_made_here_and_stays() {
    let site = Site::new();
    let (placement, spec) = network(1);
    let Observed::Network(first) = made(&site.driver(), &placement).await else {
        panic!("a network is observed");
    };
    assert_eq!(first.endpoint_kind, "userspace", "as it is on this router");
    let Observed::Network(second) = made(&site.driver(), &placement).await else {
        panic!("a network is observed");
    };
    assert_eq!(first, second);
    let there = site.peers_of(&spec);
    assert!(there.contains(&first.endpoint_key));
    // Whoever may read the router's log does not learn it.
    let private = there.split('\t').next().unwrap();
    let log = site.machine.output(["logread"]);
    assert!(!log.contains(private));
}

/// What is logged on this thread.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn has(&self, what: &str) -> bool {
        let said = self.0.lock().unwrap();
        String::from_utf8_lossy(&said).contains(what)
    }
}

#[tokio::test]
async fn a_peer_that_is_added_mends_nothing_and_one_that_somebody_took_away_does() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone());
    let _guard = tracing::subscriber::set_default(subscriber.finish());
    let site = Site::new();
    let driver = site.driver();
    let (placement, spec) = network(1);
    made(&driver, &placement).await;
    let one = peer(&spec, 2);
    made(&driver, &one).await;
    assert!(!log.has("mending the router"), "nothing was wrong");
    let words = ["wg", "set", "rz_x1_wg", "peer", key_of(&one), "remove"];
    site.machine.output(words);
    made(&driver, &one).await;
    assert!(log.has("mending the router") && log.has("has no such peer"));
}
