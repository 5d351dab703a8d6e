//! Somebody else who commits while a change is made: nothing of it is lost, and nothing of ours.

use std::sync::Arc;

use rhyzome_component::Driver;
use rhyzome_model::job::FailureKind;
use rhyzome_openwrt::Step;

use crate::site::{Core, Site, ensure, lease, made, network, once, removed};

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_at_any_step_survives_and_so_does_the_change() {
    let site = Arc::new(Site::new());
    let (placement, _) = network(2);
    for (number, step) in Step::CHANGE.into_iter().enumerate() {
        let theirs = Arc::clone(&site);
        let commit = once(step, move || {
            for package in ["network", "dhcp", "firewall"] {
                theirs.uci(&format!("set {package}.theirs{number}=theirs"));
            }
            theirs.uci("commit");
        });
        let driver = site.driver().interrupted_by(commit);
        made(&driver, &placement).await;
        for (package, text) in site.files() {
            assert!(
                text.contains(&format!("'theirs{number}'")),
                "{step:?}: {package}: {text}"
            );
        }
        assert!(driver.look(&placement).await.unwrap().is_ok(), "{step:?}");
        removed(&driver, &placement).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_survives_a_change_that_is_put_back() {
    let mut site = Site::new();
    let path = site.machine.path("/etc/config/network");
    let is_reached = move || !std::fs::read_to_string(&path).unwrap().contains("rz_x1");
    site.confirm = Some(Arc::new(Core(Box::new(is_reached))));
    let site = Arc::new(site);
    let theirs = Arc::clone(&site);
    let commit = once(Step::Confirm, move || {
        theirs.uci("set network.theirs=theirs");
        theirs.uci("commit");
    });
    let driver = site.driver().interrupted_by(commit);
    ensure(&driver, &network(1).0).await.unwrap_err();
    let text = &site.files()["network"];
    assert!(text.contains("'theirs'") && !text.contains("rz_"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_somebody_took_away_is_made_again() {
    let site = Arc::new(Site::new());
    let theirs = Arc::clone(&site);
    let before = site.files();
    // As one does whose commit had read the file before ours.
    let overwrite = once(Step::Verify, move || {
        let path = theirs.machine.path("/etc/config/dhcp");
        let text = format!("{}\nconfig theirs 'late'\n", before["dhcp"]);
        std::fs::write(path, text).unwrap();
    });
    let driver = site.driver().interrupted_by(overwrite);
    let (placement, spec) = network(1);
    made(&driver, &placement).await;
    made(&driver, &lease(&spec, 17, "web")).await;
    let text = &site.files()["dhcp"];
    assert!(text.contains("'late'") && text.contains("rz_x1"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_one_after_another_and_changes_at_once_lose_nothing() {
    let site = Arc::new(Site::new());
    let (placement, spec) = network(1);
    made(&site.driver(), &placement).await;
    let theirs = Arc::clone(&site);
    let committing = tokio::task::spawn_blocking(move || {
        for number in 0..40 {
            theirs.uci(&format!("set dhcp.theirs{number}=theirs"));
            theirs.uci("commit dhcp");
        }
    });
    let driver = site.driver();
    let leases: Vec<_> = (2..8)
        .map(|number| lease(&spec, number, &format!("web{number}")))
        .collect();
    for lease in &leases {
        // Where somebody commits all the time, it may have to be tried again.
        if let Err(error) = ensure(&driver, lease).await {
            assert_eq!(error.kind, FailureKind::Transient, "{}", error.chain());
        }
    }
    committing.await.unwrap();
    for lease in &leases {
        made(&driver, lease).await;
    }
    let text = &site.files()["dhcp"];
    for number in 0..40 {
        assert!(
            text.contains(&format!("'theirs{number}'")),
            "{number}: {text}"
        );
    }
    for number in 2..8 {
        assert!(text.contains(&format!("'web{number}'")), "{text}");
    }
}
