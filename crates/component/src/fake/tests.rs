use super::*;
use crate::contract::{self, Subject};
use crate::samples::{instance, lease, network, peer, segment};

async fn check(kind: ComponentKind, placements: Vec<Placement>, unsupported: Placement) {
    let folder = tempfile::tempdir().expect("a folder");
    let options = Options {
        folder: Some(folder.path().to_owned()),
        ..Options::default()
    };
    let current = Mutex::new(FakeDriver::new(kind, options.clone()).expect("a fake"));
    let lock = || current.lock().expect("nothing panicked");
    let restart = || -> Arc<dyn Driver> {
        let next = FakeDriver::new(kind, options.clone()).expect("a fake");
        lock().clone_from(&next);
        next
    };
    let break_one = |placement: &Placement| {
        let driver = lock().clone();
        driver.vanish(placement.id);
    };
    let driver = lock().clone();
    let mut subject = Subject {
        driver,
        placements,
        unsupported,
        restart: &restart,
        break_one: &break_one,
    };
    contract::all(&mut subject).await;
}

#[tokio::test]
async fn a_simulated_hypervisor_keeps_the_drivers_contract() {
    let placements = vec![segment(1), segment(2), instance(1), instance(2)];
    check(ComponentKind::Libvirt, placements, network(1)).await;
}

#[tokio::test]
async fn a_simulated_router_keeps_the_drivers_contract() {
    let placements = vec![network(1), network(2), lease(1), lease(2), peer(1)];
    check(ComponentKind::Linux, placements, segment(1)).await;
}
