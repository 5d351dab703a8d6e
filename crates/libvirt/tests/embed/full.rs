//! Disks of a host that are full: of its state, of a storage pool.

use std::fs;
use std::path::{Path, PathBuf};

use nix::sys::statvfs::statvfs;
use rhyzome_component::Progress;
use rhyzome_component::driver::Driver;
use rhyzome_libvirt::{LibvirtDriver, down};
use rhyzome_model::Size;
use rhyzome_model::instance::{Firmware, InstanceState};
use rhyzome_model::job::FailureKind;
use rhyzome_model::placement::{Placement, PlacementSpec};

use crate::disk_guest::{self, BIOS_SAYS};
use crate::isolated::{isolated_on_a_disk, isolated_on_system, mount_disk};
use crate::system;
use crate::world::World;

fn ballast(folder: &Path) -> PathBuf {
    folder.join("ballast")
}

/// Leaves so many KiB of the disk that a folder is on.
fn fill(folder: &Path, left: u64) {
    let found = statvfs(folder).unwrap();
    let free = found.blocks_available() * found.fragment_size() / 1024;
    let bytes = usize::try_from((free - left) * 1024).unwrap();
    fs::write(ballast(folder), vec![0; bytes]).unwrap();
}

fn free(folder: &Path) {
    fs::remove_file(ballast(folder)).unwrap();
}

/// The names in a folder, also of what is hidden or half made.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Fails for now, and says all that somebody needs who is to help.
async fn fails(driver: &LibvirtDriver, placement: &Placement, says: &[&str]) {
    let error = driver.ensure(placement, &Progress::new().0).await;
    let error = error.expect_err("there is no room for it");
    assert_eq!(error.kind, FailureKind::Transient, "{}", error.chain());
    let said = error.chain();
    for part in says {
        assert!(said.contains(part), "{part:?} is not in {said}");
    }
}

/// Another instance with the disk of [`World::bios`].
fn another(world: &World, number: u128) -> Placement {
    let placement = world.placement("another", number, &disk_guest::bios(), Vec::new());
    World::with_disk(placement, 1, Some(Firmware::Bios))
}

#[test]
fn a_host_whose_disk_is_full_says_what_does_not_fit_and_makes_it_when_there_is_room() {
    isolated_on_a_disk(
        64,
        "full::a_host_whose_disk_is_full_says_what_does_not_fit_and_makes_it_when_there_is_room",
        |world| async move {
            let state = world.settings.state.clone();
            let driver = world.open().await;
            let says_where = "make room there";

            // An image.
            let first = world.bios(1);
            let PlacementSpec::Instance(spec) = &first.spec else {
                panic!("an instance")
            };
            let blob = spec.image.blob;
            fill(&state, blob.size.as_bytes() / 1024 / 2);
            let image = format!("the image sha256:{} does not fit", blob.digest);
            let on = format!("the disk of {} has ", world.settings.blobs().display());
            fails(
                &driver,
                &first,
                &[
                    &image,
                    "are to be fetched",
                    &on,
                    "of 64MiB free",
                    says_where,
                ],
            )
            .await;
            assert_eq!(names(&world.settings.blobs()), [""; 0]);
            free(&state);
            let made = world.ensure(&driver, &first).await;
            assert_eq!(made.state, InstanceState::Running);

            // A disk, of an image that is there.
            let second = another(&world, 0xc1);
            fill(&state, 24);
            let on = format!("the disk of {} has ", world.folder(&second).display());
            let full = "No space left on device";
            fails(
                &driver,
                &second,
                &["`qemu-img create` failed", full, &on, says_where],
            )
            .await;
            let left = names(&world.folder(&second));
            assert!(
                !left.iter().any(|name| name.starts_with("disk")),
                "{left:?}"
            );

            // What is to be written down before anything is done.
            free(&state);
            fill(&state, 0);
            let third = another(&world, 0xc2);
            let on = format!(
                "the disk of {} has 0B of 64MiB free",
                world.folder(&third).display()
            );
            let record = "the instance's record could not be written";
            fails(&driver, &third, &[record, full, &on, says_where]).await;
            assert_eq!(names(&world.folder(&third)), [""; 0]);
            // It can be given up on the full disk too, and what runs is seen.
            driver
                .remove(&third.reference(), &Progress::new().0)
                .await
                .unwrap();
            let seen = world.observed(&driver, &first).await.unwrap();
            assert_eq!(seen.state, InstanceState::Running);

            free(&state);
            for placement in [&second, &third] {
                let made = world.ensure(&driver, placement).await;
                assert_eq!(made.state, InstanceState::Running);
                let says = format!("{BIOS_SAYS}1");
                world.console_says(&driver, placement, &says).await;
            }
            drop(driver);
            down::down(&world.settings, true).await.unwrap();
        },
    );
}

#[test]
fn a_storage_pool_that_is_full_says_so_and_has_the_disk_when_there_is_room() {
    isolated_on_system(
        "full::a_storage_pool_that_is_full_says_so_and_has_the_disk_when_there_is_room",
        |mut world| async move {
            // Of files.
            let pool = system::pool(&world.settings);
            mount_disk(&pool, 2);
            let driver = world.open().await;
            let placement = world.bios(1);
            fill(&pool, 8);
            let says = [
                "No space left on device",
                "the storage pool disks has ",
                "of 2MiB free",
            ];
            fails(&driver, &placement, &says).await;
            assert_eq!(names(&pool), ["ballast"]);
            free(&pool);
            world.ensure(&driver, &placement).await;
            world
                .console_says(&driver, &placement, &format!("{BIOS_SAYS}1"))
                .await;
            let target = placement.reference();
            driver.remove(&target, &Progress::new().0).await.unwrap();
            drop(driver);

            // Of devices, which are made with all of their size.
            for pool in system::devices() {
                world.settings.pool = Some(pool.to_owned());
                let driver = world.open().await;
                let mut placement = world.bios(1 << 20);
                let has = format!("the storage pool {pool} has ");
                let says = [
                    &has,
                    "free, and the instance's disk needs 1TiB: make room there",
                ];
                fails(&driver, &placement, &says).await;
                assert_eq!(system::virsh(&["vol-list", pool]).trim(), "");
                world.change(&mut placement, |spec| {
                    spec.disk.as_mut().unwrap().size = Size::mib(4);
                });
                world.ensure(&driver, &placement).await;
                let target = placement.reference();
                driver.remove(&target, &Progress::new().0).await.unwrap();
            }
        },
    );
}
