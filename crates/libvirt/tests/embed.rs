//! The driver on a real libvirt, embedded, with real guests (on QEMU's own translation) and real bridges
//! and port rules, each test in a process and a network namespace of its own. Needs root.

#[cfg(test)]
#[path = "embed/bridges.rs"]
mod bridges;
#[cfg(test)]
#[path = "embed/cards.rs"]
mod cards;
#[cfg(test)]
#[path = "embed/contract.rs"]
mod contract;
#[cfg(test)]
#[path = "embed/disk_guest.rs"]
mod disk_guest;
#[cfg(test)]
#[path = "embed/disks.rs"]
mod disks;
#[cfg(test)]
#[path = "embed/full.rs"]
mod full;
#[cfg(test)]
#[path = "embed/guest.rs"]
mod guest;
#[cfg(test)]
#[path = "embed/isolated.rs"]
mod isolated;
#[cfg(test)]
#[path = "embed/kills.rs"]
mod kills;
#[cfg(test)]
#[path = "embed/surroundings.rs"]
mod surroundings;
#[cfg(test)]
#[path = "embed/system.rs"]
mod system;
#[cfg(test)]
#[path = "embed/world.rs"]
mod world;

use std::time::Duration;

use rhyzome_component::Progress;
use rhyzome_component::driver::Driver;
use rhyzome_libvirt::{LibvirtDriver, down};
use rhyzome_model::image::ImageFormat;
use rhyzome_model::instance::{InstanceState, Power, RestartPolicy};
use rhyzome_model::job::Action;
use rhyzome_model::placement::{Observed, PlacementSpec};

use guest::End;
use isolated::isolated;
use world::wait_for;

#[test]
fn an_instance_starts_obeys_the_power_button_and_leaves_nothing() {
    isolated(
        "an_instance_starts_obeys_the_power_button_and_leaves_nothing",
        |world| async move {
            let driver = world.open().await;
            world.segment(&driver).await;
            let mut placement = world.hello();
            let first = world.ensure(&driver, &placement).await;
            assert_eq!(first.state, InstanceState::Running, "{first:?}");
            assert_eq!(first.accelerator, "qemu");
            world
                .console_says(&driver, &placement, "hello: version")
                .await;
            assert_eq!(world.taps(), [world.tap(&placement)]);

            // A second time changes nothing.
            let process = world.processes();
            assert_eq!(process.len(), 1);
            let second = world.ensure(&driver, &placement).await;
            assert_eq!((second, world.processes()), (first, process.clone()));
            assert_eq!(
                world.observed(&driver, &placement).await.map(|o| o.state),
                Some(InstanceState::Running)
            );

            // What needs a restart says so, and what does not does not restart.
            world.change(&mut placement, |spec| spec.cpus = 2);
            let changed = world.ensure(&driver, &placement).await;
            assert!(
                changed.needs_restart && world.processes() == process,
                "{changed:?}"
            );

            world.change(&mut placement, |spec| spec.power = Power::Stopped);
            let stopped = world.ensure(&driver, &placement).await;
            assert_eq!(stopped.state, InstanceState::Stopped);
            assert_eq!(stopped.reason, "it stopped as asked by the power button");
            world
                .console_says(&driver, &placement, "power: button pressed")
                .await;
            assert_eq!(
                world.observed(&driver, &placement).await.map(|o| o.state),
                Some(InstanceState::Stopped)
            );

            world.change(&mut placement, |spec| spec.power = Power::Running);
            let again = world.ensure(&driver, &placement).await;
            assert!(
                again.state == InstanceState::Running && !again.needs_restart,
                "{again:?}"
            );

            driver
                .act(&placement.reference(), &Action::Reboot)
                .await
                .unwrap();
            assert_ne!(world.processes(), process);
            let rebooted = world.observed(&driver, &placement).await.unwrap();
            assert!(
                rebooted.reason.starts_with("it was rebooted as asked"),
                "{rebooted:?}"
            );

            driver
                .remove(&placement.reference(), &Progress::new().0)
                .await
                .unwrap();
            driver
                .remove(&placement.reference(), &Progress::new().0)
                .await
                .unwrap();
            assert!(world.processes().is_empty() && world.taps().is_empty());
            assert!(world.rules().await.is_empty());
            assert!(
                !world
                    .settings
                    .instances()
                    .join(placement.spec.resource().to_string())
                    .exists()
            );
            let inventory = driver.inventory(&[]).await.unwrap();
            assert_eq!(inventory.len(), 1, "the segment is left: {inventory:?}");
        },
    );
}

