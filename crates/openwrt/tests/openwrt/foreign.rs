//! What is the operator's stays the operator's.

use rhyzome_model::job::FailureKind;

use crate::site::{Site, ensure, made, network, removed};

#[tokio::test(flavor = "multi_thread")]
async fn what_the_operator_has_not_committed_is_neither_committed_nor_lost() {
    let site = Site::new();
    site.uci("set network.lan.mtu=1400");
    site.uci("set dhcp.lan.leasetime=7h");
    let staged = site.uci("changes");
    assert!(staged.contains("1400") && staged.contains("7h"), "{staged}");
    let (placement, _) = network(1);
    let driver = site.driver();
    made(&driver, &placement).await;
    assert_eq!(site.uci("changes"), staged);
    assert!(!site.files()["network"].contains("1400"));
    removed(&driver, &placement).await;
    assert_eq!(site.uci("changes"), staged);
    site.uci("commit");
    assert!(site.files()["network"].contains("1400"));
    assert!(site.files()["dhcp"].contains("7h"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_section_with_one_of_our_names_blocks_its_network_alone() {
    let site = Site::new();
    site.uci("set network.rz_x1=interface");
    site.uci("set network.rz_x1.proto=none");
    site.uci("commit network");
    let before = site.uci("show network.rz_x1");
    let driver = site.driver();
    let error = ensure(&driver, &network(1).0).await.unwrap_err();
    assert!(
        error.chain().contains("the interface rz_x1"),
        "{}",
        error.chain()
    );
    assert_eq!(
        error.kind,
        FailureKind::Transient,
        "the operator may rename it"
    );
    let (other, _) = network(2);
    made(&driver, &other).await;
    removed(&driver, &other).await;
    assert_eq!(site.uci("show network.rz_x1"), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_foreign_zone_on_a_network_of_ours_blocks_that_network_alone() {
    let site = Site::new();
    site.uci("add_list firewall.@zone[0].network=rz_x1");
    site.uci("commit firewall");
    let driver = site.driver();
    let error = ensure(&driver, &network(1).0).await.unwrap_err();
    assert!(error.chain().contains("the zone lan"), "{}", error.chain());
    made(&driver, &network(2).0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn comments_are_lost_by_a_change_and_not_by_one_that_is_put_back() {
    let mut site = Site::new();
    let path = site.machine.path("/etc/config/firewall");
    let text = format!("# by hand\n{}", std::fs::read_to_string(&path).unwrap());
    std::fs::write(&path, &text).unwrap();
    let values = site.uci("show firewall");
    site.times.settle = std::time::Duration::from_secs(2);
    site.machine
        .fault(rhyzome_test_router::Fault::ReloadIgnored);
    let (placement, _) = network(1);
    ensure(&site.driver(), &placement).await.unwrap_err();
    assert_eq!(site.files()["firewall"], text);
    site.machine.mend(rhyzome_test_router::Fault::ReloadIgnored);
    site.times.settle = std::time::Duration::from_secs(20);
    let driver = site.driver();
    made(&driver, &placement).await;
    removed(&driver, &placement).await;
    assert_eq!(site.uci("show firewall"), values);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_no_text_or_not_readable_is_left_alone_and_said() {
    let site = Site::new();
    let (placement, _) = network(1);
    for (package, damage, said) in [
        (
            "network",
            &b"config interface 'x'\n\toption descr '\xff'\n"[..],
            "is not UTF-8",
        ),
        ("firewall", b"config zone 'x\n", "cannot be read"),
        ("firewall", b"", "no zones of its own"),
        ("dhcp", b"option a b\n", "cannot be read"),
    ] {
        let path = site.machine.path("/etc/config").join(package);
        let before = std::fs::read(&path).unwrap();
        std::fs::write(&path, damage).unwrap();
        let error = ensure(&site.driver(), &placement).await.unwrap_err();
        let chain = error.chain();
        assert!(chain.contains(said) && chain.contains(package), "{chain}");
        assert_eq!(std::fs::read(&path).unwrap(), damage);
        std::fs::write(&path, before).unwrap();
    }
    made(&site.driver(), &placement).await;
}
