//! A Linux without a distribution, as kernel and initial RAM disk: it takes its settings from its command
//! line, answers, obeys the power button, and says why where it cannot boot.

use std::path::Path;

use rhyzome_client::Scope;
use rhyzome_end_to_end::operator::{READY, name};
use rhyzome_end_to_end::{Tunnelled, World, programs, wait_for};
use rhyzome_model::Digest;
use rhyzome_model::image::{ImageFormat, ImageSpec};
use rhyzome_model::instance::{InstanceSpec, InstanceState, RestartPolicy};

use crate::reach::Devices;
use crate::tenants::{Tenant, running, spec};

/// The console, no more on it than matters, and the network's settings as Linux takes them.
const LINE: &str = "console=ttyS0 quiet {{network_settings}}";

pub async fn a_kernel_with_a_ram_disk_takes_its_settings(
    world: &World,
    tenants: &[Tenant],
    devices: &Devices,
) {
    let scope = &tenants[0].scope;
    let spec = ImageSpec {
        digest: upload(scope, &programs::linux("vmlinuz")).await,
        initrd: Some(upload(scope, &programs::linux("initrd.img")).await),
        command_line: LINE.to_owned(),
    };
    let image = scope.image().create(&name("linux"), spec, None).await;
    assert_eq!(image.unwrap().format, ImageFormat::Linux);

    let instances = scope.instance();
    let plain = name("plain");
    let made = instances.create(&plain, of_linux(None), None).await;
    let made = made.unwrap();
    running(scope, &plain).await;
    let tunnel = Tunnelled::start(&world.member, &devices.both);
    let address = made.status.interfaces[0].ipv4;
    let page = wait_for("it answers", READY, async || {
        tunnel.get(address, "/").await.ok()
    })
    .await;
    assert!(page.contains("<title>plain · Linux</title>"), "{page}");
    let inhabited = &tenants[0].networks[0].network.status;
    let own = format!("eth0 {address}/{}", inhabited.ipv4.prefix_len());
    assert!(page.contains(&own), "no {own} in {page}");
    world.say("a Linux kernel with an initial RAM disk has its address and answers");

    let stopped = instances.stop(&plain, false, Some(READY)).await.unwrap();
    let observed = stopped.status.observed.unwrap();
    assert_eq!(observed.state, InstanceState::Stopped);
    let obeyed = "as asked by the power button";
    assert!(observed.reason.contains(obeyed), "{observed:?}");
    world.say("it obeyed the power button");
    instances.delete(&plain, None, Some(READY)).await.unwrap();

    let lost = name("lost");
    let wanted = of_linux(Some("console=ttyS0 quiet rdinit=/nowhere"));
    instances.create(&lost, wanted, None).await.unwrap();
    let crashed = wait_for("its end is reported", READY, async || {
        let observed = instances.get(&lost).await.ok()?.status.observed?;
        (observed.state == InstanceState::Crashed).then_some(observed)
    });
    let reason = crashed.await.reason;
    let panicked = "the Linux kernel panicked (VFS: Unable to mount root fs";
    assert!(reason.contains(panicked), "{reason}");
    world.say(&format!("one that has no root says so: {reason}"));
    instances.delete(&lost, None, Some(READY)).await.unwrap();
    let (images, linux) = (scope.image(), name("linux"));
    images.delete(&linux, None, None).await.unwrap();
}

fn of_linux(command_line: Option<&str>) -> InstanceSpec {
    let own = spec("lab", command_line.unwrap_or_default());
    InstanceSpec {
        image: name("linux").into(),
        memory: rhyzome_model::Size::mib(128),
        command_line: command_line.map(str::to_owned),
        restart: RestartPolicy::Never,
        ..own
    }
}

pub async fn upload(scope: &Scope, path: &Path) -> Digest {
    let bytes = std::fs::read(path).expect("it was just there");
    let digest = Digest::of(&bytes);
    let size = bytes.len() as u64;
    let bytes = std::io::Cursor::new(bytes);
    let uploaded = scope.blob().upload(&digest, size, bytes, |_| {}).await;
    uploaded.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    digest
}
