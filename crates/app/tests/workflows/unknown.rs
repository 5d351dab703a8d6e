//! What is on hosts and nobody knows, when there is very much of it.

use std::ops::Range;

use rhyzome_app::restored;
use rhyzome_app::session::{self, MOST_UNKNOWN};
use rhyzome_model::PlacementId;
use rhyzome_model::component::{ComponentKind, HostFacts};
use rhyzome_model::placement::{Found, PlacementKind, PlacementRef};
use rhyzome_store::placement;
use uuid::Uuid;

use super::site::{Component, Site, well_done};

/// Things that nobody knows, each with a number.
fn strays(numbers: Range<u128>) -> Vec<Found> {
    let stray = |number| Found {
        placement: PlacementRef {
            id: PlacementId(Uuid::from_u128(number)),
            kind: PlacementKind::Segment,
            resource: Uuid::from_u128(number),
            network: None,
        },
        generation: 1,
        observed: None,
        differs: String::new(),
    };
    numbers.map(stray).collect()
}

impl Component {
    /// Says what is on its host; whether that is to be told again.
    async fn says(&self, site: &Site, found: &[Found]) -> bool {
        let taken = session::inventory(&site.core, self.id, found).await;
        taken.expect("taken")
    }

    async fn has_room(&self, site: &Site) -> bool {
        let room = session::has_room(&site.core, self.id).await;
        room.expect("a look")
    }

    /// How many things are written down of it that nobody knows.
    async fn unknown(&self, site: &Site) -> usize {
        let mut conn = site.core.store.read().await.expect("a connection");
        let count = placement::count_unknown(&mut conn, self.id).await;
        usize::try_from(count.expect("a count")).expect("a count")
    }

    /// Removes all that it is told to.
    async fn clear(&self, site: &Site, there: &mut Vec<Found>) {
        loop {
            let jobs = self.claim(&site.core).await;
            if jobs.is_empty() {
                return;
            }
            for job in jobs {
                let target = job.task.target().id;
                there.retain(|found| found.placement.id != target);
                self.answer(&site.core, &job, &well_done(&job)).await;
            }
        }
    }
}

/// What was said of a component because its host has too much.
async fn crowded(site: &Site) -> Vec<String> {
    let events = rhyzome_app::event::after(&site.core, &site.admin, None, 0, 1000).await;
    let events = events.expect("events").into_iter();
    let crowded = events.filter(|event| event.what == "crowded");
    crowded.map(|event| event.message).collect()
}

#[tokio::test]
async fn a_host_full_of_what_nobody_knows_is_cleared_in_pieces_and_that_is_said() {
    let site = Site::new().await;
    let host = &site.hypervisor;
    let mut there = strays(0..1600);
    assert!(host.says(&site, &there).await, "more is to be told");
    assert_eq!(host.unknown(&site).await, MOST_UNKNOWN);
    let said = crowded(&site).await;
    let expect = "its host has 600 things more that nobody knows: at most 1000 at a time are removed, the rest \
         is left alone until those are gone";
    assert_eq!(said, [expect]);
    // Said again, or made up anew: no row more, and no word.
    assert!(host.says(&site, &there).await);
    assert!(host.says(&site, &strays(5000..7000)).await);
    assert_eq!(host.unknown(&site).await, MOST_UNKNOWN);
    assert_eq!(crowded(&site).await, said);
    assert!(!host.has_room(&site).await);

    host.clear(&site, &mut there).await;
    assert_eq!((there.len(), host.unknown(&site).await), (600, 0));
    assert!(host.has_room(&site).await);
    assert!(!host.says(&site, &there).await, "all of it is taken");
    assert_eq!(host.unknown(&site).await, 600);
    host.clear(&site, &mut there).await;
    assert_eq!((there.len(), host.unknown(&site).await), (0, 0));
    assert_eq!(crowded(&site).await, said);
}

#[tokio::test]
async fn a_host_full_of_what_others_have_is_not_asked_again_and_again() {
    let site = Site::new().await;
    let facts = HostFacts::default();
    for (called, piece) in [("a", 0..1000), ("b", 1000..2000), ("c", 2000..3000)] {
        let kind = ComponentKind::Libvirt;
        let other = Component::join(&site.core, kind, called, &facts).await;
        assert!(!other.says(&site, &strays(piece)).await);
        assert_eq!(other.unknown(&site).await, 1000);
    }
    let host = &site.hypervisor;
    assert!(
        !host.says(&site, &strays(0..3000)).await,
        "it would be the same again"
    );
    assert_eq!(host.unknown(&site).await, 0);
    // What is its own is seen among it.
    let mut all = strays(0..3000);
    all.splice(1000..1000, strays(9000..9001));
    host.says(&site, &all).await;
    assert_eq!(host.unknown(&site).await, 1);
    assert!(!host.says(&site, &all).await);
}

#[tokio::test]
async fn on_a_restored_site_nothing_is_removed_that_was_not_listed_before() {
    let site = Site::new().await;
    let (core, host) = (&site.core, &site.hypervisor);
    let mut work = core.store.write().await.expect("a transaction");
    let now = rhyzome_model::Timestamp::from_millis(0);
    rhyzome_store::restored::mark(&mut work, now, now)
        .await
        .expect("marked");
    work.commit().await.expect("restored");

    let mut there = strays(0..1600);
    for (round, expect) in [(1, 1000), (2, 600)] {
        assert_eq!(host.says(&site, &there).await, round == 1);
        let state = restored::state(core, &site.admin).await.expect("a look");
        assert_eq!(state.expect("restored").held, expect, "round {round}");
        let before = there.len();
        host.clear(&site, &mut there).await;
        assert_eq!(there.len(), before, "removed unseen in round {round}");
        restored::confirm(core, &site.admin)
            .await
            .expect("confirmed");
        host.clear(&site, &mut there).await;
    }
    assert_eq!((there.len(), host.unknown(&site).await), (0, 0));
    // From now on it is as any other host.
    assert!(!host.says(&site, &strays(1..2)).await);
    host.clear(&site, &mut there).await;
    assert_eq!(host.unknown(&site).await, 0);
}
