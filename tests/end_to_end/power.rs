//! Starting, stopping, rebooting and crashing instances, and what they leave to read.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rhyzome_end_to_end::operator::{READY, TOLD, name};
use rhyzome_end_to_end::{Tunnelled, World, host, wait_for};
use rhyzome_model::instance::{InstanceObserved, InstanceSpec, InstanceState, RestartPolicy};
use rhyzome_model::resource::Instance;
use rhyzome_model::{Name, Size};

use crate::reach::Devices;
use crate::tenants::{Tenant, assert_is, running, spec};

/// Longer than a guest needs to obey, shorter than it is given.
const OBEYED: Duration = Duration::from_secs(15);

pub async fn an_instance_stops_starts_reboots_and_says_why_it_ended(
    world: &World,
    tenants: &[Tenant],
    devices: &Devices,
) {
    let alpha = &tenants[0];
    let lab = &alpha.networks[0];
    let instances = alpha.scope.instance();
    let before = &lab.instances[1];
    let db = &before.meta.name;
    let tunnel = Tunnelled::start(&world.member, &devices.both);
    let address = before.status.interfaces[0].ipv4;

    let asked = std::time::Instant::now();
    let stopped = instances.stop(db, false, Some(READY)).await.unwrap();
    let observed = observed(&stopped);
    assert_eq!(observed.state, InstanceState::Stopped);
    assert!(
        observed.reason.contains("as asked by the power button"),
        "{observed:?}"
    );
    assert!(asked.elapsed() < OBEYED);
    tunnel.fails_to_reach(address, 80).await;
    world.say("a stopped instance obeyed the power button");
    writes(tenants, db, &["hello: version", "power: button pressed"]).await;
    world.say("its console can be read");

    instances.start(db, Some(READY)).await.unwrap();
    let started = running(&alpha.scope, db).await;
    assert_eq!(started.status.interfaces, before.status.interfaces);
    let first = answer(&tunnel, &started).await;
    assert_is(&first, &started, &lab.network);
    world.say("a started instance has its addresses again");

    let more = |instance: &Instance| InstanceSpec {
        memory: Size::bytes(2 * instance.spec.memory.as_bytes()),
        ..instance.spec.clone()
    };
    instances.edit(db, more, Some(READY)).await.unwrap();
    assert!(self::observed(&running(&alpha.scope, db).await).needs_restart);
    let same = answer(&tunnel, &started).await;
    assert!(same.requests > first.requests && same.memory_bytes == first.memory_bytes);
    world.say("an instance that is to have more memory goes on, and says that it needs a restart");

    instances.reboot(db, Some(READY)).await.unwrap();
    let rebooted = wait_for("it says that it was rebooted", READY, async || {
        let instance = running(&alpha.scope, db).await;
        let observed = self::observed(&instance);
        let is_new = observed.reason.contains("rebooted as asked") && !observed.needs_restart;
        is_new.then_some(instance)
    });
    let new = answer(&tunnel, &rebooted.await).await;
    assert!(new.requests < same.requests && new.memory_bytes > same.memory_bytes);
    world.say("a rebooted instance begins anew, with more memory");
}

async fn answer(tunnel: &Tunnelled, instance: &Instance) -> rhyzome_end_to_end::page::Page {
    let address = instance.status.interfaces[0].ipv4;
    wait_for("the instance answers", READY, async || {
        tunnel.ask(address).await.ok()
    })
    .await
}

fn observed(instance: &Instance) -> InstanceObserved {
    instance.status.observed.clone().unwrap()
}

/// Waits until an instance has written all of these to its console.
async fn writes(tenants: &[Tenant], instance: &Name, lines: &[&str]) {
    let instances = tenants[0].scope.instance();
    let what = format!("{lines:?} on the console of {instance}");
    wait_for(&what, READY, async || {
        let console = instances.console(instance, 1 << 16).await.unwrap();
        let text = String::from_utf8_lossy(&console);
        lines.iter().all(|line| text.contains(line)).then_some(())
    })
    .await;
}

pub async fn a_crashed_instance_says_why(world: &World, tenants: &[Tenant]) {
    let alpha = &tenants[0];
    let instances = alpha.scope.instance();
    let frail = name("frail");
    let mut wanted = spec("lab", TOLD);
    wanted.restart = RestartPolicy::Never;
    instances.create(&frail, wanted, None).await.unwrap();
    let instance = running(&alpha.scope, &frail).await;

    writes(tenants, &frail, &["http: listening"]).await;

    kill_guest(&instance);
    let crashed = wait_for("the crash is reported", READY, async || {
        let instance = instances.get(&frail).await.ok()?;
        (observed(&instance).state != InstanceState::Running).then_some(instance)
    });
    let observed = observed(&crashed.await);
    assert_eq!(observed.state, InstanceState::Crashed, "{observed:?}");
    world.say(&format!(
        "a guest that was killed has crashed: {}",
        observed.reason
    ));
    assert!(observed.reason.contains("http: listening"), "{observed:?}");
    instances.delete(&frail, None, Some(READY)).await.unwrap();
}

pub async fn a_crashed_instance_is_started_again_if_it_should_be(
    world: &World,
    tenants: &[Tenant],
    devices: &Devices,
) {
    let alpha = &tenants[0];
    let web = &alpha.networks[0].instances[0];
    assert_eq!(web.spec.restart, RestartPolicy::OnFailure);
    kill_guest(web);
    let restarted = wait_for("it is started again", READY, async || {
        let instance = alpha.scope.instance().get(&web.meta.name).await.ok()?;
        let observed = observed(&instance);
        (observed.restarts == 1 && observed.state == InstanceState::Running).then_some(instance)
    });
    let restarted = restarted.await;
    let tunnel = Tunnelled::start(&world.member, &devices.both);
    let page = answer(&tunnel, &restarted).await;
    assert_is(&page, web, &alpha.networks[0].network);
    world.say(&format!(
        "a crashed guest was started again: {}",
        observed(&restarted).reason
    ));
}

/// Kills the process of a guest, as the kernel does that has no memory left.
fn kill_guest(instance: &Instance) {
    let id = instance.meta.id.to_string();
    let is_guest = |process: &host::Process| {
        process.program().starts_with("qemu-system") && process.arguments.contains(&id)
    };
    let guests = host::processes(is_guest);
    assert_eq!(guests.len(), 1, "{guests:?}");
    kill(Pid::from_raw(guests[0].pid), Signal::SIGKILL).unwrap();
}
