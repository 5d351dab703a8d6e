//! What somebody does on a site while something goes wrong: a network, an instance and a peer are made,
//! changed, stopped, started and deleted.

use std::path::Path;
use std::time::{Duration, Instant};

use rhyzome_client::{Error, Scope};
use rhyzome_end_to_end::operator::name;
use rhyzome_end_to_end::world::{Kind, Program};
use rhyzome_end_to_end::{Operator, World};
use rhyzome_model::Name;
use rhyzome_model::instance::InstanceSpec;
use rhyzome_model::network::NetworkSpec;
use rhyzome_model::peer::PeerSpec;
use rhyzome_model::status::{Condition, Phase};
use serde_json::json;

use crate::host::{Picture, differences, picture};
use crate::matrix::{Case, Fault, Victims};

/// How long anything may take to be as it was asked for, whatever goes wrong.
const CONVERGED: Duration = Duration::from_secs(60);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(50);
/// Of nobody: the private key was thrown away.
const KEY: &str = "mEpV0Ix8Qw9tq8Yy6nqkK1uYp3oZ7bqkT0bF0d3w0V0=";

/// The host with all that was made, and the host when all of it is gone.
pub struct Usual {
    inhabited: Picture,
    empty: Picture,
}

/// Everything once without a fault, to know what has to come of it.
pub async fn without_faults(world: &mut World, scope: &Scope) -> Usual {
    let mut tour = Tour::new(scope);
    tour.reboots_for_sure = true;
    let mut inhabited = None;
    let see = async |world: &World| inhabited = Some(picture(world));
    tour.go(world, see).await;
    // What a component keeps once it had something to do stays.
    let empty = picture(world);
    Usual {
        inhabited: inhabited.expect("it was seen"),
        empty,
    }
}

/// Everything with something that goes wrong; says whether it came to that.
///
/// # Panics
/// With what is not as it has to be.
pub async fn with(
    world: &mut World,
    operator: &Operator,
    scope: &Scope,
    case: Case,
    usual: &Usual,
) -> bool {
    let note = world.arm(case.program, case.told());
    restart(world, operator, case.program).await;
    world.disarm();
    let mut tour = Tour::new(scope);
    tour.fault = Some((case, note.clone()));
    tour.go(world, async |world: &World| {
        same(world, &usual.inhabited, "with all that was made").await;
    })
    .await;
    // How often a step is passed depends on what is done at once; the first time has to be.
    let reached = note.exists();
    assert!(reached || case.time > 1, "the step was never reached");
    same(world, &usual.empty, "with all of it deleted").await;
    restart(world, operator, case.program).await;
    reached
}

/// So that what is left of a failed case can be taken down.
pub fn recover(world: &mut World) {
    let note = world.path("fault");
    release(&note);
}

struct Tour<'a> {
    scope: &'a Scope,
    lab: Name,
    web: Name,
    laptop: Name,
    /// Nothing goes wrong: a reboot is waited for. A component that is killed in one may have done it or not.
    reboots_for_sure: bool,
    /// What goes wrong, until it did.
    fault: Option<(Case, std::path::PathBuf)>,
}

impl<'a> Tour<'a> {
    fn new(scope: &'a Scope) -> Self {
        Self {
            scope,
            lab: name("lab"),
            web: name("web"),
            laptop: name("laptop"),
            reboots_for_sure: false,
            fault: None,
        }
    }

    /// `see` looks at the host when all is there.
    async fn go(mut self, world: &mut World, see: impl AsyncFnOnce(&World)) {
        self.make(world).await;
        self.stop_and_start(world).await;
        self.change(world).await;
        see(world).await;
        self.delete(world).await;
    }

    async fn make(&mut self, world: &mut World) {
        let (scope, lab, web, laptop) = (
            self.scope,
            self.lab.clone(),
            self.web.clone(),
            self.laptop.clone(),
        );
        self.insist(world, "a network is made", async || {
            scope
                .network()
                .create(&lab, NetworkSpec::default(), None)
                .await
                .map(drop)
        })
        .await;
        self.insist(world, "an instance is made", async || {
            scope
                .instance()
                .create(&web, instance(), None)
                .await
                .map(drop)
        })
        .await;
        self.insist(world, "a peer is made", async || {
            scope
                .peer()
                .create(&laptop, peer(&[&lab]), None)
                .await
                .map(drop)
        })
        .await;
        self.ready(world).await;
    }

