//! A tunnel needs no privilege, and nobody else gets into it.

use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::server::{self, GREETING};
use crate::site::{Device, Network, Site, admit, program, run, wait_for};
use crate::tunnel::{Tcp, admitted, fetch};

/// `mode` is that of the device file of TUN devices; udev's is 666.
fn a_user_without_any_privilege_reaches_a_network_only_through_the_tunnel(mode: &str, tcp: &str) {
    let mut site = Site::new();
    let network = site.network(1);
    let key = site.start(&network).status.public_key;
    let server = server::greet(&network.namespace, network.server(false));
    let device = Device::new(2);
    site.on_host(async || admit(&network, &[&device]).await);

    let direct = site
        .on_client(async || TcpStream::connect_timeout(&server, Duration::from_secs(2)).map(drop));
    assert!(direct.is_err(), "the network is reached without a tunnel");

    let config = Network::config(&device, &[(&network, key)], "192.0.2.1");
    let file = site.path().join("peer.conf");
    std::fs::write(&file, config.to_text().as_bytes()).unwrap();
    // Read as nobody, inside a folder that nobody may enter: both are opened for this test.
    let open = std::os::unix::fs::PermissionsExt::from_mode;
    std::fs::set_permissions(site.path(), open(0o755)).unwrap();
    std::fs::set_permissions(&file, open(0o644)).unwrap();

    let device = format!(
        "mount -t tmpfs -o mode=755 none /dev/net && mknod -m {mode} /dev/net/tun c 10 200 && exec \"$@\""
    );
    let nobody = "setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all \
                  --bounding-set=-all --ambient-caps=-all --no-new-privs";
    let unprivileged = |command: &[&str]| {
        let mut line = Command::new("ip");
        line.args(["netns", "exec", &site.client_namespace()]);
        line.args(["sh", "-c", &device, "sh"]);
        line.args(nobody.split_whitespace()).args(command);
        line.output().unwrap()
    };
    let status = String::from_utf8(unprivileged(&["cat", "/proc/self/status"]).stdout).unwrap();
    assert!(
        status.contains("Uid:\t65534\t65534\t65534\t65534"),
        "{status}"
    );
    assert!(status.contains("CapEff:\t0000000000000000"), "{status}");

    let program = program().path;
    let program = program.to_str().unwrap();
    let fetched = unprivileged(&[
        program,
        "fetch",
        file.to_str().unwrap(),
        &server.to_string(),
    ]);
    let errors = String::from_utf8_lossy(&fetched.stderr);
    assert!(fetched.status.success(), "{errors}");
    assert_eq!(fetched.stdout, GREETING);
    assert_eq!(errors.trim(), format!("TCP: {tcp}"));
}

#[test]
fn a_user_without_any_privilege_has_the_kernels_tcp_where_anybody_may_make_tun_devices() {
    a_user_without_any_privilege_reaches_a_network_only_through_the_tunnel("666", "the kernel's");
}

#[test]
fn a_user_without_any_privilege_needs_no_tun_device() {
    a_user_without_any_privilege_reaches_a_network_only_through_the_tunnel("600", "its own");
}

#[test]
fn nobody_else_in_the_devices_own_namespace_gets_into_a_tunnel_with_the_kernels_tcp() {
    let (site, network, key, device) = admitted();
    let server = server::greet(&network.namespace, network.server(false));
    let config = Network::config(&device, &[(&network, key)], "192.0.2.1");
    let links = || {
        let shown = run(&format!("ip -n {} -o link", site.client_namespace()));
        let name = |line: &str| line.split_whitespace().nth(1).unwrap().to_owned();
        shown.lines().map(name).collect::<Vec<_>>()
    };
    let before = links();
    site.on_client(async || {
        let tunnel = Tcp::Kernel.tunnel(&config).await;
        assert_eq!(fetch(&tunnel, server).await, GREETING);
        let direct = TcpStream::connect_timeout(&server, Duration::from_secs(1));
        assert!(direct.is_err(), "the network is reached beside the tunnel");
        assert_eq!(links(), before, "the tunnel's device is to be seen");
    });
}

#[test]
fn the_holder_of_a_tunnels_namespace_ends_with_the_tunnels_process_however_that_ends() {
    let (site, network, key, device) = admitted();
    let (server, _told) = server::sink(&network.namespace, network.server(false));
    let config = Network::config(&device, &[(&network, key)], "192.0.2.1");
    let file = site.path().join("peer.conf");
    std::fs::write(&file, config.to_text().as_bytes()).unwrap();
    // It reads from who never says anything, until it is killed.
    let mut fetching = Command::new("ip")
        .args(["netns", "exec", &site.client_namespace()])
        .arg(program().path)
        .args(["fetch", file.to_str().unwrap(), &server.to_string()])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let children = format!("/proc/{0}/task/{0}/children", fetching.id());
    let children = || std::fs::read_to_string(&children).unwrap();
    // What has ended and was not waited for has no memory any more.
    let ended = |pid: &str| {
        let maps = std::fs::read(format!("/proc/{pid}/maps"));
        maps.is_ok_and(|maps| maps.is_empty()) || !Path::new("/proc").join(pid).exists()
    };
    site.on_host(async || {
        wait_for("a holder", async || !children().is_empty()).await;
        let holder = children();
        assert!(!ended(holder.trim()));
        fetching.kill().unwrap();
        fetching.wait().unwrap();
        wait_for("its end", async || ended(holder.trim())).await;
    });
}
