//! The operator: makes requests up, and puts them to the core's use cases.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rhyzome_app::{Caller, Core, IfMatch, Kind, Result, instance, network, peer};
use rhyzome_model::instance::{InstanceSpec, Power, RestartPolicy};
use rhyzome_model::network::NetworkSpec;
use rhyzome_model::peer::PeerSpec;
use rhyzome_model::resource::{Instance, Meta, Network, Peer};
use rhyzome_model::status::{Condition, Phase};
use rhyzome_model::{Digest, Name, Size};

use crate::chance::Chance;
use crate::model::{Answer, Key, Model, Request, Sort, Thing, Wish};

/// The projects.
pub const PROJECTS: [&str; 2] = ["default", "other"];
const RESTARTS: [RestartPolicy; 3] = [
    RestartPolicy::Never,
    RestartPolicy::OnFailure,
    RestartPolicy::Always,
];
/// How many names there are of each sort in each project.
const NAMES: usize = 4;

pub fn name(text: &str) -> Name {
    text.parse().expect("a name")
}

/// Chooses something that there may be.
pub fn choose(chance: &mut Chance) -> Key {
    let sort = *chance.of(&[Sort::Network, Sort::Instance, Sort::Instance, Sort::Peer]);
    let letter = match sort {
        Sort::Network => "n",
        Sort::Instance => "i",
        Sort::Peer => "p",
    };
    Key {
        project: name(PROJECTS[chance.below(PROJECTS.len())]),
        sort,
        name: name(&format!("{letter}{}", chance.below(NAMES))),
    }
}

/// Makes a request up. Mostly one that can be done.
pub fn make_up(model: &Model, chance: &mut Chance) -> Request {
    let key = choose(chance);
    let found = model.get(&key);
    if found.is_none() != chance.once_in(20) {
        let wish = wish(&key, model, chance);
        return Request::Create(key, wish);
    }
    match (chance.below(10), found.map(|thing| thing.wish.clone())) {
        (0..4, _) => Request::Delete(key),
        (4, _) if key.sort == Sort::Instance => Request::Reboot(key),
        (5..7, Some(same)) => Request::Change(key, same),
        (_, before) => {
            let wish = match before {
                Some(before) => changed(before, &key, model, chance),
                None => wish(&key, model, chance),
            };
            Request::Change(key, wish)
        }
    }
}

fn wish(key: &Key, model: &Model, chance: &mut Chance) -> Wish {
    match key.sort {
        Sort::Network => Wish::Network {
            egress: chance.once_in(2),
        },
        Sort::Instance => Wish::Instance {
            networks: networks(&key.project, model, 2, chance),
            power: *chance.of(&[Power::Running, Power::Running, Power::Stopped]),
            restart: *chance.of(&RESTARTS),
            memory: 128,
        },
        Sort::Peer => Wish::Peer {
            networks: networks(&key.project, model, 3, chance),
        },
    }
}

/// What can be changed of a thing.
fn changed(before: Wish, key: &Key, model: &Model, chance: &mut Chance) -> Wish {
    match before {
        Wish::Network { .. } | Wish::Peer { .. } => wish(key, model, chance),
        Wish::Instance {
            networks,
            mut power,
            mut restart,
            mut memory,
        } => {
            match (chance.below(4), power) {
                (0, _) => memory = *chance.of(&[64, 128, 256]),
                (1, _) => restart = *chance.of(&RESTARTS),
                (_, Power::Running) => power = Power::Stopped,
                (_, Power::Stopped) => power = Power::Running,
            }
            Wish::Instance {
                networks,
                power,
                restart,
                memory,
            }
        }
    }
}

/// Some of the networks of a project; rarely one that is not there.
fn networks(project: &Name, model: &Model, most: usize, chance: &mut Chance) -> Vec<Name> {
    let mut all: Vec<Name> = model
        .things
        .iter()
        .filter(|(key, thing)| key.project == *project && key.sort == Sort::Network && !thing.going)
        .map(|(key, _)| key.name.clone())
        .collect();
    if chance.once_in(30) {
        all = vec![name(&format!("n{}", chance.below(NAMES)))];
    }
    let mut some = Vec::new();
    for _ in 0..chance.below(most + 1) {
        if !all.is_empty() {
            some.push(all.swap_remove(chance.below(all.len())));
        }
    }
    some
}

/// Puts a request to the core.
pub async fn put(core: &Core, request: &Request) -> Answer {
    let caller = Caller::local();
    let (project, called) = (&request.key().project, &request.key().name);
    let answer = match request {
        Request::Create(_, wish) => create(core, &caller, (project, called), wish).await,
        Request::Change(_, wish) => change(core, &caller, (project, called), wish).await,
        Request::Delete(key) => delete(core, &caller, key).await,
        Request::Reboot(_) => match instance::reboot(core, &caller, project, called).await {
            Ok(_) => Ok(None),
            Err(error) => Err(error),
        },
    };
    answer.map_err(|error| error.kind())
}

/// What the operator reads of a thing.
#[derive(Debug)]
pub struct Shown {
    pub thing: Thing,
    pub phase: Phase,
    /// Something about it was refused: asking again is how that is mended.
    pub refused: bool,
}

impl Shown {
    fn new(thing: Thing, phase: Phase, conditions: &[Condition]) -> Self {
        let refused = |condition: &Condition| condition.reason == "Refused";
        Self {
            thing,
            phase,
            refused: phase == Phase::Failed || conditions.iter().any(refused),
        }
    }
}

