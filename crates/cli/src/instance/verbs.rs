//! What changes instances: create, update, start, stop, reboot, delete.

use clap::Args;
use clap_complete::ArgValueCandidates;
use rhyzome_client::Deleted;
use rhyzome_model::instance::{Attachment, Firmware, InstanceSpec, Power, RestartPolicy};
use rhyzome_model::resource::Instance;
use rhyzome_model::user_data::UserData;
use rhyzome_model::{Name, Size};

use crate::args::{WaitArgs, label, seconds};
use crate::failure::Failure;
use crate::instance::guest::Guest;
use crate::session::Cx;
use crate::{complete, wait};

#[derive(Debug, Args)]
pub struct Create {
    #[arg(value_name = "NAME")]
    name: Name,
    /// The image, by name, by tag like debian:12, or as sha256:DIGEST. It stays the same when the tag moves.
    #[arg(long, value_name = "IMAGE", add = ArgValueCandidates::new(complete::images_and_tags))]
    image: String,
    /// A network to have an interface in. May be given several times.
    #[arg(long = "network", value_name = "NETWORK", add = ArgValueCandidates::new(complete::networks))]
    networks: Vec<Name>,
    /// Virtual processors.
    #[arg(long, value_name = "COUNT", default_value_t = 1)]
    cpus: u32,
    /// Memory, like 64MiB or 2GiB.
    #[arg(long, value_name = "SIZE", default_value = "128MiB")]
    memory: Size,
    /// The kernel's command line; by default the image's own, or the network settings that a unikernel
    /// has to be told. `{{network_settings}}`, `{{ip}}` and their like are filled in: with
    /// '{{network_settings}} --port=80' an argument comes behind the settings.
    #[arg(long, value_name = "TEXT")]
    command_line: Option<String>,
    /// The size of its disk, like 20GiB; by default that of the image. It can grow later.
    #[arg(long, value_name = "SIZE")]
    disk: Option<Size>,
    /// The firmware that boots its disk; by default one that the image has a boot loader for.
    #[arg(long, value_name = "FIRMWARE", value_enum)]
    firmware: Option<BootFirmware>,
    /// What happens when it ends by itself.
    #[arg(long, value_name = "POLICY", value_enum, default_value = "on-failure")]
    restart: Restart,
    /// How long a stop waits for the guest before it is forced, like 20s or 2m.
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = seconds)]
    stop_timeout: u32,
    /// The hypervisor it has to be on; by default one that the core chooses.
    #[arg(long, value_name = "COMPONENT", add = ArgValueCandidates::new(complete::hypervisors))]
    host: Option<Name>,
    /// A label that its hypervisor has to have. May be given several times.
    #[arg(long = "on", value_name = "KEY=VALUE", value_parser = label)]
    on: Vec<(String, String)>,
    /// A bridge of the hypervisor's own, by what its configuration calls it, that it gets an interface on after
    /// those of its networks; with an Ethernet address where that matters. May be given several times.
    #[arg(long = "bridge", value_name = "BRIDGE[=MAC]", value_parser = bridge)]
    bridges: Vec<Attachment>,
    /// On one hypervisor with the instances of this project that name the same group.
    #[arg(long, value_name = "GROUP")]
    affinity: Option<Name>,
    /// On another hypervisor than each instance of this project that names the same group.
    #[arg(long, value_name = "GROUP")]
    anti_affinity: Option<Name>,
    /// Do not start it.
    #[arg(long)]
    stopped: bool,
    #[command(flatten)]
    guest: Guest,
    #[command(flatten)]
    wait: WaitArgs,
}

/// `uplink`, or `uplink=52:54:00:12:34:56`.
fn bridge(text: &str) -> Result<Attachment, String> {
    let (bridge, mac) = match text.split_once('=') {
        Some((bridge, mac)) => (bridge, Some(mac)),
        None => (text, None),
    };
    Ok(Attachment {
        bridge: bridge.parse().map_err(|why| format!("{why}"))?,
        mac: mac
            .map(str::parse)
            .transpose()
            .map_err(|why| format!("{why}"))?,
    })
}

