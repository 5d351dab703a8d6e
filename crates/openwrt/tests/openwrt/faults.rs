//! What goes wrong on a router, and that it is as it was then.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rhyzome_component::Driver;
use rhyzome_model::job::FailureKind;
use rhyzome_openwrt::Step;
use rhyzome_test_router::{Fault, Router};

use crate::site::{Core, Site, ensure, lease, made, network, once, removed};

fn impatient() -> Site {
    let mut site = Site::new();
    site.times.settle = Duration::from_secs(6);
    site
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_run_as_meant_is_put_back_and_made_when_it_can_be() {
    let site = impatient();
    let (placement, spec) = network(2);
    made(&site.driver(), &placement).await;
    removed(&site.driver(), &placement).await;
    let as_it_was = site.files();
    for (fault, said) in [
        (Fault::ReloadIgnored, "netifd has no interface rz_x2"),
        (Fault::FirewallIgnored, "the firewall's rule is missing"),
        (Fault::FirewallSkips, "fw4 leaves something out"),
        (Fault::DnsmasqCrashes, "dnsmasq does not run"),
        (Fault::WireguardFails, "rz_x2_wg is not up"),
    ] {
        site.machine.fault(fault);
        let driver = site.driver();
        let error = ensure(&driver, &placement).await;
        let error = error.expect_err("it cannot be made");
        assert!(error.chain().contains(said), "{fault:?}: {}", error.chain());
        assert_eq!(error.kind, FailureKind::Transient, "{fault:?}");
        assert_eq!(site.files(), as_it_was, "{fault:?}");
        site.machine.mend(fault);
        made(&driver, &placement).await;
        made(&driver, &lease(&spec, 17, "web")).await;
        removed(&driver, &placement).await;
        assert_eq!(site.files(), as_it_was, "{fault:?}");
        assert!(!site.rules().contains("jump input_rz_"), "{fault:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_that_comes_late_is_waited_for() {
    let site = Site::new();
    site.machine.fault(Fault::ReloadLate);
    made(&site.driver(), &network(1).0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_flash_is_said_and_harms_nothing() {
    let site = Arc::new(Site::new());
    let (placement, _) = network(1);
    made(&site.driver(), &placement).await;
    removed(&site.driver(), &placement).await;
    let as_it_was = site.files();
    for step in [
        Step::Snapshot,
        Step::Record,
        Step::Firewall,
        Step::Network,
        Step::Dhcp,
    ] {
        let fills = Arc::clone(&site);
        let fill = once(step, move || fills.machine.fill_flash());
        let driver = site.driver().interrupted_by(fill);
        let error = ensure(&driver, &placement).await;
        let error = error.expect_err("there is no room");
        assert!(
            error.chain().contains("flash is full"),
            "{step:?}: {}",
            error.chain()
        );
        assert_eq!(site.files(), as_it_was, "{step:?}");
        site.machine.empty_flash();
        made(&driver, &placement).await;
        removed(&driver, &placement).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_ubus_nothing_is_changed_and_what_was_is_put_back_later() {
    let site = Arc::new(impatient());
    let (placement, _) = network(1);
    let as_it_was = site.files();
    site.machine.fault(Fault::NoUbus);
    let error = ensure(&site.driver(), &placement).await;
    let error = error.expect_err("there is no ubus");
    assert!(error.chain().contains("ubus"), "{}", error.chain());
    assert_eq!(site.files(), as_it_was);
    site.machine.mend(Fault::NoUbus);

    let goes = Arc::clone(&site);
    let go = once(Step::Reload, move || goes.machine.fault(Fault::NoUbus));
    let driver = site.driver().interrupted_by(go);
    let error = ensure(&driver, &placement).await.unwrap_err();
    let said = error.chain();
    assert!(said.contains("could not be put back yet"), "{said}");
    assert_eq!(site.files(), as_it_was, "the files are");
    site.machine.mend(Fault::NoUbus);
    made(&driver, &placement).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ubus_that_hangs_is_given_up_and_said_and_what_was_is_put_back_later() {
    let site = Arc::new(impatient());
    let (placement, spec) = network(1);
    made(&site.driver(), &placement).await;
    removed(&site.driver(), &placement).await;
    let as_it_was = site.files();
    let hangs = Arc::clone(&site);
    let hang = once(Step::Reload, move || {
        hangs.machine.fault(Fault::UbusHangs);
    });
    let driver = site.driver().interrupted_by(hang);
    // Twice: while the change is made and put back, and while nothing can even be looked at.
    for said in ["could not be put back yet", "Request timed out"] {
        let began = Instant::now();
        let error = ensure(&driver, &placement).await;
        let error = error.expect_err("nobody answers");
        assert_eq!(error.kind, FailureKind::Transient);
        let chain = error.chain();
        assert!(
            chain.contains(said) && chain.contains("timed out"),
            "{chain}"
        );
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "it is waited for"
        );
        assert_eq!(site.files(), as_it_was, "the files are put back");
    }
    let error = driver.inventory(&[]).await.expect_err("nobody answers");
    assert!(error.chain().contains("timed out"), "{}", error.chain());
    site.machine.mend(Fault::UbusHangs);
    made(&driver, &placement).await;
    made(&driver, &lease(&spec, 17, "web")).await;
    removed(&driver, &placement).await;
    assert_eq!(site.files(), as_it_was);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_after_which_the_core_cannot_be_reached_is_put_back() {
    let mut site = Site::new();
    let network_file = site.machine.path("/etc/config/network");
    let is_reached = move || {
        let text = std::fs::read_to_string(&network_file).unwrap();
        !text.contains("rz_x1")
    };
    site.confirm = Some(Arc::new(Core(Box::new(is_reached))));
    let as_it_was = site.files();
    let driver = site.driver();
    let error = ensure(&driver, &network(1).0).await.unwrap_err();
    assert!(
        error.chain().contains("core cannot be reached"),
        "{}",
        error.chain()
    );
    assert_eq!(error.kind, FailureKind::Permanent, "it was this change");
    assert_eq!(site.files(), as_it_was);
    assert_eq!(driver.inventory(&[]).await.unwrap(), []);
    // Another one is not hindered.
    made(&driver, &network(2).0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_core_that_goes_by_itself_is_no_reason_to_refuse_a_change() {
    let mut site = Site::new();
    let asked = AtomicBool::new(false);
    let once = move || !asked.swap(true, Ordering::Relaxed);
    site.confirm = Some(Arc::new(Core(Box::new(once))));
    let (placement, _) = network(1);
    let driver = site.driver();
    let error = ensure(&driver, &placement).await.unwrap_err();
    assert_eq!(error.kind, FailureKind::Transient, "{}", error.chain());
    // It was away before this one.
    made(&driver, &placement).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rpcd_is_not_needed() {
    let site = Site::on(Router::builder().rpcd(false).start());
    made(&site.driver(), &network(1).0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_rpcd_allows_and_when_it_restarts_is_no_matter() {
    let site = Site::new();
    site.machine.fault(Fault::NoAcl);
    let driver = site.driver();
    made(&driver, &network(1).0).await;
    site.machine.run(["/etc/init.d/rpcd", "restart"]);
    made(&driver, &network(2).0).await;
}
