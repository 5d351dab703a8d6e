//! What somebody or something broke is noticed, and brought back.

use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};
use nix::sys::signal::{Signal, kill};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use nix::unistd::Pid;
use rhyzome_component::{Differs, Driver, DriverError, Progress};
use rhyzome_hostnet::{Links, Namespace, nft};
use rhyzome_model::job::FailureKind;
use rhyzome_model::network::{NetworkPlacement, bridge_name};
use rhyzome_model::placement::{Observed, Placement};

use crate::client::dhcp;
use crate::site::{Footprint, Site, instance, lease, network, on_a_site, processes};

async fn is_whole(site: &Site, placement: &Placement) -> bool {
    let accepted = std::slice::from_ref(placement);
    let found = site.driver.inventory(accepted).await.unwrap();
    let own = found
        .iter()
        .find(|found| found.placement == placement.reference())
        .expect("it is found");
    let whole = own.observed.is_some();
    let looked = site.driver.look(placement).await.unwrap();
    let differs = Differs(own.differs.clone());
    assert_eq!(looked, own.observed.clone().ok_or(differs));
    whole
}

fn pid_of(site: &Site, program: &str) -> i32 {
    let all = processes(site.state.path());
    all.iter()
        .find(|(_, arguments)| arguments.contains(program))
        .expect("it runs")
        .0
}

fn router(site: &Site) -> Namespace {
    let mark = rhyzome_hostnet::Mark::of_state_dir(site.state.path()).to_string();
    Namespace::list()
        .unwrap()
        .into_iter()
        .find(|n| n.name().ends_with(&mark))
        .unwrap()
}

#[test]
fn asking_for_the_same_twice_changes_nothing() {
    on_a_site(|site| async move {
        let (network, spec) = network(1);
        let (web, _) = lease(&spec, 17, "web");
        let first = site.ensure(&network).await.unwrap();
        site.ensure(&web).await.unwrap();
        let before = site.footprint().await;
        assert_eq!(site.ensure(&network).await.unwrap(), first);
        assert_eq!(site.ensure(&web).await.unwrap(), Observed::Lease);
        assert_eq!(site.footprint().await, before);
        assert!(is_whole(&site, &network).await && is_whole(&site, &web).await);
    });
}

#[test]
fn a_process_that_dies_is_reported_at_once_and_replaced() {
    on_a_site(|site| async move {
        let (network, spec) = network(1);
        let (web, web_spec) = lease(&spec, 17, "web");
        let first = site.ensure(&network).await.unwrap();
        site.ensure(&web).await.unwrap();
        for program in ["dnsmasq", "wireguard-endpoint"] {
            let pid = pid_of(&site, program);
            kill(Pid::from_raw(pid), Signal::SIGKILL).unwrap();
            let changed = tokio::time::timeout(Duration::from_secs(2), site.driver.changed()).await;
            assert_eq!(changed.expect("it is reported"), network.reference());
            assert!(!is_whole(&site, &network).await);
            assert_eq!(
                site.ensure(&network).await.unwrap(),
                first,
                "with the same key"
            );
            assert!(is_whole(&site, &network).await);
            assert_ne!(pid_of(&site, program), pid);
        }
        let instance = instance(&spec, web_spec.mac).await;
        assert_eq!(
            dhcp(&instance, web_spec.mac).await.unwrap().address,
            web_spec.ipv4
        );
        // What we end ourselves is no news.
        site.remove(&network).await;
        assert!(
            tokio::time::timeout(Duration::from_millis(200), site.driver.changed())
                .await
                .is_err()
        );
    });
}

#[test]
fn whatever_is_taken_away_is_noticed_and_brought_back() {
    on_a_site(|site| async move {
        let (network, spec) = network(1);
        site.ensure(&network).await.unwrap();
        for broken in Broken::ALL {
            broken.happens(&router(&site), &spec).await;
            assert!(!is_whole(&site, &network).await, "{broken:?} is missed");
            site.ensure(&network)
                .await
                .unwrap_or_else(|e| panic!("{broken:?}: {}", e.chain()));
            assert!(is_whole(&site, &network).await, "{broken:?} is back");
        }
    });
}

#[derive(Clone, Copy, Debug)]
enum Broken {
    Bridge,
    Rules,
    OneChain,
    Address,
    Namespace,
}

impl Broken {
    const ALL: [Self; 5] = [
        Self::Bridge,
        Self::Rules,
        Self::OneChain,
        Self::Address,
        Self::Namespace,
    ];

    async fn happens(self, router: &Namespace, spec: &NetworkPlacement) {
        let address = format!("{}/24", spec.router_ipv4()).parse().unwrap();
        let inside = move || async move {
            match self {
                Self::Rules => assert!(nft::delete("inet", "rhyzome").await.unwrap()),
                Self::OneChain => {
                    let chain = serde_json::json!({ "family": "inet", "table": "rhyzome", "name": "forward" });
                    nft::apply(vec![serde_json::json!({ "flush": { "chain": chain } })])
                        .await
                        .unwrap();
                }
                Self::Address => {
                    let links = Links::open().unwrap();
                    let seg = links.find("seg").await.unwrap().unwrap();
                    assert!(links.delete_address(seg.index, address).await.unwrap());
                }
                Self::Bridge | Self::Namespace => {}
            }
        };
        match self {
            Self::Bridge => {
                Links::open()
                    .unwrap()
                    .delete_named(&bridge_name(spec.network))
                    .await
                    .unwrap();
            }
            Self::Namespace => router.delete().unwrap(),
            _ => router.run(inside).await.unwrap(),
        }
    }
}

