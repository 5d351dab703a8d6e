//! Instances on disks.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rhyzome_component::Progress;
use rhyzome_component::driver::Driver;
use rhyzome_libvirt::LibvirtDriver;
use rhyzome_model::Size;
use rhyzome_model::instance::{Firmware, InstanceState, Power};
use rhyzome_model::job::FailureKind;
use rhyzome_model::placement::{Placement, PlacementSpec};

use crate::disk_guest::{self, BIOS_SAYS, UEFI_SAYS};
use crate::isolated::{isolated, isolated_on_system};
use crate::system::{self, volumes};
use crate::world::World;

impl World {
    /// Where the device is that is an instance's disk.
    pub fn device(&self, placement: &Placement) -> PathBuf {
        let (mark, id) = (self.settings.mark(), placement.spec.resource());
        let volume = format!("rhyzome-{mark}-{id}");
        let pool = self.settings.pool.as_deref().unwrap();
        let path = system::virsh(&["vol-path", &volume, "--pool", pool]);
        path.trim().into()
    }

    /// An instance's folder.
    pub fn folder(&self, placement: &Placement) -> PathBuf {
        let id = placement.spec.resource().to_string();
        self.settings.instances().join(id)
    }

    /// Where the image that an instance is made of is kept.
    pub fn image(&self, placement: &Placement) -> PathBuf {
        match &placement.spec {
            PlacementSpec::Instance(spec) => {
                let digest = spec.image.blob.digest;
                self.settings.blobs().join(digest.to_string())
            }
            other => panic!("{other:?}"),
        }
    }

    /// The only file in a folder.
    pub fn only(&self, folder: &Path) -> PathBuf {
        let mut entries: Vec<_> = fs::read_dir(folder).unwrap().flatten().collect();
        assert_eq!(entries.len(), 1, "{entries:?}");
        entries.remove(0).path()
    }

    /// An instance on a disk of so many MiB, which says how large that is.
    pub fn bios(&self, mib: u64) -> Placement {
        let placement = self.placement("bios", 0xa5, &disk_guest::bios(), Vec::new());
        Self::with_disk(placement, mib, Some(Firmware::Bios))
    }

    /// An instance on a disk that boots by UEFI.
    pub fn uefi(&self) -> Placement {
        let placement = self.placement("uefi", 0xa6, &disk_guest::uefi(), Vec::new());
        Self::with_disk(placement, 2, Some(Firmware::Uefi))
    }

    /// An instance that says how large its disk is, whenever that changes.
    pub fn watches(&self, mib: u64) -> Placement {
        let placement = self.placement("watches", 0xa7, &disk_guest::watches(), Vec::new());
        Self::with_disk(placement, mib, None)
    }
}