#[test]
fn a_guest_that_ignores_the_power_button_is_forced_after_its_time() {
    isolated(
        "a_guest_that_ignores_the_power_button_is_forced_after_its_time",
        |world| async move {
            let driver = world.open().await;
            let mut placement = world.tiny(End::Never, RestartPolicy::Never);
            world.change(&mut placement, |spec| spec.stop_timeout = 1);
            world.ensure(&driver, &placement).await;
            world.console_says(&driver, &placement, "tiny guest").await;
            world.change(&mut placement, |spec| spec.power = Power::Stopped);
            let stopped = world.ensure(&driver, &placement).await;
            assert_eq!(stopped.state, InstanceState::Stopped);
            assert_eq!(
                stopped.reason,
                "it was stopped by force: it did not obey the power button within 1 s"
            );
            assert!(world.processes().is_empty());
        },
    );
}

#[test]
fn how_a_guest_ended_is_told_with_its_last_words() {
    isolated(
        "how_a_guest_ended_is_told_with_its_last_words",
        |world| async move {
            let driver = world.open().await;
            let ends = [
                (
                    End::PowerOff,
                    InstanceState::Ended,
                    "it shut itself down; its console's last lines:",
                ),
                (
                    End::Panic,
                    InstanceState::Crashed,
                    "the guest panicked; its console's last lines:",
                ),
                (End::TripleFault, InstanceState::Crashed, "it reset itself"),
                (
                    End::Halt,
                    InstanceState::Crashed,
                    "the Linux kernel panicked (tiny); it then halted for ever, and was ended here",
                ),
            ];
            for (end, state, reason) in ends {
                let mut placement = world.tiny(end, RestartPolicy::Never);
                world.ensure(&driver, &placement).await;
                let changed = tokio::time::timeout(Duration::from_secs(30), driver.changed())
                    .await
                    .unwrap();
                assert_eq!(changed, placement.reference());
                let ended = world.observed(&driver, &placement).await.unwrap();
                assert_eq!(ended.state, state, "{ended:?}");
                assert!(ended.reason.starts_with(reason), "{ended:?}");
                assert!(
                    ended.reason.contains("last words of a tiny guest"),
                    "{ended:?}"
                );
                // The same generation does not start it again, a newer one does.
                assert_eq!(world.ensure(&driver, &placement).await, ended);
                placement.generation += 1;
                assert_eq!(
                    world.ensure(&driver, &placement).await.state,
                    InstanceState::Running
                );
                tokio::time::timeout(Duration::from_secs(30), driver.changed())
                    .await
                    .unwrap();
                driver
                    .remove(&placement.reference(), &Progress::new().0)
                    .await
                    .unwrap();
            }
        },
    );
}

#[test]
fn a_unikernel_that_drives_legacy_virtio_finds_its_card() {
    isolated(
        "a_unikernel_that_drives_legacy_virtio_finds_its_card",
        |world| async move {
            let driver = world.open().await;
            world.segment(&driver).await;
            let placement = world.unikraft();
            let PlacementSpec::Instance(spec) = &placement.spec else {
                panic!("an instance")
            };
            assert_eq!(
                spec.image.format,
                ImageFormat::Unikraft { parameters: false }
            );
            world.ensure(&driver, &placement).await;
            let changed = tokio::time::timeout(Duration::from_secs(30), driver.changed());
            assert_eq!(changed.await.unwrap(), placement.reference());
            let ended = world.observed(&driver, &placement).await.unwrap();
            assert_eq!(ended.state, InstanceState::Ended, "{ended:?}");
            assert!(ended.reason.contains(guest::FOUND), "{ended:?}");
        },
    );
}

