//! The core and both components are killed while all runs: nobody who uses the site notices.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use rhyzome_end_to_end::host::{self, Process};
use rhyzome_end_to_end::operator::{READY, STARTED, name};
use rhyzome_end_to_end::world::Kind;
use rhyzome_end_to_end::{Operator, Talk, Tunnelled, World, wait_for};
use rhyzome_model::resource::Instance;
use rhyzome_model::status::Phase;

use crate::liar::Liar;
use crate::reach::{Devices, reaches};
use crate::removal::assert_same;
use crate::tenants::{Tenant, running};

/// How long an answer may take on two processors that are busy with starting everything again.
const HICCUP: Duration = Duration::from_secs(10);

pub async fn killing_core_and_components_interrupts_nothing(
    world: &mut World,
    tenants: &[Tenant],
    devices: &Devices,
) -> Operator {
    let alpha = &tenants[0];
    let [lab, attic] = &alpha.networks[..] else {
        panic!("two networks")
    };
    let tunnel = Tunnelled::start(&world.member, &devices.both);
    let talk = Talk::start(&tunnel, SocketAddr::new(lab.addresses()[0], 80)).await;
    reaches(&tunnel, &[lab, attic]).await;
    let sessions = tunnel.sessions().await;
    let liar = Liar::begin(world, &alpha.scope, lab).await;
    let processes = outliving(world);

    world.kill_core();
    for kind in Kind::ALL {
        world.kill_component(kind);
    }
    world.say("core and components are killed");
    talk.goes_on(50).await;
    reaches(&tunnel, &[lab, attic]).await;
    world.say("instances go on being reached");

    world.start_core();
    let operator = Operator::of(world).await;
    for kind in Kind::ALL {
        world.start_component(kind);
    }
    for kind in Kind::ALL {
        operator
            .connected(&name(&format!("host-{}", kind.as_str())))
            .await;
    }
    world.say("core and components run again");
    converged(&operator, tenants).await;
    talk.goes_on(50).await;
    reaches(&tunnel, &[lab, attic]).await;
    liar.end(world, &operator.client().within(&alpha.project))
        .await;
    world.say("nothing false was heard on the segment all the while");
    assert!(talk.is_on());
    assert!(
        talk.longest() < HICCUP,
        "an answer took {:?}",
        talk.longest()
    );
    assert_same(&sessions, &tunnel.sessions().await);
    let after = outliving(world);
    let gone: Vec<String> = processes
        .difference(&after)
        .map(Process::to_string)
        .collect();
    let new: Vec<String> = after
        .difference(&processes)
        .map(Process::to_string)
        .collect();
    assert!(
        gone.is_empty() && new.is_empty(),
        "something was started again: gone {gone:#?}, new {new:#?}"
    );
    world.say(&format!(
        "all is as it was: {} processes, {} answers on one connection, the slowest after {} ms",
        processes.len(),
        talk.answers(),
        talk.longest().as_millis()
    ));
    operator
}

/// Guests, endpoints, and what serves DHCP and DNS; not what a component runs and waits for.
pub fn outliving(world: &World) -> BTreeSet<Process> {
    let routers = world.routers();
    let inside: Vec<u64> = routers
        .iter()
        .filter_map(|name| rhyzome_end_to_end::place::inode(name))
        .chain([world.host.inode()])
        .collect();
    let ours = |process: &Process| process.namespace.is_some_and(|at| inside.contains(&at));
    let components = Kind::ALL.map(|kind| format!("rhyzome-{}", kind.as_str()));
    let is_component = |process: &Process| {
        components.iter().any(|name| name == process.program())
            && process.arguments.iter().any(|word| word == "run")
    };
    host::processes(|process| ours(process) && !is_component(process) && !is_question(process))
        .into_iter()
        .collect()
}

/// A command that a component or libvirt runs now and then and that ends by itself: a look at the rules, or
/// the question what QEMU is able to do (a machine without a name).
fn is_question(process: &Process) -> bool {
    let mut words = process.arguments.iter();
    process.program() == "nft" || words.any(|word| word.starts_with("none,accel="))
}

/// Waits until no job is left, and makes sure that nothing was done to an instance.
async fn converged(operator: &Operator, tenants: &[Tenant]) {
    wait_for("all jobs are done", STARTED, async || {
        let jobs = operator.client().job().list(200, None).await.ok()?;
        let open = jobs.items.iter().any(|job| job.finished_at.is_none());
        (!open).then_some(())
    })
    .await;
    for tenant in tenants {
        let scope = operator.client().within(&tenant.project);
        for inhabited in &tenant.networks {
            let network = scope
                .network()
                .get_tagged(inhabited.name(), Some(READY))
                .await
                .unwrap();
            assert_eq!(
                network.value.status.phase,
                Phase::Ready,
                "{:#?}",
                network.value
            );
            for before in &inhabited.instances {
                let after = running(&scope, &before.meta.name).await;
                assert_eq!(life(before), life(&after));
            }
        }
    }
}

/// What tells one life of a guest from another.
fn life(instance: &Instance) -> (rhyzome_model::Timestamp, u32) {
    let observed = instance.status.observed.as_ref().unwrap();
    (observed.since, observed.restarts)
}
