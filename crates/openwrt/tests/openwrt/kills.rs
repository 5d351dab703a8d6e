//! The component killed between any two of its steps, a step that fails, and the router's power lost there.

use rhyzome_component::{Driver, Progress};
use rhyzome_model::job::FailureKind;
use rhyzome_openwrt::{Hit, Step};

use crate::site::{Site, ensure, lease, made, network, peer, remove, removed};

/// Those after which something has been written.
fn has_begun(step: Step) -> bool {
    !matches!(
        step,
        Step::Look | Step::Plan | Step::Snapshot | Step::Journal
    )
}

async fn nothing_is_left(site: &Site, step: Step) {
    let left = site.driver().inventory(&[]).await.unwrap();
    assert_eq!(left, [], "{step:?}");
    let state = site.machine.path(crate::site::STATE);
    let left = std::fs::read_dir(state).unwrap().count();
    assert_eq!(left, 0, "{step:?}: something is left in the state's folder");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_component_did_is_put_back_and_done_again() {
    let site = Site::new();
    let (placement, spec) = network(2);
    made(&site.driver(), &placement).await;
    removed(&site.driver(), &placement).await;
    let before = site.files();
    for step in Step::CHANGE {
        let error = ensure(&site.dying(step), &placement).await;
        let error = error.expect_err("a component that is killed says nothing");
        assert!(error.chain().contains(step.as_str()), "{}", error.chain());
        // Its next start.
        let driver = site.driver();
        let found = driver.inventory(&[]).await.unwrap();
        assert_eq!(found, [], "{step:?}: what was not done is not there");
        assert_eq!(site.files(), before, "{step:?}");
        let rules = site.rules();
        assert!(!rules.contains("jump input_rz_x2"), "{step:?}: {rules}");
        made(&driver, &placement).await;
        made(&driver, &lease(&spec, 17, "web")).await;
        assert!(driver.look(&placement).await.unwrap().is_ok(), "{step:?}");

        let error = remove(&site.dying(step), &placement).await;
        assert!(error.is_err(), "{step:?}");
        let driver = site.driver();
        let found = driver.inventory(&[]).await.unwrap();
        assert_eq!(
            found[0].placement,
            placement.reference(),
            "{step:?}: it is still known"
        );
        removed(&driver, &placement).await;
        assert_eq!(site.files(), before, "{step:?}");
        nothing_is_left(&site, step).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_component_was_killed_in_while_putting_back_is_put_back() {
    let site = Site::new();
    let (placement, _) = network(1);
    let before = site.files();
    for step in Step::BACK {
        ensure(&site.dying(Step::Verify), &placement)
            .await
            .expect_err("it is killed");
        assert_ne!(site.files(), before);
        let error = site.dying(step).inventory(&[]).await.unwrap_err();
        assert!(error.chain().contains(step.as_str()), "{}", error.chain());
        assert_eq!(site.driver().inventory(&[]).await.unwrap(), []);
        assert!(!site.files()["network"].contains("rz_"), "{step:?}");
        made(&site.driver(), &placement).await;
        removed(&site.driver(), &placement).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_failed_at_any_step_is_put_back_and_done_again() {
    let site = Site::new();
    let (placement, _) = network(2);
    made(&site.driver(), &placement).await;
    removed(&site.driver(), &placement).await;
    let before = site.files();
    for step in Step::CHANGE {
        for kind in [FailureKind::Transient, FailureKind::Permanent] {
            let failing = site.hit(&[(step, Hit::Fail(kind))]);
            let error = ensure(&failing, &placement).await;
            let error = error.expect_err("it was made to fail");
            assert_eq!(error.kind, kind, "{step:?}: {}", error.chain());
            assert!(error.chain().contains(step.as_str()), "{}", error.chain());
            assert_eq!(site.files(), before, "{step:?}");
            // In the same process, without what is done at its start.
            assert_eq!(failing.inventory(&[]).await.unwrap(), [], "{step:?}");
        }
        made(&site.driver(), &placement).await;
        let failing = site.hit(&[(step, Hit::Fail(FailureKind::Transient))]);
        let error = remove(&failing, &placement).await;
        error.expect_err("it was made to fail");
        let looked = failing.look(&placement).await.unwrap();
        assert!(looked.is_ok(), "{step:?}: it is as it was: {looked:?}");
        removed(&site.driver(), &placement).await;
        nothing_is_left(&site, step).await;
    }
    for step in Step::BACK {
        let fails = Hit::Fail(FailureKind::Transient);
        let failing = site.hit(&[(Step::Verify, fails), (step, fails)]);
        let error = ensure(&failing, &placement).await.unwrap_err();
        let said = error.chain();
        assert!(
            said.contains("could not be put back yet"),
            "{step:?}: {said}"
        );
        assert!(said.contains(step.as_str()), "{step:?}: {said}");
        assert_eq!(site.driver().inventory(&[]).await.unwrap(), [], "{step:?}");
        assert_eq!(site.files(), before, "{step:?}");
        nothing_is_left(&site, step).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_lost_its_power_has_all_of_a_change_or_nothing() {
    let mut site = Site::new();
    let (placement, spec) = network(2);
    let (progress, _) = Progress::new();
    for step in Step::CHANGE {
        site.machine.sync();
        let before = site.files();
        site.dying(step)
            .ensure(&placement, &progress)
            .await
            .expect_err("it is killed");
        site.machine.lose_power();
        // What the router starts with can be read, whatever it is.
        assert!(site.uci("show network").contains("network.lan"), "{step:?}");
        assert!(site.uci("show firewall").contains("zone"), "{step:?}");
        let driver = site.driver();
        assert_eq!(driver.inventory(&[]).await.unwrap(), [], "{step:?}");
        assert_eq!(site.files(), before, "{step:?}");
        if has_begun(step) {
            made(&driver, &placement).await;
            // What was done is there after a loss, too.
            made(&driver, &peer(&spec, 2)).await;
            site.machine.lose_power();
            let accepted = [placement.clone()];
            site.machine.wait_for("the network is up", |machine| {
                let output = machine.run(["wg", "show", "rz_x2_wg", "dump"]);
                output.stdout.split(|byte| *byte == b'\n').count() > 2
            });
            let driver = site.driver();
            made(&driver, &placement).await;
            let found = driver.inventory(&accepted).await.unwrap();
            assert_eq!(found.len(), 2, "{step:?}: {found:?}");
            assert!(found[0].observed.is_some(), "{step:?}");
            removed(&driver, &placement).await;
        }
    }
}