/// The tools of the host without `nft`, as this thread and what it starts see them.
struct WithoutNft(tempfile::TempDir);

impl WithoutNft {
    fn begin() -> Self {
        let none = None::<&str>;
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let gone = folder.path().join("nft");
        mknod(&gone, SFlag::S_IFCHR, Mode::empty(), makedev(0, 0)).unwrap();
        let layers = Some(format!("lowerdir={}:/usr/sbin", folder.path().display()));
        let kind = Some("overlay");
        mount(kind, "/usr/sbin", kind, MsFlags::empty(), layers.as_deref()).unwrap();
        Self(folder)
    }
}

impl Drop for WithoutNft {
    fn drop(&mut self) {
        umount2("/usr/sbin", MntFlags::MNT_DETACH).unwrap();
        drop(std::fs::remove_file(self.0.path().join("nft")));
    }
}

#[test]
fn without_nft_nothing_is_let_through_and_it_is_said_what_to_install() {
    on_a_site(|site| async move {
        let before = site.footprint().await;
        let (network, _) = network(1);
        let without = WithoutNft::begin();
        let missing = |error: DriverError| {
            assert_eq!(error.kind, FailureKind::Transient);
            let text = error.chain();
            let says = "cannot start the tool nft (Debian and Ubuntu: nftables)";
            assert!(text.contains(says), "{text}");
        };
        missing(site.ensure(&network).await.unwrap_err());
        // No process serves what no rule guards.
        assert_eq!(processes(site.state.path()), before.processes);
        drop(without);
        site.ensure(&network).await.unwrap();
        assert!(is_whole(&site, &network).await);

        let without = WithoutNft::begin();
        let accepted = std::slice::from_ref(&network);
        missing(site.driver.inventory(accepted).await.unwrap_err());
        let (target, progress) = (network.reference(), Progress::new().0);
        if let Err(error) = site.driver.remove(&target, &progress).await {
            missing(error);
        }
        drop(without);
        site.remove(&network).await;
        let after = Footprint {
            files: before.files.clone(),
            ..site.footprint().await
        };
        assert_eq!(after, before);
    });
}

#[test]
fn a_strangers_bridge_is_never_touched() {
    on_a_site(|site| async move {
        let (network, spec) = network(1);
        let links = Links::open().unwrap();
        links.add_bridge(&bridge_name(spec.network)).await.unwrap();
        let before = links.list().await.unwrap();
        let error = site.ensure(&network).await.unwrap_err();
        assert_eq!(error.kind, FailureKind::Permanent);
        for part in [&bridge_name(spec.network), "not Rhyzome's"] {
            assert!(error.chain().contains(part), "{}", error.chain());
        }
        site.remove(&network).await;
        assert_eq!(links.list().await.unwrap(), before);
        // When its owner has taken it away, the next try does.
        links
            .delete_named(&bridge_name(spec.network))
            .await
            .unwrap();
        site.ensure(&network).await.unwrap();
        assert!(is_whole(&site, &network).await);
    });
}

#[test]
fn removing_leaves_nothing() {
    on_a_site(|site| async move {
        let before = site.footprint().await;
        let (network, spec) = network(1);
        let egress = rhyzome_model::network::NetworkPlacement {
            egress: true,
            ..spec.clone()
        };
        let network = Placement {
            spec: rhyzome_model::placement::PlacementSpec::Network(egress),
            ..network
        };
        site.ensure(&network).await.unwrap();
        site.ensure(&lease(&spec, 17, "web").0).await.unwrap();
        let during = site.footprint().await;
        assert_eq!(
            (during.namespaces.len(), during.processes.len()),
            (1, 2),
            "{during:#?}"
        );
        site.remove(&network).await;
        site.remove(&network).await;
        let after = Footprint {
            files: before.files.clone(),
            ..site.footprint().await
        };
        assert_eq!(after, before);
        let files = site.footprint().await.files;
        assert!(
            files.iter().all(|file| file.ends_with("/networks")),
            "{files:?}"
        );
        assert_eq!(site.driver.inventory(&[]).await.unwrap(), []);
    });
}

#[test]
fn what_nobody_accepted_is_found_and_can_be_removed() {
    on_a_site(|site| async move {
        let (network, spec) = network(1);
        site.ensure(&network).await.unwrap();
        site.ensure(&lease(&spec, 17, "web").0).await.unwrap();
        let found = site.driver.inventory(&[]).await.unwrap();
        assert_eq!(found.len(), 2);
        assert!(found.iter().all(|found| found.observed.is_none()));
        // The records are lost too: what is in the kernel still says what it is.
        std::fs::remove_dir_all(site.state.path().join("networks")).unwrap();
        let found = site.driver.inventory(&[]).await.unwrap();
        assert_eq!(
            found
                .iter()
                .map(|found| &found.placement)
                .collect::<Vec<_>>(),
            [&network.reference()]
        );
        site.remove(&network).await;
        assert_eq!(site.driver.inventory(&[]).await.unwrap(), []);
    });
}
