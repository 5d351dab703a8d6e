//! The audit log: what is in it, that it is written with the change, and that it is sealed by whoever comes.

use rhyzome_app::audit::{self, Origin, Whose, sealing};
use rhyzome_app::{Caller, PageRequest, authenticate, housekeeping, network, project, token};
use rhyzome_model::audit::{ActorKind, AuditEntry, AuditResult, DROPPED, ENDED};
use rhyzome_model::network::NetworkSpec;
use rhyzome_model::role::Role;
use rhyzome_model::token::ApiTokenSpec;
use rhyzome_model::{Name, Timestamp};

use super::site::{Site, name};

const DAY: i64 = 24 * 3_600_000;

/// Does something as the API does it for a caller.
async fn asked<T>(site: &Site, caller: &Caller, what: &str, work: impl Future<Output = T>) -> T {
    let origin = Origin {
        from: Some("192.0.2.7".parse().expect("an address")),
        request_id: Some(format!("request-{what}")),
        operation: what.to_owned(),
    };
    audit::during(&site.core, origin, async {
        audit::known(caller);
        work.await
    })
    .await
}

async fn make(site: &Site, project: &Name, called: &str) -> bool {
    let (core, admin) = (&site.core, &site.admin);
    let spec = NetworkSpec::default();
    let making = network::create(core, admin, project, name(called), spec);
    asked(site, admin, "network_create", making).await.is_ok()
}

async fn entries(site: &Site, whose: &Whose) -> Vec<AuditEntry> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        // Small pages, so that there are several.
        let page = PageRequest { limit: 3, after };
        let listed = audit::list(&site.core, &site.admin, whose, &page).await;
        let (some, next) = listed.expect("a page");
        all.extend(some);
        match next {
            Some(next) => after = Some(next),
            None => return all,
        }
    }
}

fn named(entry: &AuditEntry) -> &str {
    entry.resource.as_ref().map_or("", |one| one.name.as_str())
}

async fn whole(site: &Site, whose: &Whose) -> rhyzome_model::audit::Verification {
    let found = audit::verify(&site.core, &site.admin, whose, None).await;
    let found = found.expect("a verification");
    assert!(found.good, "{found:?}");
    found
}

#[tokio::test]
async fn a_change_is_told_of_with_who_from_where_and_to_which_jobs_it_led() {
    let site = Site::new().await;
    let of = Whose::Project(site.default.clone());
    assert!(make(&site, &site.default, "lab").await);
    // What does not come about leaves nothing.
    assert!(!make(&site, &site.default, "lab").await);
    let all = entries(&site, &of).await;
    let [entry] = all.as_slice() else {
        panic!("{all:?}");
    };
    assert_eq!(
        (entry.actor.kind, entry.actor.name.as_str()),
        (ActorKind::Local, "local")
    );
    assert_eq!(entry.from.as_deref(), Some("192.0.2.7"));
    assert_eq!(entry.request_id.as_deref(), Some("request-network_create"));
    assert_eq!(entry.operation, "network_create");
    assert_eq!((named(entry), entry.result), ("lab", AuditResult::Done));
    assert_eq!((entry.jobs.len(), entry.seal), (1, None));
    // The job's end names what led to it.
    let change = entry.clone();
    site.settle().await;
    let all = entries(&site, &of).await;
    let end = all.last().expect("an entry");
    assert_eq!(
        (end.operation.as_str(), end.cause),
        ("job_end", Some(change.id))
    );
    assert_eq!(
        (end.actor.kind, end.jobs.as_slice()),
        (ActorKind::Component, change.jobs.as_slice())
    );
}