#[test]
fn a_disk_in_a_storage_pool_boots_as_an_unprivileged_user() {
    isolated_on_system(
        "disks::a_disk_in_a_storage_pool_boots_as_an_unprivileged_user",
        |mut world| async move {
            let driver = world.open().await;
            let facts = driver.facts().await.unwrap();
            assert!(facts.details["disks"].starts_with("the pool disks (dir), "));
            tells_of_lost_ones(&world, &driver).await;
            let mut placement = world.bios(1);
            let started = world.ensure(&driver, &placement).await;
            assert_eq!(started.state, InstanceState::Running, "{started:?}");
            let says = |mib: u64| format!("{BIOS_SAYS}{mib}");
            world.console_says(&driver, &placement, &says(1)).await;

            let qemu = nix::unistd::User::from_name("libvirt-qemu").unwrap();
            let qemu = qemu.unwrap().uid.as_raw();
            let [process] = world.processes()[..] else {
                panic!("one guest")
            };
            let owner = |path: &Path| fs::metadata(path).unwrap().uid();
            assert_eq!(owner(format!("/proc/{process}").as_ref()), qemu);
            let [volume] = &volumes(&world.settings)[..] else {
                panic!("one volume")
            };
            assert_eq!(owner(volume), qemu);
            // The image is everybody's, and nobody's to change.
            let image = world.only(&world.settings.blobs());
            assert_eq!(owner(&image), 0);
            let mode = fs::metadata(&image).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o644);
            let in_folder = world.folder(&placement).join("disk.qcow2");
            assert!(!in_folder.exists());

            // What it reads about itself when it starts is told with a restart.
            let key = "ssh-ed25519 AAAA a-later-key";
            world.change(&mut placement, |spec| {
                spec.guest.ssh_keys.push(key.to_owned());
            });
            let told = world.ensure(&driver, &placement).await;
            let seed = fs::read(world.folder(&placement).join("seed.iso")).unwrap();
            let has_key = |seed: &[u8]| seed.windows(key.len()).any(|part| part == key.as_bytes());
            assert!(told.needs_restart && !has_key(&seed), "{told:?}");

            // It grows while the guest has it, and the guest of the next start sees it.
            world.change(&mut placement, |spec| {
                spec.disk.as_mut().unwrap().size = Size::mib(3);
            });
            world.ensure(&driver, &placement).await;
            assert_eq!(world.processes(), [process]);
            let seen =
                system::virsh(&["domblkinfo", &placement.spec.resource().to_string(), "vda"]);
            assert!(seen.contains("Capacity:       3145728"), "{seen}");
            world.change(&mut placement, |spec| spec.power = Power::Stopped);
            world.ensure(&driver, &placement).await;
            // And while nobody has it.
            world.change(&mut placement, |spec| {
                spec.disk.as_mut().unwrap().size = Size::mib(5);
                spec.power = Power::Running;
            });
            let told = world.ensure(&driver, &placement).await;
            let seed = fs::read(world.folder(&placement).join("seed.iso")).unwrap();
            assert!(!told.needs_restart && has_key(&seed), "{told:?}");
            world.console_says(&driver, &placement, &says(5)).await;

            // Found again by its name, whatever else is lost: while its guest runs, and after.
            drop(driver);
            let note = world.folder(&placement).join("in-pool.json");
            fs::remove_file(&note).unwrap();
            let driver = world.open().await;
            world.change(&mut placement, |_| {});
            world.ensure(&driver, &placement).await;
            assert!(note.exists());
            drop(driver);
            world.kill_guests();
            system::wait_until_no_guest_runs();
            world.lose_records();
            fs::remove_file(&note).unwrap();
            let driver = world.open().await;
            let before = fs::metadata(volume).unwrap().ino();
            world.change(&mut placement, |_| {});
            world.ensure(&driver, &placement).await;
            assert_eq!(fs::metadata(volume).unwrap().ino(), before);

            // It stays where it is, whatever the settings say now.
            drop(driver);
            world.settings.pool = None;
            let driver = world.open().await;
            for power in [Power::Stopped, Power::Running] {
                world.change(&mut placement, |spec| spec.power = power);
                world.ensure(&driver, &placement).await;
            }
            world.console_says(&driver, &placement, &says(5)).await;
            assert_eq!(fs::metadata(volume).unwrap().ino(), before);

            // Without it there is no guest, and no empty disk in its place.
            world.change(&mut placement, |spec| spec.power = Power::Stopped);
            world.ensure(&driver, &placement).await;
            fs::remove_file(volume).unwrap();
            world.change(&mut placement, |spec| spec.power = Power::Running);
            let error = driver.ensure(&placement, &Progress::new().0).await;
            let error = error.unwrap_err();
            assert_eq!(error.kind, FailureKind::Permanent);
            let name = volume.file_name().unwrap().to_str().unwrap();
            let gone = format!("the instance's disk, {name} in the storage pool disks, is gone");
            assert!(error.message.starts_with(&gone), "{error}");
            assert!(volumes(&world.settings).is_empty());

            let target = placement.reference();
            for _ in 0..2 {
                driver.remove(&target, &Progress::new().0).await.unwrap();
            }
            assert!(volumes(&world.settings).is_empty() && world.processes().is_empty());
        },
    );
}

/// What may be the only copy of something is told of, and of others there is no word.
async fn tells_of_lost_ones(world: &World, driver: &LibvirtDriver) {
    let mark = world.settings.mark();
    let lost = format!("rhyzome-{mark}-00000000-0000-0000-0000-000000000009.qcow2");
    for name in [&lost, "somebodys.qcow2"] {
        system::virsh(&["vol-create-as", system::POOL, name, "1MiB"]);
    }
    let told = driver.facts().await.unwrap();
    let told = &told.details["disks"];
    let expect = format!("; of instances that are not here: {lost}");
    assert!(told.ends_with(&expect), "{told}");
    assert_eq!(driver.inventory(&[]).await.unwrap(), []);
    for name in [&lost, "somebodys.qcow2"] {
        system::virsh(&["vol-delete", name, "--pool", system::POOL]);
    }
}

#[test]
fn a_disk_that_is_a_device_is_a_copy_with_nothing_of_others_in_it() {
    isolated_on_system(
        "disks::a_disk_that_is_a_device_is_a_copy_with_nothing_of_others_in_it",
        |mut world| async move {
            for pool in system::devices() {
                world.settings.pool = Some(pool.to_owned());
                copied(&world, pool).await;
            }
        },
    );
}

/// Makes sure that a device is the image of the guest, and zeros.
pub fn holds(device: &Path, mib: usize) {
    let mut expect = disk_guest::bios();
    expect.resize(mib << 20, 0);
    assert!(fs::read(device).unwrap() == expect, "not {mib} MiB of it");
}