#[test]
fn a_solo5_unikernel_finds_its_devices_in_the_order_of_its_manifest() {
    isolated(
        "a_solo5_unikernel_finds_its_devices_in_the_order_of_its_manifest",
        |world| async move {
            let driver = world.open().await;
            world.segment(&driver).await;
            let placement = world.solo5();
            world.ensure(&driver, &placement).await;
            let changed = tokio::time::timeout(Duration::from_secs(30), driver.changed());
            assert_eq!(changed.await.unwrap(), placement.reference());
            let ended = world.observed(&driver, &placement).await.unwrap();
            assert_eq!(ended.state, InstanceState::Crashed, "{ended:?}");
            let why = "the unikernel exited with status 3; its console's last lines: nbn |";
            assert!(ended.reason.starts_with(why), "{ended:?}");
        },
    );
}

#[test]
fn a_guest_that_resets_the_machine_for_ever_is_called_crashed() {
    isolated(
        "a_guest_that_resets_the_machine_for_ever_is_called_crashed",
        |world| async move {
            let driver = world.open().await;
            let placement = world.resets();
            world.ensure(&driver, &placement).await;
            let changed = tokio::time::timeout(Duration::from_secs(60), driver.changed());
            assert_eq!(changed.await.unwrap(), placement.reference());
            let ended = world.observed(&driver, &placement).await.unwrap();
            assert_eq!(ended.state, InstanceState::Crashed, "{ended:?}");
            assert!(
                ended.reason.starts_with("it reset itself 5 times"),
                "{ended:?}"
            );
        },
    );
}

#[test]
fn a_crash_is_answered_by_the_restart_policy_with_growing_pauses() {
    isolated(
        "a_crash_is_answered_by_the_restart_policy_with_growing_pauses",
        |world| async move {
            let driver = world.open().await;
            let placement = world.tiny(End::Panic, RestartPolicy::OnFailure);
            world.ensure(&driver, &placement).await;
            // While it is being started, that is what there is to say.
            wait_for("a second restart", Duration::from_secs(60), async || {
                let observed = world.observed(&driver, &placement).await?;
                let told = observed.reason.contains("last words of a tiny guest");
                (observed.restarts >= 2 && told).then_some(())
            })
            .await;
            // A clean end is no failure.
            let clean = world.tiny(End::PowerOff, RestartPolicy::OnFailure);
            world.ensure(&driver, &clean).await;
            let ended = wait_for("its end", Duration::from_secs(30), async || {
                let observed = world.observed(&driver, &clean).await;
                observed.filter(|observed| observed.state == InstanceState::Ended)
            })
            .await;
            assert_eq!(ended.restarts, 0);
        },
    );
}