    async fn change(&mut self, world: &mut World) {
        let (scope, lab, web, laptop) = (
            self.scope,
            self.lab.clone(),
            self.web.clone(),
            self.laptop.clone(),
        );
        self.insist(world, "the network is changed", async || {
            let change = |network: &rhyzome_model::resource::Network| NetworkSpec {
                egress: true,
                ..network.spec.clone()
            };
            scope.network().edit(&lab, change, None).await.map(drop)
        })
        .await;
        self.insist(world, "the instance is changed", async || {
            let change = |instance: &rhyzome_model::resource::Instance| InstanceSpec {
                stop_timeout: 0,
                ..instance.spec.clone()
            };
            scope.instance().edit(&web, change, None).await.map(drop)
        })
        .await;
        for networks in [&[][..], &[&lab][..]] {
            self.insist(world, "the peer is changed", async || {
                scope
                    .peer()
                    .edit(&laptop, |_| peer(networks), None)
                    .await
                    .map(drop)
            })
            .await;
        }
        self.ready(world).await;
        // With no time to obey it is forced.
        self.insist(world, "the instance is rebooted", async || {
            scope.instance().reboot(&web, None).await.map(drop)
        })
        .await;
        self.ready(world).await;
        if self.reboots_for_sure {
            self.until(world, "it was rebooted", async || {
                let observed = scope.instance().get(&web).await.ok()?.status.observed?;
                observed.reason.contains("rebooted as asked").then_some(())
            })
            .await;
        }
    }

    async fn stop_and_start(&mut self, world: &mut World) {
        let (scope, web) = (self.scope, self.web.clone());
        self.insist(world, "the instance is stopped", async || {
            scope.instance().stop(&web, false, None).await.map(drop)
        })
        .await;
        self.ready(world).await;
        self.insist(world, "the instance is started", async || {
            scope.instance().start(&web, None).await.map(drop)
        })
        .await;
        self.ready(world).await;
    }

    async fn delete(&mut self, world: &mut World) {
        let (scope, lab, web, laptop) = (
            self.scope,
            self.lab.clone(),
            self.web.clone(),
            self.laptop.clone(),
        );
        self.insist(world, "the peer is deleted", async || {
            scope.peer().delete(&laptop, None, None).await.map(drop)
        })
        .await;
        self.insist(world, "the instance is deleted", async || {
            scope.instance().delete(&web, None, None).await.map(drop)
        })
        .await;
        self.until(world, "the peer and the instance are gone", async || {
            let none = scope.peer().all().await.ok()?.is_empty();
            (none && scope.instance().all().await.ok()?.is_empty()).then_some(())
        })
        .await;
        self.insist(world, "the network is deleted", async || {
            scope.network().delete(&lab, None, None).await.map(drop)
        })
        .await;
        self.until(world, "the network is gone", async || {
            scope.network().all().await.ok()?.is_empty().then_some(())
        })
        .await;
    }

    /// Waits until all three are as they should be. One that was refused is to say what was made to go
    /// wrong, and is asked for again.
    async fn ready(&mut self, world: &mut World) {
        let (scope, lab, web, laptop) = (
            self.scope,
            self.lab.clone(),
            self.web.clone(),
            self.laptop.clone(),
        );
        self.until(world, "all is as it should be", async || {
            let network = scope.network().get(&lab).await.ok()?;
            let instance = scope.instance().get(&web).await.ok()?;
            let peer = scope.peer().get(&laptop).await.ok()?;
            let (mut ready, mut refused) = (true, Vec::new());
            for (phase, message) in [
                (network.status.phase, said(&network.status.conditions)),
                (instance.status.phase, said(&instance.status.conditions)),
                (peer.status.phase, said(&peer.status.conditions)),
            ] {
                ready &= phase == Phase::Ready;
                if phase == Phase::Failed {
                    refused.push(message);
                }
            }
            if ready {
                return Some(());
            }
            for message in &refused {
                assert!(
                    message.contains("this was made to fail"),
                    "refused, and not by the fault: {message}"
                );
            }
            if !refused.is_empty() {
                // What was refused is tried again when somebody asks for it again.
                let _again = scope.network().update(&lab, network.spec, None, None).await;
                let _again = scope
                    .instance()
                    .update(&web, instance.spec, None, None)
                    .await;
                let _again = scope.peer().update(&laptop, peer.spec, None, None).await;
            }
            None
        })
        .await;
    }