#[derive(Debug, Args)]
#[group(id = "change", required = true, multiple = true,
    args = ["image", "cpus", "memory", "command_line", "disk", "firmware", "restart", "stop_timeout", "user_data",
        "no_user_data", "ssh_keys", "no_ssh_keys", "metadata"])]
pub struct Update {
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::instances))]
    name: Name,
    /// The image, by name or as sha256:DIGEST.
    #[arg(long, value_name = "IMAGE", add = ArgValueCandidates::new(complete::images))]
    image: Option<String>,
    /// Virtual processors.
    #[arg(long, value_name = "COUNT")]
    cpus: Option<u32>,
    /// Memory, like 64MiB or 2GiB.
    #[arg(long, value_name = "SIZE")]
    memory: Option<Size>,
    /// The kernel's command line.
    #[arg(long, value_name = "TEXT")]
    command_line: Option<String>,
    /// The new size of its disk, like 40GiB: a disk grows and never shrinks.
    #[arg(long, value_name = "SIZE")]
    disk: Option<Size>,
    /// The firmware that boots its disk.
    #[arg(long, value_name = "FIRMWARE", value_enum)]
    firmware: Option<BootFirmware>,
    /// What happens when it ends by itself.
    #[arg(long, value_name = "POLICY", value_enum)]
    restart: Option<Restart>,
    /// How long a stop waits for the guest before it is forced, like 20s or 2m.
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    stop_timeout: Option<u32>,
    #[command(flatten)]
    guest: Guest,
    /// Take the user data away.
    #[arg(long, conflicts_with = "user_data")]
    no_user_data: bool,
    #[command(flatten)]
    wait: WaitArgs,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum Restart {
    /// It stays ended, and its status says why.
    Never,
    /// Started again if it crashed, left ended if it shut itself down.
    OnFailure,
    /// Started again however it ended.
    Always,
}

impl From<Restart> for RestartPolicy {
    fn from(restart: Restart) -> Self {
        match restart {
            Restart::Never => Self::Never,
            Restart::OnFailure => Self::OnFailure,
            Restart::Always => Self::Always,
        }
    }
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub enum BootFirmware {
    Bios,
    /// Without secure boot.
    Uefi,
}

impl From<BootFirmware> for Firmware {
    fn from(firmware: BootFirmware) -> Self {
        match firmware {
            BootFirmware::Bios => Self::Bios,
            BootFirmware::Uefi => Self::Uefi,
        }
    }
}

#[derive(Clone, Copy)]
pub enum Verb {
    Start,
    Stop { force: bool },
    Reboot,
}

impl Create {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let (session, name) = (cx.session()?, self.name);
        let instances = session.scope.instance();
        let spec = InstanceSpec {
            image: self.image,
            cpus: self.cpus,
            memory: self.memory,
            networks: self.networks,
            bridges: self.bridges,
            card_slots: 0,
            command_line: self.command_line,
            disk: self.disk,
            firmware: self.firmware.map(Firmware::from),
            power: if self.stopped {
                Power::Stopped
            } else {
                Power::Running
            },
            restart: self.restart.into(),
            stop_timeout: self.stop_timeout,
            host: self.host,
            require: self.on.into_iter().collect(),
            affinity: self.affinity,
            anti_affinity: self.anti_affinity,
            user_data: self.guest.user_data()?,
            ssh_keys: self.guest.ssh_keys(),
            metadata: self.guest.metadata().unwrap_or_default(),
        };
        let look = || format!("`rhyzome instance show {name}` says whether it is there");
        let instance = wait::asked(instances.create(&name, spec, None), look).await?;
        let instance = wait::ready(&session, &instances, instance, self.wait).await?;
        let addresses: Vec<String> = instance
            .status
            .interfaces
            .iter()
            .map(|interface| interface.ipv4.to_string())
            .collect();
        let at = if addresses.is_empty() {
            "no network".to_owned()
        } else {
            addresses.join(", ")
        };
        let sentence = format!(
            "instance {name}: {at}, {} on {}",
            state(&instance),
            instance.status.host
        );
        cx.output.done(&instance, &sentence)?;
        wait::note_pending(&cx.output, &instance);
        Ok(())
    }
}

