//! What finding out who is asking costs: a look and a list, as callers of different kinds, against the administrator's in the
//! same rounds.

use std::time::Instant;

use anyhow::Context as _;
use rhyzome_client::{Client, Scope};
use rhyzome_model::Name;
use rhyzome_model::role::Role;
use rhyzome_model::token::ApiTokenSpec;
use rhyzome_model::user::InvitationSpec;
use serde_json::{Value, json};

use crate::core::Core;
use crate::figures::{Times, rounded};

/// In how many projects somebody is who is in many.
const MANY: usize = 20;

/// Somebody, and how long they were kept waiting.
struct Caller {
    what: &'static str,
    scope: Scope,
    one: Times,
    page: Times,
}

/// Times of looks at these instances of the default project, and of pages of a hundred; as ratios to the administrator's.
pub async fn measure(core: &Core, names: &[Name], rounds: usize) -> anyhow::Result<Value> {
    let default = Name::default_project();
    let mut callers = Vec::new();
    for (what, client) in everybody(core).await? {
        callers.push(Caller {
            what,
            scope: client.within(&default),
            one: Times::default(),
            page: Times::default(),
        });
    }
    for round in 0..rounds {
        // A prime apart, so that no two neighbours follow each other.
        let name = &names[(round * 7919) % names.len()];
        for caller in &mut callers {
            let instances = caller.scope.instance();
            let asked = Instant::now();
            instances.get(name).await?;
            caller.one.push(asked.elapsed());
            let asked = Instant::now();
            instances.list(100, None).await?;
            caller.page.push(asked.elapsed());
        }
    }
    let first = callers.first().context("the administrator")?;
    let (one, page) = (first.one.percentile(50), first.page.percentile(50));
    let rows = callers.iter().map(|caller| {
        json!({
            "caller": caller.what,
            "get_p50_ms": caller.one.percentile(50),
            "get_ratio": rounded(caller.one.percentile(50) / one, 100.0),
            "page_p50_ms": caller.page.percentile(50),
            "page_ratio": rounded(caller.page.percentile(50) / page, 100.0),
        })
    });
    let rows: Vec<Value> = rows.collect();
    Ok(json!({"callers": rows, "stranger": stranger(core, names, rounds).await?}))
}

/// The administrator first.
async fn everybody(core: &Core) -> anyhow::Result<Vec<(&'static str, Client)>> {
    let (admin, default) = (core.client()?, Name::default_project());
    let viewer = ApiTokenSpec {
        role: Role::Viewer,
        expires_in: None,
    };
    let of_nobody = admin
        .within(&default)
        .token()
        .mint(&"bench".parse()?, viewer.clone())
        .await?;
    let ada = person(core, "ada").await?;
    let eve = person(core, "eve").await?;
    for number in 1..MANY {
        let project: Name = format!("p{number}").parse()?;
        admin.project().create_named(&project).await?;
        eve.redeem(&invitation(&admin, &project).await?, None)
            .await?;
    }
    let of_somebody = ada
        .within(&default)
        .token()
        .mint(&"ada-s".parse()?, viewer)
        .await?;
    Ok(vec![
        ("administrator", admin),
        ("viewer's token", core.client_with(&of_nobody.secret)?),
        (
            "token that a person made",
            core.client_with(&of_somebody.secret)?,
        ),
        ("person in 1 project", ada),
        ("person in 20 projects", eve),
    ])
}

async fn invitation(admin: &Client, project: &Name) -> anyhow::Result<String> {
    let spec = InvitationSpec {
        role: Role::Owner,
        expires_in: None,
    };
    Ok(admin.within(project).invitation().mint(spec).await?.code)
}

/// Somebody new, an owner of the default project.
async fn person(core: &Core, called: &str) -> anyhow::Result<Client> {
    let admin = core.client()?;
    let code = invitation(&admin, &Name::default_project()).await?;
    let redeemed = admin
        .without_token()
        .redeem(&code, Some(&called.parse()?))
        .await?;
    let session = redeemed.session.context("a session")?;
    core.client_with(&session.secret)
}

/// What a stranger is told of a project that is there, against one that is not: the ratio of the times of both refusals.
async fn stranger(core: &Core, names: &[Name], rounds: usize) -> anyhow::Result<Value> {
    let admin = core.client()?;
    let elsewhere: Name = "elsewhere".parse()?;
    admin.project().create_named(&elsewhere).await?;
    let owner = ApiTokenSpec {
        role: Role::Owner,
        expires_in: None,
    };
    let minted = admin
        .within(&elsewhere)
        .token()
        .mint(&"bench".parse()?, owner)
        .await?;
    let stranger = core.client_with(&minted.secret)?;
    let (mut there, mut nowhere) = (Times::default(), Times::default());
    let (default, missing): (Name, Name) = (Name::default_project(), "missing".parse()?);
    for round in 0..rounds {
        let name = &names[(round * 7919) % names.len()];
        for (project, times) in [(&default, &mut there), (&missing, &mut nowhere)] {
            let instances = stranger.within(project).instance();
            let asked = Instant::now();
            let refused = instances.get(name).await;
            times.push(asked.elapsed());
            anyhow::ensure!(refused.is_err(), "a stranger sees {name}");
        }
    }
    Ok(json!({
        "there_p50_ms": there.percentile(50),
        "missing_p50_ms": nowhere.percentile(50),
        "ratio": rounded(there.percentile(50) / nowhere.percentile(50), 100.0),
    }))
}
