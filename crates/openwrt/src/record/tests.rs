use super::*;
use crate::samples;

fn placed(spec: PlacementSpec) -> Placement {
    Placement {
        id: PlacementId(Uuid::new_v4()),
        generation: 3,
        spec,
    }
}

fn of(number: u8) -> Vec<Placement> {
    let network = samples::inhabited(number, samples::vlan(100 + u16::from(number)), false, 2);
    let mut all = vec![placed(PlacementSpec::Network(network.spec.clone()))];
    all.extend(
        network
            .leases
            .into_iter()
            .map(|lease| placed(PlacementSpec::Lease((*lease).clone()))),
    );
    all.extend(
        network
            .peers
            .into_iter()
            .map(|peer| placed(PlacementSpec::Peer((*peer).clone()))),
    );
    all
}

fn records(placements: &[Placement]) -> Records {
    let mut records = Records::default();
    for placement in placements {
        records.put(placement).unwrap();
    }
    records
}

#[test]
fn what_is_written_is_read_and_what_is_put_back_is_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let before = records(&of(1));
    write(folder.path(), &differences(&Records::default(), &before)).unwrap();
    assert_eq!(Records::read(folder.path()).unwrap(), before);

    let mut after = before.clone();
    for placement in of(2) {
        after.put(&placement).unwrap();
    }
    let first = *before.networks.keys().next().unwrap();
    after.take_away(&before.networks[&first].reference());
    let changes = differences(&before, &after);
    write(folder.path(), &changes).unwrap();
    assert_eq!(Records::read(folder.path()).unwrap(), after);
    put_back(folder.path(), &changes).unwrap();
    assert_eq!(Records::read(folder.path()).unwrap(), before);
}

#[test]
fn a_peer_is_a_file_of_its_own_and_the_others_stay() {
    let placements = of(1);
    let before = records(&placements);
    let mut after = before.clone();
    after.take_away(&placements.last().unwrap().reference());
    let changes = differences(&before, &after);
    assert_eq!(changes.len(), 1);
    assert_eq!(changes[0].after, None);
}

#[test]
fn a_network_keeps_its_key_when_it_changes() {
    let placements = of(1);
    let before = records(&placements);
    let mut after = before.clone();
    let newer = Placement {
        generation: 4,
        ..placements[0].clone()
    };
    after.put(&newer).unwrap();
    assert!(after.has(&newer) && !after.has(&placements[0]));
    let keys = |records: &Records| -> Vec<PrivateKey> {
        records
            .networks
            .values()
            .map(|kept| kept.key.clone())
            .collect()
    };
    assert_eq!(keys(&before), keys(&after));
}

#[test]
fn nothing_is_left_where_the_last_network_went() {
    let folder = tempfile::tempdir().unwrap();
    let all = records(&of(1));
    write(folder.path(), &differences(&Records::default(), &all)).unwrap();
    write(folder.path(), &differences(&all, &Records::default())).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_understood_is_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let all = records(&of(1));
    let changes = differences(&Records::default(), &all);
    write(folder.path(), &changes).unwrap();
    let peer = changes
        .iter()
        .find(|change| change.path.to_string_lossy().contains("peers"));
    std::fs::write(folder.path().join(&peer.unwrap().path), "{").unwrap();
    let read = Records::read(folder.path()).unwrap();
    let kept = read.networks.values().next().unwrap();
    assert_eq!((kept.peers.len(), kept.leases.len()), (1, 2));
}

#[test]
fn a_lease_needs_its_network() {
    let error = Records::default().put(&of(1)[1]).unwrap_err();
    assert!(matches!(error, RecordError::NoNetwork(_)), "{error}");
}