    /// Asks until there is an answer, as somebody would who sees that the core is away.
    async fn insist(
        &mut self,
        world: &mut World,
        what: &str,
        ask: impl AsyncFn() -> Result<(), Error>,
    ) {
        self.until(world, what, async || match ask().await {
            Ok(()) => Some(()),
            // It was made, or deleted, at an earlier try whose answer got lost.
            Err(error) if matches!(error.code(), Some("name_taken" | "not_found")) => Some(()),
            Err(error) => {
                // What goes wrong meanwhile may be that no hypervisor is connected.
                let gone = matches!(
                    error.code(),
                    None | Some("changed" | "unavailable" | "no_capacity")
                );
                assert!(gone, "{what}: {error}");
                None
            }
        })
        .await;
    }

    /// Looks until there is something, and lets go wrong what is to go wrong meanwhile.
    async fn until(&mut self, world: &mut World, what: &str, look: impl AsyncFn() -> Option<()>) {
        let until = Instant::now() + CONVERGED;
        loop {
            self.strike(world).await;
            // A program that is held does not answer.
            let looked = tokio::select! {
                looked = look() => looked,
                () = self.noted() => None,
            };
            if looked.is_some() {
                return;
            }
            assert!(
                Instant::now() < until,
                "waited {} s in vain until {what}",
                CONVERGED.as_secs()
            );
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Waits until something goes wrong.
    async fn noted(&self) {
        let Some((_, note)) = &self.fault else {
            return std::future::pending().await;
        };
        while !note.exists() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Kills who is to be killed, once the step is reached.
    async fn strike(&mut self, world: &mut World) {
        let Some((case, note)) = self.fault.take_if(|(_, note)| note.exists()) else {
            return;
        };
        let Fault::Kill(victims) = case.fault else {
            return;
        };
        let core = matches!(victims, Victims::Core | Victims::Both);
        let components: &[Kind] = match (victims, case.program) {
            (Victims::Core, _) => &[],
            (_, Program::Component(Kind::Libvirt)) => &[Kind::Libvirt],
            (_, Program::Component(Kind::Linux)) => &[Kind::Linux],
            // Where it is the core that is at the step, all of them go with it.
            (_, Program::Core) => &Kind::ALL,
        };
        if core {
            world.kill_core();
        }
        for kind in components {
            world.kill_component(*kind);
        }
        release(&note);
        if core {
            world.start_core();
        }
        for kind in components {
            world.start_component(*kind);
        }
    }
}

/// All that conditions say.
fn said(conditions: &[Condition]) -> String {
    let messages = conditions
        .iter()
        .map(|condition| condition.message.as_str());
    messages.collect::<Vec<_>>().join("; ")
}

/// Lets what is held go on.
fn release(note: &Path) {
    std::fs::write(rhyzome_fault::go(note), "").expect("the folder is ours");
}

async fn restart(world: &mut World, operator: &Operator, program: Program) {
    match program {
        Program::Core => {
            world.kill_core();
            world.start_core();
            Operator::of(world).await;
        }
        Program::Component(kind) => {
            world.kill_component(kind);
            world.start_component(kind);
        }
    }
    for kind in Kind::ALL {
        let name = name(&format!("host-{}", kind.as_str()));
        operator.connected(&name).await;
    }
}

/// Waits until the host has what it has to have.
async fn same(world: &World, wanted: &Picture, when: &str) {
    let until = Instant::now() + CONVERGED;
    loop {
        let differs = differences(wanted, &picture(world));
        if differs.is_empty() {
            return;
        }
        assert!(
            Instant::now() < until,
            "the host {when} differs: {differs:#?}"
        );
        tokio::time::sleep(PAUSE).await;
    }
}

fn instance() -> InstanceSpec {
    let spec = json!({"image": "hello", "memory": "32MiB", "disk": "16MiB", "networks": ["lab"], "stop_timeout": 10});
    serde_json::from_value(spec).expect("it is one")
}

fn peer(networks: &[&Name]) -> PeerSpec {
    PeerSpec {
        public_key: KEY.to_owned(),
        networks: networks.iter().map(|name| (*name).clone()).collect(),
    }
}
