//! `rhyzome openwrt pack`: for routers that one has already.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueHint};
use rhyzome_model::Name;
use rhyzome_model::segment::Segmentation;
use rhyzome_openwrt_image::{Card, Role, Settings, Uplink, archive, check_program};

use super::{agent, token};
use crate::args::duration;
use crate::failure::Failure;
use crate::output::time;
use crate::session::Cx;

#[derive(Debug, Args)]
pub struct Pack {
    /// What the router is called at the core.
    #[arg(long, value_name = "NAME")]
    name: Name,
    /// What carries networks between hypervisors and the router: vlan (tagged, on the trunk) or vxlan (tunnels).
    #[arg(long, value_name = "KIND", default_value = "vlan")]
    segmentation: Segmentation,
    /// The router's device that VLANs are on, like eth1.
    #[arg(long, value_name = "DEVICE", value_parser = device)]
    trunk: Option<String>,
    /// The component's program for routers; by default the one that came with this one.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    agent: Option<PathBuf>,
    /// How long the router may take until it joins, from 60s to 7d.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    expires: Duration,
}

impl Pack {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let session = cx.session()?;
        if session.output.is_terminal() {
            return Err(Failure::Usage(
                "an archive is nothing for a terminal: write it into a file (`> gw.tar.gz`), or give it to the router \
                 (`| ssh root@ROUTER 'tar -xzC / && /etc/init.d/rhyzome restart'`)"
                    .to_owned(),
            ));
        }
        if self.segmentation == Segmentation::Vlan && self.trunk.is_none() {
            return Err(Failure::Usage(
                "which device has the VLANs of networks? --trunk says it, or --segmentation vxlan does without"
                    .to_owned(),
            ));
        }
        if self.segmentation == Segmentation::Port {
            return Err(Failure::Usage(
                "port is for routers that are instances, whose network cards have names before the network starts: \
                 `rhyzome openwrt prepare --segmentation port` makes the image of one"
                    .to_owned(),
            ));
        }
        let agent = agent(self.agent.as_deref())?;
        let trunk = |device| Card {
            role: Role::Trunk,
            device,
            mac: None,
        };
        let failed = |source| Failure::Pack { source };
        // Before a token is made for nothing.
        check_program(&agent).map_err(failed)?;
        let token = token(&session, &self.name, self.expires).await?;
        let settings = Settings {
            core: token.url,
            token: token.token,
            name: self.name.to_string(),
            segmentation: self.segmentation,
            cards: self.trunk.map(trunk).into_iter().collect(),
            uplink: Uplink::Automatic,
        };
        let bytes = archive(&agent, &settings).map_err(failed)?;
        cx.output.bytes(&bytes)?;
        let left = time::ago(token.expires_at, time::now());
        let text = format!(
            "Its token expires {left}; whoever has the archive until then could join in its place."
        );
        cx.output.note(&text);
        Ok(())
    }
}

/// IFNAMSIZ is 16, with the zero at the end.
fn device(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_graphic() && c != '/';
    match (1..=15).contains(&text.len()) && text.chars().all(plain) {
        true => Ok(text.to_owned()),
        false => Err(format!("{text:?} is no name of a network device")),
    }
}
