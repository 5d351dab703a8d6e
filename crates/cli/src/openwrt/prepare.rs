//! `rhyzome openwrt prepare`: what is asked for, in which order it is done, and what is said of it.

use std::env;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::{Args, ValueHint};
use ipnet::IpNet;
use rhyzome_model::mac::MacAddr;
use rhyzome_model::segment::Segmentation;
use rhyzome_model::{Name, Size, Timestamp};
use rhyzome_openwrt_image::{
    Card, Done, Draft, Error, Opened, Ready, Role, Settings, Tools, Uplink, Wanted, Watch,
};
use rhyzome_wire::request::JoinToken;
use serde::Serialize;

use super::interruption::Interruption;
use super::{agent, site, token};
use crate::args::duration;
use crate::failure::Failure;
use crate::image::import;
use crate::output::time;
use crate::progress::Progress;
use crate::session::{Cx, Session};

#[derive(Debug, Args)]
pub struct Prepare {
    /// An official image, compressed or not.
    #[arg(value_name = "IMAGE", value_hint = ValueHint::FilePath)]
    image: PathBuf,
    /// What the router is called, and the image with it.
    #[arg(long, value_name = "NAME")]
    name: Name,
    /// Packages that the image lacks, as files (.ipk).
    #[arg(long = "package", value_name = "FILE", num_args = 1.., value_hint = ValueHint::FilePath)]
    packages: Vec<PathBuf>,
    /// What carries networks between hypervisors and the router: vlan (tagged, on a second network card), vxlan (tunnels
    /// over the uplink) or port (a network card for each network, on the hypervisor that runs the router).
    #[arg(long, value_name = "KIND", default_value = "vlan")]
    segmentation: Segmentation,
    /// Write the prepared image into a file instead of importing it.
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: Option<PathBuf>,
    /// The component's program for routers; by default the one that came with this one.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    agent: Option<PathBuf>,
    /// Make the image's root so large.
    #[arg(long, value_name = "SIZE")]
    root_size: Option<Size>,
    /// Write over the file of --output, and prepare an image again that is prepared already.
    #[arg(long)]
    force: bool,
    /// Point the image's name at this one if it is there already.
    #[arg(long, conflicts_with = "output")]
    replace: bool,
    /// How long the router may take until it joins, from 60s to 7d.
    #[arg(long, value_name = "TIME", default_value = "1d", value_parser = duration)]
    expires: Duration,
    /// The MAC of the network card that leads to the core; by default one for a virtual machine.
    #[arg(long, value_name = "MAC")]
    uplink_mac: Option<MacAddr>,
    /// The MAC of the network card that carries the networks.
    #[arg(long, value_name = "MAC")]
    trunk_mac: Option<MacAddr>,
    /// The uplink's address with its prefix, like 192.0.2.7/24; by default it asks for one.
    #[arg(long, value_name = "ADDRESS", requires = "gateway")]
    address: Option<IpNet>,
    /// The way out.
    #[arg(long, value_name = "ADDRESS", requires = "address")]
    gateway: Option<IpAddr>,
    /// A server for names. May be given several times.
    #[arg(long, value_name = "ADDRESS", requires = "address")]
    dns: Vec<IpAddr>,
}

/// What has been prepared, for programs.
#[derive(Serialize)]
struct Prepared<'a> {
    name: &'a Name,
    /// The image's name at the core, or where the file is.
    image: Option<&'a Name>,
    output: Option<&'a Path>,
    openwrt: &'a str,
    kernel: &'a str,
    segmentation: &'static str,
    packages: Vec<Package<'a>>,
    cards: Vec<Nic>,
    joins_until: Timestamp,
}

#[derive(Serialize)]
struct Package<'a> {
    name: &'a str,
    version: &'a str,
}

#[derive(Serialize)]
struct Nic {
    role: &'static str,
    mac: Option<MacAddr>,
}

