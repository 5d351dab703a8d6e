//! The member's command line: a program of nobody's that carries connections to an instance.

use std::net::SocketAddr;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::process::Command;

use futures::future::join_all;
use rhyzome_end_to_end::member::{NOBODY, PATIENCE, as_nobody};
use rhyzome_end_to_end::process::Running;
use rhyzome_end_to_end::{World, page, programs, stranger, wait_for};

use crate::reach::Devices;
use crate::tenants::{Tenant, assert_is};

/// Connections at the same time.
const MANY: usize = 20;

pub async fn the_command_line_reaches_an_instance_as_nobody(
    world: &World,
    tenants: &[Tenant],
    devices: &Devices,
) {
    let lab = &tenants[0].networks[0];
    let web = &lab.instances[0];
    let file = world.path("member").join("lab.conf");
    std::fs::write(&file, devices.one.to_text().as_bytes()).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    chown(&file, Some(NOBODY), Some(NOBODY)).unwrap();

    let mut command = Command::new(programs::binary("rhyzome"));
    let to = format!("{}:80", web.status.interfaces[0].ipv4);
    command.args(["--quiet", "forward", "--to", &to, "0", "--config"]);
    command
        .arg(file)
        .env("HOME", world.path("member"))
        .uid(NOBODY)
        .gid(NOBODY);
    let log = world.path("forward.log");
    let mut forward = Running::start(&world.member, command, &log);
    let local = wait_for("a port leads to the instance", PATIENCE, async || {
        assert!(forward.ended().is_none(), "{}", forward.output());
        forward
            .output()
            .lines()
            .find_map(|line| line.parse::<SocketAddr>().ok())
    });
    let local = local.await;
    as_nobody(&world.member, async || {
        let visits = (0..MANY).map(async |_| {
            let mut stream = stranger::connect(local, PATIENCE).await.unwrap();
            assert_is(&page::ask(&mut stream).await.unwrap(), web, &lab.network);
        });
        join_all(visits).await;
    });
    drop(forward);
    world.say(&format!(
        "`rhyzome forward` carries {MANY} connections at once for nobody"
    ));
}
