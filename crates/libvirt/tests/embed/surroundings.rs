//! A libvirtd that is not there, hangs, is killed and started again, under a component and its guests.

use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use rhyzome_component::driver::Driver;
use rhyzome_component::{DriverError, Progress};
use rhyzome_libvirt::LibvirtDriver;
use rhyzome_model::instance::{InstanceState, Power, RestartPolicy};
use rhyzome_model::job::FailureKind;
use rhyzome_model::placement::Placement;

use crate::guest::End;
use crate::isolated::isolated_on_system;
use crate::system;
use crate::world::{World, wait_for};

/// How long anything may take before it is called hanging.
const BOUND: Duration = Duration::from_secs(60);

impl World {
    /// What the driver says that it cannot do now.
    async fn refused(&self, driver: &LibvirtDriver, placement: &Placement) -> DriverError {
        let began = Instant::now();
        let asked = driver.inventory(std::slice::from_ref(placement));
        let asked = tokio::time::timeout(BOUND, asked).await;
        let inventory = asked.expect("no answer for too long").unwrap_err();
        let mut stopped = placement.clone();
        self.change(&mut stopped, |spec| spec.power = Power::Stopped);
        let progress = Progress::new().0;
        let asked = tokio::time::timeout(BOUND, driver.ensure(&stopped, &progress)).await;
        let error = asked.expect("no answer for too long").unwrap_err();
        for error in [&inventory, &error] {
            assert_eq!(error.kind, FailureKind::Transient, "{}", error.chain());
        }
        assert!(began.elapsed() < BOUND, "{:?}", began.elapsed());
        error
    }

    /// Waits until the driver finds its guest as it was.
    async fn found_again(&self, driver: &LibvirtDriver, placement: &Placement, guest: i32) {
        wait_for("the guest", BOUND, async || {
            let accepted = std::slice::from_ref(placement);
            driver.inventory(accepted).await.ok()?;
            let seen = self.observed(driver, placement).await?;
            (seen.state == InstanceState::Running).then_some(())
        })
        .await;
        assert_eq!(self.processes(), [guest], "another guest, or none");
    }
}

fn says(error: &DriverError, parts: &[&str]) {
    let text = error.chain();
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
}

#[test]
fn a_libvirtd_that_hangs_or_is_restarted_is_told_and_its_guests_go_on() {
    isolated_on_system(
        "surroundings::a_libvirtd_that_hangs_or_is_restarted_is_told_and_its_guests_go_on",
        |world| async move {
            let driver = world.open().await;
            let placement = world.tiny(End::Never, RestartPolicy::Never);
            world.ensure(&driver, &placement).await;
            let [guest] = world.processes()[..] else {
                panic!("one guest")
            };

            let libvirtd = system::libvirtd();
            kill(libvirtd, Signal::SIGSTOP).unwrap();
            let error = world.refused(&driver, &placement).await;
            says(
                &error,
                &[
                    "qemu:///system",
                    "did not answer",
                    "restarting it stops no guest",
                ],
            );
            let second = tokio::time::timeout(BOUND, world.try_open()).await;
            let second = second.expect("opening hangs").err().unwrap();
            says(&second, &["qemu:///system", "did not answer"]);
            assert_eq!(world.processes(), [guest]);
            kill(libvirtd, Signal::SIGCONT).unwrap();
            world.found_again(&driver, &placement, guest).await;

            kill(libvirtd, Signal::SIGKILL).unwrap();
            system::wait_until_libvirtd_is_gone();
            let error = world.refused(&driver, &placement).await;
            says(&error, &["qemu:///system", "libvirtd does not run"]);
            let second = world.try_open().await.err().unwrap();
            says(&second, &["qemu:///system", "libvirtd does not run"]);
            assert_eq!(world.processes(), [guest]);
            system::start_libvirtd();
            world.found_again(&driver, &placement, guest).await;

            driver
                .remove(&placement.reference(), &Progress::new().0)
                .await
                .unwrap();
            assert_eq!(world.processes(), Vec::<i32>::new());
        },
    );
}
