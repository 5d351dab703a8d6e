//! `rhyzome network …`

use clap::{Args, Subcommand};
use clap_complete::ArgValueCandidates;
use ipnet::{Ipv4Net, Ipv6Net};
use rhyzome_client::Deleted;
use rhyzome_model::network::NetworkSpec;
use rhyzome_model::resource::{Network, NetworkSegment, NetworkSummary};
use rhyzome_model::segment::Segmentation;
use rhyzome_model::{Name, Timestamp};

use crate::args::{Switch, WaitArgs, label};
use crate::failure::Failure;
use crate::output::{Cell, Details, Row, Thing, time};
use crate::session::Cx;
use crate::{complete, wait};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a network.
    #[command(after_help = "\
Example:
  rhyzome network create lab
  rhyzome network create web --ipv4 10.20.0.0/24 --egress")]
    Create(Create),
    /// List the networks.
    #[command(after_help = "Example:\n  rhyzome network list")]
    List,
    /// Show a network: its prefixes, its router, its WireGuard endpoint.
    #[command(after_help = "Example:\n  rhyzome network show lab")]
    Show(Named),
    /// Change a network that runs.
    #[command(after_help = "Example:\n  rhyzome network update lab --egress on")]
    Update(Update),
    /// Delete a network that no instance is in.
    #[command(after_help = "Example:\n  rhyzome network delete lab")]
    Delete(Delete),
}

#[derive(Debug, Args)]
pub struct Named {
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::networks))]
    name: Name,
}

#[derive(Debug, Args)]
pub struct Create {
    #[arg(value_name = "NAME")]
    name: Name,
    /// Its IPv4 prefix, /16 to /29 out of the private ranges; by default a free one.
    #[arg(long, value_name = "PREFIX")]
    ipv4: Option<Ipv4Net>,
    /// Its IPv6 prefix, a /64 out of fc00::/7; by default a free one.
    #[arg(long, value_name = "PREFIX")]
    ipv6: Option<Ipv6Net>,
    /// Let instances open connections to the world outside.
    #[arg(long)]
    egress: bool,
    /// The component that is its router; by default one that the core chooses.
    #[arg(long, value_name = "COMPONENT", add = ArgValueCandidates::new(complete::routers))]
    router: Option<Name>,
    /// A label that its router has to have. May be given several times.
    #[arg(long = "on", value_name = "KEY=VALUE", value_parser = label)]
    on: Vec<(String, String)>,
    #[command(flatten)]
    wait: WaitArgs,
}

#[derive(Debug, Args)]
pub struct Update {
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::networks))]
    name: Name,
    /// Whether instances may open connections to the world outside.
    #[arg(long, value_name = "on|off")]
    egress: Switch,
    #[command(flatten)]
    wait: WaitArgs,
}

#[derive(Debug, Args)]
pub struct Delete {
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::networks))]
    name: Name,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Command {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(cx).await,
            Self::List => {
                let networks = cx.session()?.scope.network().all().await?;
                cx.output.list(
                    &networks,
                    "there are no networks; `rhyzome network create` makes one",
                )
            }
            Self::Show(Named { name }) => cx
                .output
                .thing(&cx.session()?.scope.network().get(&name).await?),
            Self::Update(update) => update.run(cx).await,
            Self::Delete(delete) => delete.run(cx).await,
        }
    }
}

impl Create {
    async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let (session, name) = (cx.session()?, self.name);
        let networks = session.scope.network();
        let spec = NetworkSpec {
            ipv4: self.ipv4,
            ipv6: self.ipv6,
            egress: self.egress,
            router: self.router,
            require: self.on.into_iter().collect(),
        };
        let look = || format!("`rhyzome network show {name}` says whether it is there");
        let network = wait::asked(networks.create(&name, spec, None), look).await?;
        let network = wait::ready(&session, &networks, network, self.wait).await?;
        let status = &network.status;
        let sentence = format!(
            "network {name}: {} and {}, {}",
            status.ipv4,
            status.ipv6,
            status.phase.as_str()
        );
        cx.output.done(&network, &sentence)?;
        wait::note_pending(&cx.output, &network);
        Ok(())
    }
}

impl Update {
    async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let (session, name) = (cx.session()?, self.name);
        let networks = session.scope.network();
        let change = |network: &Network| NetworkSpec {
            egress: self.egress.is_on(),
            ..network.spec.clone()
        };
        let look = || format!("`rhyzome network show {name}` says how it is");
        let network = wait::asked(networks.edit(&name, change, None), look).await?;
        let network = wait::ready(&session, &networks, network, self.wait).await?;
        cx.output
            .done(&network, &format!("network {name} is updated"))?;
        wait::note_pending(&cx.output, &network);
        Ok(())
    }
}

impl Delete {
    async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let (session, name) = (cx.session()?, self.name);
        let (last, sentence) =
            match wait::gone(&session, &session.scope.network(), &name, self.wait).await? {
                Deleted::Gone(last) => (last, format!("network {name} is deleted")),
                Deleted::Deleting(last) => (Some(last), format!("network {name} is being deleted")),
            };
        cx.output.gone(&last, name.as_str(), &sentence)
    }
}

impl Row for NetworkSummary {
    const HEADER: &'static [&'static str] =
        &["NAME", "PHASE", "IPV4", "IPV6", "EGRESS", "ROUTER", "AGE"];

    fn name(&self) -> String {
        self.meta.name.to_string()
    }

    fn cells(&self, now: Timestamp) -> Vec<Cell> {
        vec![
            Cell::new(&self.meta.name),
            Cell::phase(self.phase),
            Cell::new(self.ipv4),
            Cell::new(self.ipv6),
            Cell::yes_no(self.egress),
            Cell::new(&self.router),
            Cell::new(time::age(self.meta.created_at, now)),
        ]
    }
}

/// As `VLAN 100 on eth1`, which is the router's device.
fn segment(segment: &NetworkSegment) -> String {
    let NetworkSegment {
        kind,
        number,
        trunk,
    } = segment;
    match (kind, trunk) {
        (Segmentation::Vlan, Some(trunk)) => format!("VLAN {number} on {trunk}"),
        (Segmentation::Vlan, None) => format!("VLAN {number}"),
        (Segmentation::Vxlan, _) => format!("VXLAN {number}"),
        (Segmentation::Port, _) => format!("network card {number} of its router"),
    }
}

impl Thing for Network {
    fn name(&self) -> String {
        self.meta.name.to_string()
    }

    fn details(&self, now: Timestamp) -> Details {
        let status = &self.status;
        let address = status.endpoint.address.clone();
        Details::of(&self.meta, now)
            .phase(status.phase)
            .text("ipv4", status.ipv4)
            .text("ipv6", status.ipv6)
            .text(
                "gateway",
                format!("{} and {}", status.router_ipv4, status.router_ipv6),
            )
            .text("domain", &status.domain)
            .text("mtu", status.mtu)
            .text("segment", segment(&status.segment))
            .cell("egress", Cell::yes_no(self.spec.egress))
            .text("router", &status.router)
            .text(
                "endpoint",
                address.unwrap_or_else(|| format!("udp port {}", status.endpoint.port)),
            )
            .maybe("endpoint's key", status.endpoint.public_key.as_ref())
            .conditions(&status.conditions, now)
    }
}
