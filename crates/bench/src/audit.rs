//! The audit log: how many changes a second are told of in it, against the same changes without. In this
//! process, without HTTP: so little is lost in nothing else.
//!
//! Both kinds are measured in turn, several times, so that what the machine does besides meets both.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, ensure};
use futures::future::try_join_all;
use rhyzome_app::audit::{Origin, Whose, sealing};
use rhyzome_app::blob::Blobs;
use rhyzome_app::{Caller, Core, CoreOptions, SiteSettings, SystemEnvironment, audit, project};
use rhyzome_pki::authority::Authority;
use rhyzome_store::Store;
use serde_json::{Value, json};

use crate::figures::{Figures, milliseconds, rounded};

const WRITERS: [usize; 3] = [1, 8, 32];

struct Bench {
    core: Core,
    made: AtomicUsize,
}

pub async fn measure(database: Option<&str>, quick: bool) -> anyhow::Result<Figures> {
    let (changes, rounds) = if quick { (100, 1) } else { (3000, 4) };
    let folder = tempfile::tempdir().context("a folder")?;
    let bench = Arc::new(Bench {
        core: open(folder.path(), database).await?,
        made: AtomicUsize::new(0),
    });
    let sealer = tokio::spawn(sealing::run(bench.core.clone()));
    let mut found = Vec::new();
    for writers in WRITERS {
        let (mut with, mut without) = (Duration::ZERO, Duration::ZERO);
        for round in 0..rounds {
            // The tables grow: each is first in every other round.
            let is_first = round % 2 == 0;
            for told in [!is_first, is_first] {
                let took = bench.clone().changes(writers, changes, told).await?;
                *(if told { &mut with } else { &mut without }) += took;
            }
        }
        let all = (changes * rounds) as f64;
        found.push(json!({
            "writers": writers,
            "entries_per_second": rounded(all / with.as_secs_f64(), 1.0),
            "changes_per_second_without": rounded(all / without.as_secs_f64(), 1.0),
            "ratio": rounded(without.as_secs_f64() / with.as_secs_f64(), 1000.0),
        }));
    }
    let mut figures = Figures::default();
    figures.insert("name", "audit");
    let kind = database.map_or("sqlite", |_| "postgresql");
    figures.insert("database", kind);
    figures.insert("change", found);
    figures.insert("verify", bench.verify().await?);
    sealer.abort();
    Ok(figures)
}

async fn open(folder: &Path, database: Option<&str>) -> anyhow::Result<Core> {
    let own = format!("sqlite://{}/bench.db", folder.display());
    let options = CoreOptions {
        store: Store::open(database.unwrap_or(&own)).await?,
        authority: Authority::make("bench", SystemTime::now(), &mut rand::rng())?,
        site: SiteSettings::default(),
        environment: Arc::new(SystemEnvironment),
        blobs: Blobs::folder(folder.join("blobs")),
        grpc_url: "https://127.0.0.1:9090".to_owned(),
        certificate_validity: Duration::from_secs(3600),
        authorization: true,
        oidc: None,
        links: Default::default(),
    };
    Ok(Core::open(options).await?)
}

impl Bench {
    /// So many make so many projects; returns how long that took.
    async fn changes(
        self: Arc<Self>,
        writers: usize,
        count: usize,
        told: bool,
    ) -> anyhow::Result<Duration> {
        let left = Arc::new(AtomicUsize::new(count));
        let began = Instant::now();
        let work = (0..writers).map(|_| {
            let (bench, left) = (self.clone(), left.clone());
            tokio::spawn(async move {
                while left
                    .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1))
                    .is_ok()
                {
                    bench.change(told).await?;
                }
                anyhow::Ok(())
            })
        });
        for done in try_join_all(work).await? {
            done?;
        }
        Ok(began.elapsed())
    }

    async fn change(&self, told: bool) -> anyhow::Result<()> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let name = format!("p{number:07}").parse()?;
        let caller = Caller::local();
        let making = project::create(&self.core, &caller, name);
        if !told {
            making.await?;
            return Ok(());
        }
        let origin = Origin {
            from: Some("192.0.2.1".parse()?),
            request_id: Some("019b2e3a-7d8e-7000-8000-000000000000".to_owned()),
            operation: "project_create".to_owned(),
        };
        audit::during(&self.core, origin, async {
            audit::known(&caller);
            making.await
        })
        .await?;
        Ok(())
    }

    /// One chain with many entries, computed anew.
    async fn verify(&self) -> anyhow::Result<Value> {
        let entries = 10_000;
        for _ in 0..entries / 100 {
            // Of one project: its members' refusals would be counted, its changes are not.
            try_join_all((0..100).map(|_| self.delete_new())).await?;
        }
        sealing::all(&self.core).await?;
        let began = Instant::now();
        let caller = Caller::local();
        let found = audit::verify(&self.core, &caller, &Whose::Site, None).await?;
        ensure!(found.good, "the chain is not whole: {:?}", found.flaws);
        Ok(json!({
            "entries": found.entries,
            "took_ms": milliseconds(began.elapsed()),
        }))
    }

    /// A change that the site's chain tells of.
    async fn delete_new(&self) -> anyhow::Result<()> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let name: rhyzome_model::Name = format!("p{number:07}").parse()?;
        let caller = Caller::local();
        project::create(&self.core, &caller, name.clone()).await?;
        let origin = Origin {
            operation: "project_delete".to_owned(),
            ..Origin::default()
        };
        let deleting = project::delete(&self.core, &caller, &name, None);
        Ok(audit::during(&self.core, origin, deleting).await?)
    }
}
