//! `rhyzome openwrt create`: the prepared image as an instance on bridges of its hypervisor's own, and waiting until its
//! component has joined.

use std::time::Duration;

use clap::Args;
use clap_complete::ArgValueCandidates;
use rhyzome_model::instance::{Attachment, InstanceSpec, MetadataAccess, Power, RestartPolicy};
use rhyzome_model::resource::Component;
use rhyzome_model::segment::Segmentation;
use rhyzome_model::{Name, Size};
use rhyzome_openwrt_image::Role;
use tokio::time::{Instant, sleep};

use super::site;
use crate::args::WaitArgs;
use crate::failure::Failure;
use crate::progress::Progress;
use crate::session::{Cx, Session};
use crate::{complete, wait};

/// Between two looks whether it has joined.
const LOOK: Duration = Duration::from_millis(500);

#[derive(Debug, Args)]
pub struct Create {
    /// The router's name, as it was prepared with.
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::images))]
    name: Name,
    /// The hypervisor that runs it.
    #[arg(long, value_name = "COMPONENT", add = ArgValueCandidates::new(complete::hypervisors))]
    host: Name,
    /// What the hypervisor's configuration calls the bridge that leads to the core, and outside.
    #[arg(long, value_name = "BRIDGE", default_value = "uplink")]
    uplink_bridge: Name,
    /// What it calls the bridge that carries VLANs.
    #[arg(long, value_name = "BRIDGE", default_value = "trunk")]
    trunk_bridge: Name,
    /// As it was prepared with.
    #[arg(long, value_name = "KIND", default_value = "vlan")]
    segmentation: Segmentation,
    /// With port: how many networks it can have. All slots are there from the beginning, and no more can be added.
    #[arg(long, value_name = "COUNT", default_value_t = 16)]
    card_slots: u32,
    /// Virtual processors.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    cpus: u32,
    /// Memory.
    #[arg(long, value_name = "SIZE", default_value = "256MiB")]
    memory: Size,
    #[command(flatten)]
    wait: WaitArgs,
}

impl Create {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let (session, name) = (cx.session()?, &self.name);
        let spec = self.spec(&site(&session).await?);
        let instances = session.scope.instance();
        let look = || format!("`rhyzome instance show {name}` says whether it is there");
        let instance = wait::asked(instances.create(name, spec, None), look).await?;
        let instance = wait::ready(&session, &instances, instance, self.wait).await?;
        let host = &instance.status.host;
        if self.wait.no_wait {
            let sentence = format!("router {name} is asked for on {host}");
            cx.output.done(&instance, &sentence)?;
            wait::note_pending(&cx.output, &instance);
            return Ok(());
        }
        let look = || format!("`rhyzome component show {name}` says whether it has joined");
        wait::asked(joined(&session, name, self.wait.timeout), look).await?;
        cx.output.done(
            &instance,
            &format!("router {name} runs on {host} and has joined"),
        )
    }

    fn spec(&self, site: &str) -> InstanceSpec {
        let card = |role: &Role| Attachment {
            bridge: match role {
                Role::Uplink => self.uplink_bridge.clone(),
                Role::Trunk => self.trunk_bridge.clone(),
            },
            mac: Some(role.mac(site, self.name.as_str())),
        };
        InstanceSpec {
            image: self.name.to_string(),
            cpus: self.cpus,
            memory: self.memory,
            networks: Vec::new(),
            bridges: Role::of(self.segmentation).iter().map(card).collect(),
            card_slots: match self.segmentation {
                Segmentation::Port => self.card_slots,
                Segmentation::Vlan | Segmentation::Vxlan => 0,
            },
            command_line: None,
            disk: None,
            firmware: None,
            power: Power::Running,
            restart: RestartPolicy::Always,
            stop_timeout: 20,
            host: Some(self.host.clone()),
            require: Default::default(),
            affinity: None,
            anti_affinity: None,
            user_data: None,
            ssh_keys: None,
            metadata: MetadataAccess::default(),
        }
    }
}

/// Waits until a component of that name has a session.
async fn joined(
    session: &Session<'_>,
    name: &Name,
    timeout: Duration,
) -> Result<Component, Failure> {
    let components = session.client.component();
    let until = Instant::now() + timeout;
    let progress = Progress::spinner(session.output);
    progress.say(&format!(
        "router {name}: waiting until it has started and joined"
    ));
    loop {
        match components.get(name).await {
            Ok(component) if component.connected => return Ok(component),
            Ok(_) => {}
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error.into()),
        }
        if Instant::now() >= until {
            return Err(Failure::Late {
                kind: "component",
                name: name.to_string(),
                state: "not there".to_owned(),
                seconds: timeout.as_secs(),
                reason: format!(
                    "the router runs and has not joined; its console says more: `rhyzome instance logs {name}`"
                ),
            });
        }
        sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        create: Create,
    }

    fn check(line: &str, expect: &[(&str, Role)]) {
        let line = Line::parse_from(line.split(' '));
        let spec = line.create.spec("site");
        let expect: Vec<Attachment> = expect
            .iter()
            .map(|(bridge, role)| Attachment {
                bridge: bridge.parse().unwrap(),
                mac: Some(role.mac("site", "gw")),
            })
            .collect();
        assert_eq!(spec.bridges, expect);
        assert_eq!(spec.validate(), Ok(()));
    }

    #[test]
    fn its_cards_have_the_macs_that_it_was_prepared_with() {
        check(
            "create gw --host h",
            &[("uplink", Role::Uplink), ("trunk", Role::Trunk)],
        );
        check(
            "create gw --host h --segmentation vxlan --uplink-bridge lan",
            &[("lan", Role::Uplink)],
        );
    }

    #[test]
    fn it_has_slots_for_network_cards_where_networks_are_those() {
        let slots = |line: &str| {
            let line = Line::parse_from(line.split(' '));
            line.create.spec("site").card_slots
        };
        assert_eq!(slots("create gw --host h"), 0);
        assert_eq!(slots("create gw --host h --segmentation port"), 16);
        assert_eq!(
            slots("create gw --host h --segmentation port --card-slots 3"),
            3
        );
    }
}
