//! `rhyzome token …`

use std::time::Duration;

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use rhyzome_client::Tokens;
use rhyzome_model::resource::ApiToken;
use rhyzome_model::role::Role;
use rhyzome_model::token::ApiTokenSpec;
use rhyzome_model::{Name, Timestamp};
use rhyzome_wire::request::MintedToken;

use crate::args::duration;
use crate::complete;
use crate::failure::Failure;
use crate::output::{Cell, Details, Mode, Row, Thing, time};
use crate::session::{Cx, Session};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make an API token, for a program or a person.
    #[command(after_help = "\
Example:
  rhyzome token create ci --role viewer --expires 30d
  rhyzome token create --project garden --role viewer --expires 30d --name ci
  rhyzome --project garden token create ada --role owner
  rhyzome token create watcher --site --role auditor --quiet > token")]
    Create(Create),
    /// List the API tokens.
    #[command(after_help = "Example:\n  rhyzome token list\n  rhyzome token list --site")]
    List(Whose),
    /// Show an API token, without its secret.
    #[command(after_help = "Example:\n  rhyzome token show ci")]
    Show(Named),
    /// Revoke an API token: it is good no longer when this returns.
    #[command(after_help = "Example:\n  rhyzome token revoke ci")]
    Revoke(Named),
}

#[derive(Debug, Args)]
pub struct Whose {
    /// The site's own tokens, and not those of the project.
    #[arg(long)]
    site: bool,
}

#[derive(Debug, Args)]
pub struct Named {
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::tokens))]
    name: Name,
    #[command(flatten)]
    whose: Whose,
}

#[derive(Debug, Args)]
pub struct Create {
    #[arg(value_name = "NAME", required_unless_present = "named")]
    name: Option<Name>,
    /// The same, as an option.
    #[arg(
        long = "name",
        id = "named",
        value_name = "NAME",
        conflicts_with = "name"
    )]
    named: Option<Name>,
    /// What it may: viewer, member or owner in the project; auditor or admin on the site.
    #[arg(long, value_name = "ROLE", value_parser = role())]
    role: Role,
    /// How long it is good for, from 60s to 366d; for ever if this is left out.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    expires: Option<Duration>,
    #[command(flatten)]
    whose: Whose,
}

fn role() -> impl clap::builder::TypedValueParser<Value = Role> {
    use clap::builder::TypedValueParser as _;
    clap::builder::PossibleValuesParser::new(Role::ALL.map(Role::as_str))
        .try_map(|text| text.parse::<Role>())
}

impl Whose {
    fn tokens(&self, session: &Session<'_>) -> Tokens {
        match self.site {
            true => session.client.token(),
            false => session.scope.token(),
        }
    }
}

impl Command {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let session = cx.session()?;
        match self {
            Self::Create(create) => {
                let seconds = |time: Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX);
                let spec = ApiTokenSpec {
                    role: create.role,
                    expires_in: create.expires.map(seconds),
                };
                let tokens = create.whose.tokens(&session);
                let name = create.name.or(create.named);
                let name = name.expect("one of the two is required");
                shown(cx, &tokens.mint(&name, spec).await?)
            }
            Self::List(whose) => {
                let all = whose.tokens(&session).all().await?;
                cx.output.list(&all, "there are no API tokens")
            }
            Self::Show(Named { name, whose }) => {
                cx.output.thing(&whose.tokens(&session).get(&name).await?)
            }
            Self::Revoke(Named { name, whose }) => {
                whose.tokens(&session).delete(&name, None, None).await?;
                let sentence = format!("API token {name} is revoked");
                cx.output.gone(&None::<ApiToken>, name.as_str(), &sentence)
            }
        }
    }
}

fn shown(cx: &Cx, minted: &MintedToken) -> Result<(), Failure> {
    match cx.output.mode {
        Mode::Json => cx.output.json(minted),
        Mode::Quiet => cx.output.line(&minted.secret),
        Mode::People => {
            let until = match minted.token.expires_at {
                Some(at) => format!("expires {}", time::ago(at, time::now())),
                None => "is good until it is revoked".to_owned(),
            };
            cx.output
                .note(&format!("It is shown this once, and {until}."));
            cx.output.line(&minted.secret)
        }
    }
}

impl Row for ApiToken {
    const HEADER: &'static [&'static str] = &["NAME", "ROLE", "EXPIRES", "LAST USED", "AGE"];

    fn name(&self) -> String {
        self.meta.name.to_string()
    }

    fn cells(&self, now: Timestamp) -> Vec<Cell> {
        let at = |time: Option<Timestamp>| match time {
            Some(at) => time::ago(at, now),
            None => "never".to_owned(),
        };
        vec![
            Cell::new(&self.meta.name),
            Cell::new(self.role),
            Cell::new(at(self.expires_at)),
            Cell::new(at(self.last_used_at)),
            Cell::new(time::age(self.meta.created_at, now)),
        ]
    }
}

impl Thing for ApiToken {
    fn name(&self) -> String {
        self.meta.name.to_string()
    }

    fn details(&self, now: Timestamp) -> Details {
        let at = |time: Option<Timestamp>| time.map(|at| time::ago(at, now));
        Details::of(&self.meta, now)
            .text("role", self.role)
            .maybe("expires", at(self.expires_at))
            .maybe("last used", at(self.last_used_at))
    }
}