async fn copied(world: &World, pool: &str) {
    let driver = world.open().await;
    let said = &driver.facts().await.unwrap().details["disks"];
    let kind = if pool == system::LVM {
        "logical"
    } else {
        "zfs"
    };
    assert!(
        said.starts_with(&format!("the pool {pool} ({kind}), ")),
        "{said}"
    );
    // LVM rounds up to extents of 4 MiB.
    let less = u64::from(pool == system::LVM);
    let mut placement = world.bios(4 - less);
    let id = placement.spec.resource().to_string();
    // One that a kill left half-made, on which there is what others left.
    let volume = format!("rhyzome-{}-{id}", world.settings.mark());
    system::virsh(&["vol-create-as", pool, &volume, "4MiB"]);
    let folder = world.folder(&placement);
    fs::create_dir_all(&folder).unwrap();
    let note = format!(r#"{{"pool":"{pool}","state":"making"}}"#);
    fs::write(folder.join("in-pool.json"), note).unwrap();

    world.ensure(&driver, &placement).await;
    let says = |mib: u64| format!("{BIOS_SAYS}{mib}");
    world.console_says(&driver, &placement, &says(4)).await;
    let device = world.device(&placement);
    holds(&device, 4);
    let device = device.display();
    let source = format!("<source dev='{device}'");
    let xml = system::virsh(&["dumpxml", &id]);
    let is_device = xml.contains("<disk type='block'") && xml.contains(&source);
    assert!(is_device, "{xml}");

    for (power, mib) in [(Power::Stopped, 4), (Power::Running, 8 - less)] {
        world.change(&mut placement, |spec| {
            spec.power = power;
            spec.disk.as_mut().unwrap().size = Size::mib(mib);
        });
        world.ensure(&driver, &placement).await;
    }
    world.console_says(&driver, &placement, &says(8)).await;
    holds(&world.device(&placement), 8);
    let target = placement.reference();
    driver.remove(&target, &Progress::new().0).await.unwrap();
    assert_eq!(system::virsh(&["vol-list", pool]).trim(), "");
}

#[test]
fn a_pool_that_is_not_there_and_a_folder_that_is_closed_are_named() {
    isolated_on_system(
        "disks::a_pool_that_is_not_there_and_a_folder_that_is_closed_are_named",
        |mut world| async move {
            world.settings.pool = Some("nowhere".to_owned());
            let driver = world.open().await;
            let missing = "libvirt has no storage pool nowhere: define it";
            let said = &driver.facts().await.unwrap().details["disks"];
            assert!(
                said.starts_with(&format!("none can be made: {missing}")),
                "{said}"
            );
            let ensured = driver.ensure(&world.bios(1), &Progress::new().0).await;
            let error = ensured.unwrap_err();
            assert_eq!(error.kind, FailureKind::Transient);
            assert!(error.message.starts_with(missing), "{error}");
            drop(driver);

            let above = world.settings.state.parent().unwrap();
            let open = |mode| fs::set_permissions(above, fs::Permissions::from_mode(mode));
            open(0o700).unwrap();
            let error = world.try_open().await.err().unwrap();
            let what = format!("cannot pass through {0}: `chmod o+x {0}`", above.display());
            assert!(error.chain().contains(&what), "{}", error.chain());
            open(0o755).unwrap();
        },
    );
}

#[test]
fn a_guest_sees_its_disk_grow_while_it_runs() {
    async fn grows(world: &World) {
        let driver = world.open().await;
        let mut placement = world.watches(4);
        world.ensure(&driver, &placement).await;
        world.console_says(&driver, &placement, "4").await;
        let process = world.processes();
        world.change(&mut placement, |spec| {
            spec.disk.as_mut().unwrap().size = Size::mib(8);
        });
        let grown = world.ensure(&driver, &placement).await;
        assert!(!grown.needs_restart, "{grown:?}");
        world.console_says(&driver, &placement, "8").await;
        assert_eq!(world.processes(), process);
        let target = placement.reference();
        driver.remove(&target, &Progress::new().0).await.unwrap();
    }
    isolated_on_system(
        "disks::a_guest_sees_its_disk_grow_while_it_runs",
        |mut world| async move {
            let pools = [None, Some(system::POOL)].into_iter();
            for pool in pools.chain(system::devices().into_iter().map(Some)) {
                world.settings.pool = pool.map(str::to_owned);
                grows(&world).await;
            }
        },
    );
}

#[test]
fn a_disk_boots_by_uefi_and_its_variables_are_kept_and_go_with_it() {
    isolated(
        "disks::a_disk_boots_by_uefi_and_its_variables_are_kept_and_go_with_it",
        |world| async move {
            let driver = world.open().await;
            let mut placement = world.uefi();
            world.ensure(&driver, &placement).await;
            world.console_says(&driver, &placement, UEFI_SAYS[0]).await;
            let variables = world.folder(&placement).join("variables.fd");
            assert!(variables.exists());
            for power in [Power::Stopped, Power::Running] {
                world.change(&mut placement, |spec| spec.power = power);
                world.ensure(&driver, &placement).await;
                assert!(variables.exists());
            }
            world.console_says(&driver, &placement, UEFI_SAYS[1]).await;
            let target = placement.reference();
            driver.remove(&target, &Progress::new().0).await.unwrap();
            assert!(!world.folder(&placement).exists());
        },
    );
}