impl Update {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let (session, name) = (cx.session()?, &self.name);
        let instances = session.scope.instance();
        let look = || format!("`rhyzome instance show {name}` says how it is");
        let user_data = self.guest.user_data()?;
        let apply = |instance: &Instance| self.apply(&instance.spec, user_data.clone());
        let edit = instances.edit(name, apply, None);
        let instance = wait::asked(edit, look).await?;
        let instance = wait::ready(&session, &instances, instance, self.wait).await?;
        cx.output
            .done(&instance, &format!("instance {name} is updated"))?;
        wait::note_pending(&cx.output, &instance);
        if instance
            .status
            .observed
            .as_ref()
            .is_some_and(|observed| observed.needs_restart)
        {
            cx.output.note(&format!(
                "it takes effect with a restart: `rhyzome instance reboot {name}`"
            ));
        }
        Ok(())
    }

    fn apply(&self, old: &InstanceSpec, user_data: Option<UserData>) -> InstanceSpec {
        InstanceSpec {
            image: self.image.clone().unwrap_or_else(|| old.image.clone()),
            cpus: self.cpus.unwrap_or(old.cpus),
            memory: self.memory.unwrap_or(old.memory),
            command_line: self
                .command_line
                .clone()
                .or_else(|| old.command_line.clone()),
            disk: self.disk.or(old.disk),
            firmware: self.firmware.map(Firmware::from).or(old.firmware),
            restart: self.restart.map_or(old.restart, RestartPolicy::from),
            stop_timeout: self.stop_timeout.unwrap_or(old.stop_timeout),
            user_data: match self.no_user_data {
                true => None,
                false => user_data.or_else(|| old.user_data.clone()),
            },
            // Left out, the core leaves them as they are; repeated, it would look them up anew.
            ssh_keys: self.guest.ssh_keys(),
            metadata: self.guest.metadata().unwrap_or(old.metadata),
            ..old.clone()
        }
    }
}

/// Starts, stops or restarts an instance.
pub async fn act(cx: &Cx, name: &Name, verb: Verb, args: WaitArgs) -> Result<(), Failure> {
    let session = cx.session()?;
    let instances = session.scope.instance();
    let id = instances.get(name).await?.meta.id;
    let hold = (!args.no_wait).then_some(args.timeout);
    let request = async {
        Ok(match verb {
            Verb::Start => instances.start(name, hold).await?,
            Verb::Stop { force } => instances.stop(name, force, hold).await?,
            Verb::Reboot => instances.reboot(name, hold).await?,
        })
    };
    let instance = wait::watched(&session, "instance", name, id, request).await?;
    let instance = wait::ready(&session, &instances, instance, args).await?;
    let sentence = match verb {
        Verb::Reboot if args.no_wait => format!("instance {name} is asked to restart"),
        Verb::Reboot => format!("instance {name} has restarted"),
        Verb::Start | Verb::Stop { .. } => format!("instance {name}: {}", state(&instance)),
    };
    cx.output.done(&instance, &sentence)?;
    wait::note_pending(&cx.output, &instance);
    Ok(())
}

pub async fn delete(cx: &Cx, name: &Name, args: WaitArgs) -> Result<(), Failure> {
    let session = cx.session()?;
    let (last, sentence) = match wait::gone(&session, &session.scope.instance(), name, args).await?
    {
        Deleted::Gone(last) => (last, format!("instance {name} is deleted")),
        Deleted::Deleting(last) => (Some(last), format!("instance {name} is being deleted")),
    };
    cx.output.gone(&last, name.as_str(), &sentence)
}

/// What it is in one word: what was observed, or how far it is.
fn state(instance: &Instance) -> &'static str {
    match &instance.status.observed {
        Some(observed) => observed.state.as_str(),
        None => instance.status.phase.as_str(),
    }
}
