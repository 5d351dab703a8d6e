//! The workflows of an instance on a disk, cut off by SIGKILL in each of their steps, one after the other:
//! each process goes on from what the last one left.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use rhyzome_component::Progress;
use rhyzome_component::driver::Driver;
use rhyzome_model::instance::{InstanceState, Power};
use rhyzome_model::placement::Placement;

use crate::disk_guest::BIOS_SAYS;
use crate::disks::holds;
use crate::isolated::{isolated, isolated_on_system};
use crate::system;
use crate::world::World;

/// What a process does until it is killed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Start,
    Grow,
    Remove,
}

/// So long after a step began, in milliseconds.
type At = (Work, &'static str, u64);

/// Longer than any step: killed when all is done.
const DONE: u64 = 60_000;

const FETCH: &str = "fetching the image";
const PREPARE: &str = "preparing the disk";
const CLEAR: &str = "filling the disk with zeros";
const COPY: &str = "copying the image to the disk";
const RULES: &str = "setting port rules";
const GUEST: &str = "starting the guest";
const END: &str = "ending the guest";
const UNRULE: &str = "removing port rules";
const REMOVE: &str = "removing the disk";

/// In the order in which they come.
const STEPS: [&str; 9] = [
    FETCH, PREPARE, CLEAR, COPY, RULES, GUEST, END, UNRULE, REMOVE,
];

const OVERLAY: [At; 16] = [
    (Work::Start, FETCH, 0),
    (Work::Start, FETCH, 15),
    (Work::Start, PREPARE, 0),
    (Work::Start, PREPARE, 10),
    (Work::Start, RULES, 0),
    (Work::Start, GUEST, 0),
    // libvirt asks what QEMU can do, at its first start.
    (Work::Start, GUEST, 300),
    (Work::Start, GUEST, 700),
    (Work::Start, GUEST, DONE),
    (Work::Start, GUEST, 60),
    (Work::Start, GUEST, 110),
    (Work::Start, GUEST, 200),
    (Work::Grow, PREPARE, 5),
    (Work::Remove, END, 2),
    (Work::Remove, UNRULE, 0),
    (Work::Remove, REMOVE, 0),
];

const DEVICE: [At; 16] = [
    (Work::Start, FETCH, 15),
    (Work::Start, PREPARE, 0),
    (Work::Start, PREPARE, 20),
    (Work::Start, PREPARE, 60),
    (Work::Start, PREPARE, 150),
    (Work::Start, CLEAR, 0),
    (Work::Start, COPY, 0),
    (Work::Start, COPY, 10),
    (Work::Start, RULES, 0),
    (Work::Start, GUEST, 100),
    (Work::Grow, PREPARE, 10),
    (Work::Grow, PREPARE, 40),
    (Work::Grow, PREPARE, 80),
    (Work::Remove, END, 2),
    (Work::Remove, REMOVE, 0),
    (Work::Remove, REMOVE, 40),
];

#[test]
fn a_file_is_made_grown_and_removed_whatever_is_killed() {
    isolated(
        "kills::a_file_is_made_grown_and_removed_whatever_is_killed",
        |world| async move { killed_in_each_step(&world, &OVERLAY).await },
    );
}

#[test]
fn a_volume_is_made_grown_and_removed_whatever_is_killed() {
    isolated_on_system(
        "kills::a_volume_is_made_grown_and_removed_whatever_is_killed",
        |mut world| async move {
            world.settings.pool = Some(system::LVM.to_owned());
            killed_in_each_step(&world, &DEVICE).await;
        },
    );
}

/// Each process has the hypervisor for itself, those too that look at what became of it.
async fn killed_in_each_step(world: &World, points: &[At]) {
    let works = [Work::Start, Work::Grow, Work::Remove];
    match world.task() {
        Some(number) if number < points.len() => {
            return be_killed(world, points[number], number as u64).await;
        }
        Some(number) => return finish(world, works[number - points.len()], number as u64).await,
        None => {}
    }
    for (index, work) in works.into_iter().enumerate() {
        for (number, (own, step, after)) in points.iter().enumerate() {
            if *own == work {
                let status = world.second_with(number).wait().unwrap();
                let killed = status.signal() == Some(9);
                assert!(killed, "{step} after {after} ms: {status}");
            }
        }
        let finished = world.second_with(points.len() + index).wait();
        assert!(finished.unwrap().success(), "see above");
    }
}

/// What whoever comes last finishes, and how all is then.
async fn finish(world: &World, work: Work, number: u64) {
    let driver = world.open().await;
    let mib = if work == Work::Start { 4 } else { 8 };
    let spec = placement(world, mib, Power::Running, number);
    if work == Work::Remove {
        let progress = Progress::new().0;
        driver.remove(&spec.reference(), &progress).await.unwrap();
        assert_eq!(driver.inventory(&[]).await.unwrap(), []);
        assert_eq!(world.processes(), Vec::<i32>::new());
        assert!(!world.folder(&spec).exists());
        if world.settings.pool.is_some() {
            assert_eq!(system::virsh(&["vol-list", system::LVM]).trim(), "");
        }
        return;
    }
    let ensured = world.ensure(&driver, &spec).await;
    assert_eq!(ensured.state, InstanceState::Running, "{ensured:?}");
    let says = format!("{BIOS_SAYS}{mib}");
    world.console_says(&driver, &spec, &says).await;
    assert_eq!(world.processes().len(), 1);
    if world.settings.pool.is_some() {
        holds(&world.device(&spec), mib as usize);
    }
    assert_eq!(world.only(&world.settings.blobs()), world.image(&spec));
    driver.idle().await;
}

/// The instance, in the generation of a process: each has two, the disk grows in the second.
fn placement(world: &World, mib: u64, power: Power, process: u64) -> Placement {
    let mut placement = world.bios(mib);
    world.change(&mut placement, |spec| spec.power = power);
    let grows = u64::from(mib > 4);
    placement.generation = 1000 * grows + 2 * process + u64::from(power == Power::Running);
    placement
}

/// Works, and is killed by itself at its point; where the work is done before, at its end.
async fn be_killed(world: &World, (work, step, after): At, number: u64) {
    let (progress, steps) = Progress::new();
    let place = |step: &str| STEPS.iter().position(|name| *name == step);
    std::thread::spawn(move || {
        // A step that is over before anybody has seen it counts too.
        while place(&steps.borrow().name) < place(step) {
            std::hint::spin_loop();
        }
        std::thread::sleep(Duration::from_millis(after));
        kill();
    });
    let driver = world.open().await;
    let spec = |mib, power| placement(world, mib, power, number);
    let small = spec(4, Power::Running);
    match work {
        Work::Start => {
            world.ensure(&driver, &spec(4, Power::Stopped)).await;
            driver.ensure(&small, &progress).await.unwrap();
        }
        Work::Grow => {
            world.ensure(&driver, &spec(8, Power::Stopped)).await;
            let large = spec(8, Power::Running);
            driver.ensure(&large, &progress).await.unwrap();
        }
        Work::Remove => {
            let target = small.reference();
            driver.remove(&target, &progress).await.unwrap();
        }
    }
    kill();
}

fn kill() {
    let own = nix::unistd::Pid::this();
    nix::sys::signal::kill(own, nix::sys::signal::Signal::SIGKILL).unwrap();
}