#[test]
fn a_guest_outlives_a_killed_component_and_is_found_again() {
    isolated(
        "a_guest_outlives_a_killed_component_and_is_found_again",
        |world| async move {
            let placement = world.hello();
            if world.is_second() {
                // To be killed by the first.
                let driver = world.open().await;
                world.segment(&driver).await;
                world.ensure(&driver, &placement).await;
                world
                    .console_says(&driver, &placement, "hello: version")
                    .await;
                world.say("started");
                std::future::pending::<()>().await;
            }
            let mut second = world.second();
            wait_for("the second process", Duration::from_secs(60), async || {
                world.said("started")
            })
            .await;
            let process = world.processes();
            assert_eq!(process.len(), 1);
            second.kill().unwrap();
            second.wait().unwrap();
            assert_eq!(world.processes(), process);

            let driver = world.open().await;
            let look = driver.look(&placement).await.unwrap();
            let Ok(Observed::Instance(observed)) = look else {
                panic!("{look:?}")
            };
            assert_eq!(observed.state, InstanceState::Running);
            let ensured = world.ensure(&driver, &placement).await;
            assert_eq!(
                (ensured.state, world.processes()),
                (InstanceState::Running, process.clone())
            );
            world
                .console_says(&driver, &placement, "hello: version")
                .await;
            drop(driver);

            // Its record lost, it is found by its mark, and taken up again.
            world.lose_records();
            let driver = world.open().await;
            let found = driver
                .inventory(std::slice::from_ref(&placement))
                .await
                .unwrap();
            let found = found
                .iter()
                .find(|found| found.placement == placement.reference())
                .unwrap();
            assert_eq!((found.generation, &found.observed), (1, &None));
            let ensured = world.ensure(&driver, &placement).await;
            assert!(
                ensured.state == InstanceState::Running && !ensured.needs_restart,
                "{ensured:?}"
            );
            assert_eq!(world.processes(), process);
        },
    );
}

#[test]
fn a_guest_that_died_unseen_is_accounted_for_and_one_that_went_with_its_host_is_started() {
    isolated(
        "a_guest_that_died_unseen_is_accounted_for_and_one_that_went_with_its_host_is_started",
        |world| async move {
            let (watched, unwatched) =
                (world.hello(), world.tiny(End::Never, RestartPolicy::Never));
            if world.is_second() {
                let driver = world.open().await;
                world.segment(&driver).await;
                world.ensure(&driver, &watched).await;
                world.ensure(&driver, &unwatched).await;
                world.console_says(&driver, &unwatched, "last words").await;
                world.say("started");
                std::future::pending::<()>().await;
            }
            let mut second = world.second();
            wait_for("the second process", Duration::from_secs(60), async || {
                world.said("started")
            })
            .await;
            second.kill().unwrap();
            second.wait().unwrap();
            world.kill_guests();
            world.pretend_another_boot(&watched);

            let driver = world.open().await;
            let ended = wait_for("its end", Duration::from_secs(30), async || {
                world.observed(&driver, &unwatched).await
            })
            .await;
            assert_eq!(ended.state, InstanceState::Crashed, "{ended:?}");
            assert!(
                ended.reason.contains("last words of a tiny guest"),
                "{ended:?}"
            );

            let started = world.ensure(&driver, &watched).await;
            assert_eq!(started.reason, "it was started again after the host was");
            assert_eq!(world.processes().len(), 1);
        },
    );
}

#[test]
fn down_takes_all_off_the_host_after_a_kill() {
    isolated(
        "down_takes_all_off_the_host_after_a_kill",
        |world| async move {
            if world.is_second() {
                let driver = world.open().await;
                world.segment(&driver).await;
                world.ensure(&driver, &world.hello()).await;
                let mut stubborn = world.tiny(End::Never, RestartPolicy::Always);
                world.change(&mut stubborn, |spec| spec.stop_timeout = 1);
                world.ensure(&driver, &stubborn).await;
                world.say("started");
                std::future::pending::<()>().await;
            }
            let mut second = world.second();
            wait_for("the second process", Duration::from_secs(60), async || {
                world.said("started")
            })
            .await;
            second.kill().unwrap();
            second.wait().unwrap();
            assert_eq!(world.processes().len(), 2);

            down::down(&world.settings, false).await.unwrap();
            assert!(
                world.processes().is_empty()
                    && world.taps().is_empty()
                    && world.bridges().is_empty()
            );
            assert!(world.rules().await.is_empty());

            // Without a purge, what was to run is started by the next ensure.
            let driver: LibvirtDriver = world.open().await;
            world.segment(&driver).await;
            let hello = world.hello();
            let PlacementSpec::Instance(_) = &hello.spec else {
                panic!("an instance")
            };
            assert_eq!(
                world.ensure(&driver, &hello).await.state,
                InstanceState::Running
            );
        },
    );
}