impl Prepare {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let session = cx.session()?;
        let mut interruption = Interruption::new()?;
        self.refuse_early(&session).await?;
        let site = site(&session).await?;
        let uplink = self.uplink()?;
        let this = Arc::new(self);
        let progress = Arc::new(Progress::spinner(session.output));
        let ready = {
            let (this, progress) = (Arc::clone(&this), Arc::clone(&progress));
            let work = move |stop: &AtomicBool| this.open(watch(&progress, stop));
            interruption.during(work).await?
        };
        // Only now: what is refused costs no token.
        progress.say("asking the core for a join token");
        let token = interruption
            .or(token(&session, &this.name, this.expires))
            .await?;
        let settings = this.settings(&token, &site, uplink);
        let cards = settings.cards.clone();
        let done = {
            let (this, progress) = (Arc::clone(&this), Arc::clone(&progress));
            let work = move |stop: &AtomicBool| {
                let watch = watch(&progress, stop);
                ready.write(&settings, watch).map_err(|e| this.failed(e))
            };
            interruption.during(work).await?
        };
        drop(progress);
        let Done {
            draft,
            found,
            packages,
            scripted,
            ..
        } = done;
        this.deliver(&session, draft, &mut interruption).await?;
        for package in scripted {
            let text = format!(
                "{package} has a script of its own for when it is installed, which has not been run"
            );
            session.output.note(&text);
        }
        let prepared = Prepared {
            name: &this.name,
            image: this.output.is_none().then_some(&this.name),
            output: this.output.as_deref(),
            openwrt: found.version(),
            kernel: found.kernel(),
            segmentation: this.segmentation.as_str(),
            packages: packages
                .iter()
                .map(|(name, version)| Package { name, version })
                .collect(),
            cards: cards.iter().map(Nic::of).collect(),
            joins_until: token.expires_at,
        };
        this.tell(cx, &prepared)
    }

    /// What can be known before minutes are spent on it.
    async fn refuse_early(&self, session: &Session<'_>) -> Result<(), Failure> {
        if self.trunk_mac.is_some() && !Role::of(self.segmentation).contains(&Role::Trunk) {
            let text = format!(
                "--trunk-mac: there is no trunk with --segmentation {}",
                self.segmentation
            );
            return Err(Failure::Usage(text));
        }
        match &self.output {
            Some(path) if path.symlink_metadata().is_ok() && !self.force => {
                Err(self.failed(Error::Present { path: path.clone() }))
            }
            Some(_) => Ok(()),
            None if self.replace => Ok(()),
            None => match session.scope.image().get(&self.name).await {
                Ok(_) => Err(Failure::Usage(format!(
                    "there is an image {} already: --replace points its name at this one, --output writes a file \
                     instead",
                    self.name
                ))),
                Err(error) if error.is_not_found() => Ok(()),
                Err(error) => Err(error.into()),
            },
        }
    }

    fn uplink(&self) -> Result<Uplink, Failure> {
        let (Some(address), Some(gateway)) = (self.address, self.gateway) else {
            return Ok(Uplink::Automatic);
        };
        if !address.contains(&gateway) {
            let text = format!("--gateway: {gateway} is not in {}", address.trunc());
            return Err(Failure::Usage(text));
        }
        Ok(Uplink::Static {
            address,
            gateway,
            dns: self.dns.clone(),
        })
    }

    /// All that needs no core.
    fn open(&self, watch: Watch<'_>) -> Result<Ready, Failure> {
        let agent = agent(self.agent.as_deref())?;
        let folder = match &self.output {
            Some(output) => Draft::folder_of(output).to_owned(),
            None => env::temp_dir(),
        };
        let wanted = Wanted {
            agent: &agent,
            packages: &self.packages,
            segmentation: self.segmentation,
            again: self.force,
        };
        let ready = || {
            let tools = Tools::find()?;
            let draft = Draft::within(&folder)?;
            let size = self.root_size.map(Size::as_bytes);
            Opened::open(&self.image, draft, &tools, size, watch)?.ready(&wanted)
        };
        ready().map_err(|error| self.failed(error))
    }

    fn settings(&self, token: &JoinToken, site: &str, uplink: Uplink) -> Settings {
        let card = |role: &Role| {
            let given = match role {
                Role::Uplink => self.uplink_mac,
                Role::Trunk => self.trunk_mac,
            };
            let mac = given.unwrap_or_else(|| role.mac(site, self.name.as_str()));
            Card::named(*role, mac)
        };
        Settings {
            core: token.url.clone(),
            token: token.token.clone(),
            name: self.name.to_string(),
            segmentation: self.segmentation,
            cards: Role::of(self.segmentation).iter().map(card).collect(),
            uplink,
        }
    }

    /// To where it was asked for.
    async fn deliver(
        &self,
        session: &Session<'_>,
        draft: Draft,
        interruption: &mut Interruption,
    ) -> Result<(), Failure> {
        let failed = |error| self.failed(error);
        if let Some(output) = &self.output {
            return draft.finish(output, self.force).map_err(failed);
        }
        let file = draft.handle().map_err(failed)?;
        let import = import::of_file(session, file, &self.name, self.replace);
        interruption.or(import).await.map(drop)
    }

    fn tell(&self, cx: &Cx, prepared: &Prepared<'_>) -> Result<(), Failure> {
        let what = match prepared.output {
            Some(path) => format!("{} is a router", path.display()),
            None => format!("image {} is a router", self.name),
        };
        let mut text = format!(
            "{what}: OpenWrt {}, networks by {}",
            prepared.openwrt, prepared.segmentation
        );
        for package in &prepared.packages {
            text.push_str(&format!(
                "\n  {} {} is in it",
                package.name, package.version
            ));
        }
        for (role, mac) in prepared
            .cards
            .iter()
            .filter_map(|card| Some((card.role, card.mac?)))
        {
            text.push_str(&format!("\n  its {role} is the network card {mac}"));
        }
        cx.output.outcome(prepared, &text)?;
        if self.segmentation == Segmentation::Port && self.output.is_none() {
            cx.output.note(&format!(
                "It needs a slot for each network's card: `rhyzome openwrt create {} --segmentation port` makes it with them.",
                self.name
            ));
        }
        let left = time::ago(prepared.joins_until, time::now());
        cx.output.note(&format!(
            "It joins as {} when it starts, which has to be soon: its token expires {left}. Whoever can read the image \
             until then could join in its place.",
            self.name
        ));
        Ok(())
    }

    fn failed(&self, error: Error) -> Failure {
        match error {
            Error::Stopped => Failure::Stopped,
            source => Failure::Prepare {
                image: self.image.clone(),
                source,
            },
        }
    }
}

impl Nic {
    fn of(card: &Card) -> Self {
        Self {
            role: card.role.as_str(),
            mac: card.mac,
        }
    }
}

fn watch<'a>(progress: &'a Progress, stop: &'a AtomicBool) -> Watch<'a> {
    Watch {
        told: progress,
        stop,
    }
}
