//! From the request for an instance to its first answer through the tunnel, and what that time goes into.

use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use rhyzome_end_to_end::Tunnelled;
use rhyzome_end_to_end::operator::name;
use rhyzome_end_to_end::page::Page;
use serde_json::json;

use crate::figures::{Figures, Times, rounded};
use crate::site::{self, PATIENCE, Site, hello, runs};

pub async fn measure(quick: bool) -> anyhow::Result<Figures> {
    let times = if quick { 3 } else { 25 };
    site::measured(async move |site| measure_on(&site, times).await).await
}

/// One instance's way, in parts that follow each other.
struct Way {
    /// Until the core has answered: the instance has its addresses, and its job waits.
    asked: Duration,
    /// Until the core says that it runs.
    started: Duration,
    /// Until the page is there.
    answered: Duration,
    /// How long the guest was up by then, by its own clock.
    guest: Duration,
}

/// One of them, or a sum.
type Part = fn(&Way) -> Duration;

impl Way {
    fn whole(&self) -> Duration {
        self.asked + self.started + self.answered
    }
}

async fn measure_on(site: &Site<'_>, times: usize) -> anyhow::Result<Figures> {
    let (project, lab) = (name("bench"), name("lab"));
    let config = site.operator.add_peer(&project, "laptop", &[&lab]);
    let tunnel = Tunnelled::start(&site.world.member, &config);
    // The first of all: the image comes to the host, the segment is made, the tunnel's session begins.
    let first = go(site, &tunnel).await?;
    let mut ways = Vec::new();
    for _ in 0..times {
        ways.push(go(site, &tunnel).await?);
    }
    let mut figures = Figures::default();
    figures.insert("name", "first-request");
    figures.insert("instances", times);
    figures.insert(
        "first_of_all_ms",
        rounded(first.whole().as_secs_f64() * 1e3, 10.0),
    );
    let of = |part: Part| {
        let mut times = Times::default();
        ways.iter().for_each(|way| times.push(part(way)));
        times
    };
    let whole = of(Way::whole);
    figures.insert(
        "whole",
        json!({ "p50_ms": whole.percentile(50), "p90_ms": whole.percentile(90) }),
    );
    let parts: [(&str, Part); 3] = [
        ("until_the_core_answers", |way| way.asked),
        ("until_it_runs", |way| way.started),
        ("until_the_page_is_there", |way| way.answered),
    ];
    for (part, of_way) in parts {
        let times = of(of_way);
        let share = times.percentile(50) / whole.percentile(50);
        figures.insert(
            part,
            json!({ "p50_ms": times.percentile(50), "share": rounded(share, 100.0) }),
        );
    }
    let guest = of(|way| way.guest);
    figures.insert(
        "guest_up_by_then",
        json!({ "p50_ms": guest.percentile(50) }),
    );
    Ok(figures)
}

async fn go(site: &Site<'_>, tunnel: &Tunnelled) -> anyhow::Result<Way> {
    let (web, instances) = (name("web"), site.scope.instance());
    let begin = Instant::now();
    let made = instances.create(&web, hello(), None).await?;
    let asked = begin.elapsed();
    let interface = made.status.interfaces.first().context("an address")?;
    let address = interface.ipv4;
    runs(instances.get_tagged(&web, Some(PATIENCE)).await?.value)?;
    let started = begin.elapsed();
    let page: Page = tunnel.ask(address).await.map_err(|why| anyhow!(why))?;
    let answered = begin.elapsed();
    site.remove("web").await?;
    Ok(Way {
        asked,
        started: started - asked,
        answered: answered - started,
        guest: Duration::from_millis(page.uptime_ms),
    })
}