#[tokio::test]
async fn what_was_committed_before_a_core_was_killed_is_sealed_by_the_next() {
    let site = Site::new().await;
    let of = Whose::Project(site.default.clone());
    for number in 0..7 {
        assert!(make(&site, &site.default, &format!("net{number}")).await);
    }
    // No core has sealed anything: it was killed in between, as far as the database knows.
    let found = whole(&site, &of).await;
    assert_eq!((found.entries, found.unsealed.len()), (0, 7));
    sealing::once(&site.core).await.expect("sealed");
    let found = whole(&site, &of).await;
    assert_eq!((found.entries, found.unsealed.len()), (7, 0));
    let all = entries(&site, &of).await;
    let names: Vec<&str> = all.iter().map(named).collect();
    assert_eq!(
        names,
        ["net0", "net1", "net2", "net3", "net4", "net5", "net6"]
    );
    let numbers = all.iter().map(|entry| entry.seal.expect("a seal").number);
    assert!(numbers.eq(1..=7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn several_that_seal_while_others_write_make_one_chain() {
    let site = Site::new().await;
    let of = Whose::Project(site.default.clone());
    let site_ref = &site;
    let writing = async {
        for number in 0..30 {
            let (core, admin, default) = (&site_ref.core, &site_ref.admin, &site_ref.default);
            let spec = ApiTokenSpec {
                role: Role::Viewer,
                expires_in: None,
            };
            let called = name(&format!("t{number}"));
            let making = token::create(core, admin, Some(default), called, spec);
            let made = asked(site_ref, admin, "token_create", making).await;
            made.expect("a token");
        }
    };
    let sealing = async {
        for _ in 0..60 {
            sealing::all(&site_ref.core).await.expect("sealed");
            tokio::task::yield_now().await;
        }
    };
    let other = {
        let core = site.core.clone();
        tokio::spawn(async move {
            for _ in 0..60 {
                sealing::all(&core).await.expect("sealed");
                tokio::task::yield_now().await;
            }
        })
    };
    tokio::join!(writing, sealing);
    other.await.expect("it ends");
    sealing::all(&site.core).await.expect("sealed");
    let found = whole(&site, &of).await;
    assert_eq!((found.entries, found.seen.number), (30, 30));
}

#[tokio::test]
async fn refusals_are_counted_and_told_to_whom_they_concern() {
    let site = Site::new().await;
    let core = &site.core;
    for project in ["garden", "shed"] {
        project::create(core, &site.admin, name(project))
            .await
            .expect("a project");
    }
    let spec = ApiTokenSpec {
        role: Role::Viewer,
        expires_in: None,
    };
    let garden = name("garden");
    let minted = token::create(core, &site.admin, Some(&garden), name("ci"), spec).await;
    let secret = minted.expect("a token").secret.reveal();
    let viewer = authenticate(core, Some(&secret)).await.expect("known");
    for _ in 0..20 {
        for project in ["garden", "shed", "nowhere"] {
            let project = name(project);
            let spec = NetworkSpec::default();
            let making = network::create(core, &viewer, &project, name("x"), spec);
            let refused = asked(&site, &viewer, "network_create", making).await;
            refused.expect_err("a viewer changes nothing");
        }
    }
    sealing::once(core).await.expect("sealed");
    let refused = |entries: &[AuditEntry]| -> Vec<(String, u64)> {
        let refused = entries.iter().filter(|e| e.result == AuditResult::Refused);
        let told = refused.map(|e| {
            assert_eq!(e.actor.name, "garden/ci");
            (
                e.project
                    .as_ref()
                    .map_or(String::new(), ToString::to_string),
                e.count,
            )
        });
        told.collect()
    };
    let own = entries(&site, &Whose::Project(garden)).await;
    assert_eq!(refused(&own), [("garden".to_owned(), 20)]);
    // Others' owners learn nothing of the stranger, and auditors do.
    let others = entries(&site, &Whose::Project(name("shed"))).await;
    assert_eq!(refused(&others), []);
    let mut of_site = refused(&entries(&site, &Whose::Site).await);
    of_site.sort();
    assert_eq!(
        of_site,
        [("nowhere".to_owned(), 20), ("shed".to_owned(), 20)]
    );
    whole(&site, &Whose::Site).await;
}

#[tokio::test]
async fn old_entries_go_and_the_chain_stays_whole() {
    let site = Site::new().await;
    let of = Whose::Project(site.default.clone());
    for number in 0..5 {
        assert!(make(&site, &site.default, &format!("old{number}")).await);
    }
    sealing::once(&site.core).await.expect("sealed");
    let noted = whole(&site, &of).await.seen;
    site.clock.advance(300 * DAY);
    assert!(make(&site, &site.default, "young").await);
    sealing::once(&site.core).await.expect("sealed");
    site.clock.advance(100 * DAY);
    for _ in 0..2 {
        housekeeping::once(&site.core).await.expect("tidied");
        sealing::once(&site.core).await.expect("sealed");
    }
    let all = entries(&site, &of).await;
    let told: Vec<&str> = all.iter().map(|e| e.operation.as_str()).collect();
    assert_eq!(told, ["network_create", DROPPED]);
    assert_eq!(named(&all[0]), "young");
    let found = whole(&site, &of).await;
    assert_eq!(found.chain.checkpoint, noted);
}

#[tokio::test]
async fn the_chain_of_a_project_that_is_gone_ends_in_the_sites() {
    let site = Site::new().await;
    let core = &site.core;
    let garden = name("garden");
    let making = project::create(core, &site.admin, garden.clone());
    let made = asked(&site, &site.admin, "project_create", making).await;
    let id = made.expect("a project").meta.id.to_string();
    sealing::once(core).await.expect("sealed");
    let deleting = project::delete(core, &site.admin, &garden, None);
    let deleted = asked(&site, &site.admin, "project_delete", deleting).await;
    deleted.expect("deleted");
    housekeeping::once(core).await.expect("tidied");
    sealing::once(core).await.expect("sealed");
    let of = Whose::Chain(id.clone());
    let found = whole(&site, &of).await;
    assert_eq!((found.entries, found.chain.ended), (1, true));
    assert_eq!(found.chain.project, Some(garden));
    let of_site = entries(&site, &Whose::Site).await;
    let told = |operation: &str| {
        let mut all = of_site.iter().filter(|e| e.operation == operation);
        all.next()
            .unwrap_or_else(|| panic!("no {operation} in {of_site:?}"))
    };
    assert_eq!(named(told("project_delete")), "garden");
    assert_eq!(told(ENDED).reason, Some(found.seen.to_string()));
    // With its last entry the chain goes; that it was there stays.
    site.clock.advance(400 * DAY);
    housekeeping::once(core).await.expect("tidied");
    let (chains, _) = audit::chains(core, &site.admin, &PageRequest::default())
        .await
        .expect("chains");
    assert!(chains.iter().all(|chain| chain.chain != id), "{chains:?}");
}

#[tokio::test]
async fn a_component_that_joins_is_told_of() {
    let site = Site::new().await;
    let all = entries(&site, &Whose::Site).await;
    let joined: Vec<&str> = all
        .iter()
        .filter(|e| e.operation == "component_join")
        .map(named)
        .collect();
    assert_eq!(joined, ["node", "gate"]);
    assert!(all.iter().all(|e| e.time > Timestamp::from_millis(0)));
}