/// What the operator reads of a thing; none where it is not there.
///
/// # Errors
/// Where it cannot be read.
pub async fn read(core: &Core, key: &Key) -> std::result::Result<Option<Shown>, String> {
    let caller = Caller::local();
    let (project, called) = (&key.project, &key.name);
    let seen = match key.sort {
        Sort::Network => {
            let found = network::get(core, &caller, project, called).await;
            found.map(|it| Shown::new(of_network(&it), it.status.phase, &it.status.conditions))
        }
        Sort::Instance => {
            let found = instance::get(core, &caller, project, called).await;
            found.map(|it| Shown::new(of_instance(&it), it.status.phase, &it.status.conditions))
        }
        Sort::Peer => {
            let found = peer::get(core, &caller, project, called).await;
            found.map(|it| Shown::new(of_peer(&it), it.status.phase, &it.status.conditions))
        }
    };
    match seen {
        Ok(seen) => Ok(Some(seen)),
        Err(error) if error.kind() == Kind::NotFound => Ok(None),
        Err(error) => Err(format!("{key} cannot be read: {error:?}")),
    }
}

async fn create(
    core: &Core,
    caller: &Caller,
    (project, called): (&Name, &Name),
    wish: &Wish,
) -> Result<Option<Thing>> {
    let called = called.clone();
    Ok(Some(match wish {
        Wish::Network { egress } => {
            let spec = network_spec(*egress);
            of_network(&network::create(core, caller, project, called, spec).await?)
        }
        Wish::Instance {
            networks,
            power,
            restart,
            memory,
        } => {
            let spec = instance_spec(networks, (*power, *restart), *memory);
            of_instance(&instance::create(core, caller, project, called, spec).await?)
        }
        Wish::Peer { networks } => {
            let spec = peer_spec(project, &called, networks);
            of_peer(&peer::create(core, caller, project, called, spec).await?)
        }
    }))
}

async fn change(
    core: &Core,
    caller: &Caller,
    (project, called): (&Name, &Name),
    wish: &Wish,
) -> Result<Option<Thing>> {
    let anything: IfMatch = None;
    Ok(Some(match wish {
        Wish::Network { egress } => {
            let spec = network_spec(*egress);
            of_network(&network::update(core, caller, project, called, spec, anything).await?)
        }
        Wish::Instance {
            networks,
            power,
            restart,
            memory,
        } => {
            let before = instance::get(core, caller, project, called).await?;
            let changed = if before.spec.power == *power {
                let spec = instance_spec(networks, (*power, *restart), *memory);
                instance::update(core, caller, project, called, spec, anything).await?
            } else {
                match power {
                    Power::Running => instance::start(core, caller, project, called).await?,
                    Power::Stopped => instance::stop(core, caller, project, called, false).await?,
                }
            };
            of_instance(&changed)
        }
        Wish::Peer { networks } => {
            let spec = peer_spec(project, called, networks);
            of_peer(&peer::update(core, caller, project, called, spec, anything).await?)
        }
    }))
}

async fn delete(core: &Core, caller: &Caller, key: &Key) -> Result<Option<Thing>> {
    let (project, called, anything) = (&key.project, &key.name, None);
    Ok(match key.sort {
        Sort::Network => {
            let left = network::delete(core, caller, project, called, anything).await?;
            left.as_ref().map(of_network)
        }
        Sort::Instance => {
            let left = instance::delete(core, caller, project, called, anything).await?;
            left.as_ref().map(of_instance)
        }
        Sort::Peer => {
            let left = peer::delete(core, caller, project, called, anything).await?;
            left.as_ref().map(of_peer)
        }
    })
}

fn of_network(network: &Network) -> Thing {
    let wish = Wish::Network {
        egress: network.spec.egress,
    };
    thing(&network.meta, network.status.phase, wish)
}

fn of_instance(instance: &Instance) -> Thing {
    let wish = Wish::Instance {
        networks: instance.spec.networks.clone(),
        power: instance.spec.power,
        restart: instance.spec.restart,
        memory: instance.spec.memory.as_bytes() >> 20,
    };
    thing(&instance.meta, instance.status.phase, wish)
}

fn of_peer(peer: &Peer) -> Thing {
    let wish = Wish::Peer {
        networks: peer.spec.networks.clone(),
    };
    thing(&peer.meta, peer.status.phase, wish)
}

fn thing(meta: &Meta, phase: Phase, wish: Wish) -> Thing {
    Thing {
        id: meta.id,
        generation: meta.generation,
        wish,
        going: phase == Phase::Deleting,
    }
}

fn network_spec(egress: bool) -> NetworkSpec {
    NetworkSpec {
        egress,
        ..NetworkSpec::default()
    }
}

fn instance_spec(
    networks: &[Name],
    (power, restart): (Power, RestartPolicy),
    memory: u64,
) -> InstanceSpec {
    InstanceSpec {
        image: "tiny".to_owned(),
        cpus: 1,
        memory: Size::mib(memory),
        networks: networks.to_vec(),
        bridges: Vec::new(),
        card_slots: 0,
        command_line: Some(String::new()),
        disk: None,
        firmware: None,
        power,
        restart,
        stop_timeout: 20,
        host: None,
        require: BTreeMap::new(),
        affinity: None,
        anti_affinity: None,
        user_data: None,
        ssh_keys: None,
        metadata: Default::default(),
    }
}

/// The key follows from the device, which keeps it.
fn peer_spec(project: &Name, peer: &Name, networks: &[Name]) -> PeerSpec {
    let key = Digest::of(format!("{project} {peer}").as_bytes());
    PeerSpec {
        public_key: STANDARD.encode(key.as_bytes()),
        networks: networks.to_vec(),
    }
}
