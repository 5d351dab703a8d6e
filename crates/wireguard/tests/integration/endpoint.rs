//! The endpoint's process: its life apart from whoever started it, and its folder.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, getsid};
use rhyzome_wireguard::endpoint::{self, SpawnError};
use rhyzome_wireguard::key::PresharedKey;
use rhyzome_wireguard::tunnel::Tunnel;

use crate::server::{self, GREETING};
use crate::site::{
    Device, LONG, Network, Site, admit, expel, path_of, program, run, status, wait_for,
};

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn pid(status: &endpoint::Status) -> Pid {
    Pid::from_raw(status.pid.try_into().unwrap())
}

#[test]
fn an_endpoint_lives_by_itself_and_is_found_again() {
    let mut site = Site::new();
    let network = site.network(1);
    let started = site.start(&network).status;
    assert_eq!(getsid(Some(pid(&started))).unwrap(), pid(&started));
    let dir = &network.options.dir;
    assert_eq!(mode(dir), 0o700);
    for file in [
        "private.key",
        "options.json",
        "process.json",
        "endpoint.log",
    ] {
        assert_eq!(mode(&dir.join(file)), 0o600, "{file}");
    }
    // The interface is in the network, the socket on the host.
    let links = run(&format!("ip -n {} link show wg1", network.namespace));
    assert!(
        links.contains("mtu 1420") && links.contains(",UP"),
        "{links}"
    );
    let sockets = run(&format!(
        "ip netns exec {} cat /proc/net/udp6",
        site.host_namespace()
    ));
    assert!(sockets.contains(&format!(":{:04X} ", 51821)), "{sockets}");
    let routes = run(&format!("ip -n {} route", network.namespace));
    assert!(routes.contains("10.200.0.0/16 dev wg1"), "{routes}");

    site.on_host(async || {
        let found = endpoint::find(dir).await.unwrap().unwrap();
        assert_eq!(found.status.pid, started.pid);
        let ensured = endpoint::ensure(&network.options, &program())
            .await
            .unwrap();
        assert_eq!(ensured.status.pid, started.pid);
        // Other options need another process, which has the same key.
        let mut changed = network.options.clone();
        changed.mtu = 1300;
        let replaced = endpoint::ensure(&changed, &program()).await.unwrap();
        assert_ne!(replaced.status.pid, started.pid);
        assert_eq!(replaced.status.public_key, started.public_key);
        assert!(endpoint::stop(dir).await.unwrap());
        assert!(endpoint::find(dir).await.unwrap().is_none());
        assert!(!endpoint::stop(dir).await.unwrap());
    });
}

#[test]
fn an_endpoint_that_cannot_start_says_why() {
    let mut site = Site::new();
    let network = site.network(1);
    let mut options = network.options.clone();
    options.namespace = Some(path_of("rw-no-such-namespace"));
    let error = site.on_host(async || endpoint::spawn(&options, &program()).await.unwrap_err());
    let SpawnError::Ended { log, .. } = &error else {
        panic!("{error}");
    };
    assert!(log.contains("rw-no-such-namespace"), "{log}");

    let running = site.start(&network).status;
    let second = site.on_host(async || endpoint::spawn(&network.options, &program()).await);
    let error = second.unwrap_err().to_string();
    assert!(error.contains("another endpoint runs"), "{error}");
    let still = site.on_host(async || status(&network).await);
    assert_eq!(still.pid, running.pid);
}

#[test]
fn an_endpoint_that_hangs_is_reported_and_replaced() {
    let mut site = Site::new();
    let network = site.network(1);
    let hung = site.start(&network).status;
    kill(pid(&hung), Signal::SIGSTOP).unwrap();
    site.on_host(async || {
        let found = endpoint::find(&network.options.dir).await;
        assert!(
            matches!(found, Err(SpawnError::Unresponsive { .. })),
            "{found:?}"
        );
        let ensured = endpoint::ensure(&network.options, &program())
            .await
            .unwrap();
        assert_ne!(ensured.status.pid, hung.pid);
    });
}

#[test]
fn an_endpoint_that_was_killed_comes_back_with_its_peers() {
    let mut site = Site::new();
    let network = site.network(1);
    let started = site.start(&network).status;
    let devices = [Device::new(2), Device::new(3)];
    site.on_host(async || admit(&network, &[&devices[0], &devices[1]]).await);
    let server = server::greet(&network.namespace, network.server(false));
    let config = Network::config(&devices[0], &[(&network, started.public_key)], "192.0.2.1");

    kill(pid(&started), Signal::SIGKILL).unwrap();
    let restarted = site.on_host(async || {
        let gone = async || {
            endpoint::find(&network.options.dir)
                .await
                .is_ok_and(|f| f.is_none())
        };
        wait_for("the killed process to be gone", gone).await;
        let mut running = endpoint::ensure(&network.options, &program())
            .await
            .unwrap();
        let asked = [devices[1].key.public_key()];
        let one = running.control.status_of(&asked).await.unwrap();
        let one = one.peers.iter().map(|peer| peer.public_key);
        assert_eq!(one.collect::<Vec<_>>(), asked);
        running.control.status().await.unwrap()
    });
    assert_ne!(restarted.pid, started.pid);
    assert_eq!(restarted.public_key, started.public_key);
    let mut keys: Vec<_> = restarted.peers.iter().map(|peer| peer.public_key).collect();
    let mut expected = devices.map(|device| device.key.public_key());
    keys.sort();
    expected.sort();
    assert_eq!(keys, expected);
    site.on_client(async || {
        let tunnel = Tunnel::start(&config).await.unwrap();
        let mut stream = tunnel.connect(server, LONG).await.unwrap();
        let mut all = Vec::new();
        tokio::io::AsyncReadExt::read_to_end(&mut stream, &mut all)
            .await
            .unwrap();
        assert_eq!(all, GREETING);
    });
}

#[test]
fn an_endpoint_whose_interface_is_removed_ends() {
    let mut site = Site::new();
    let network = site.network(1);
    site.start(&network);
    run(&format!("ip -n {} link del wg1", network.namespace));
    site.on_host(async || {
        let gone = async || {
            endpoint::find(&network.options.dir)
                .await
                .is_ok_and(|f| f.is_none())
        };
        wait_for("the endpoint to end", gone).await;
    });
    let log = std::fs::read_to_string(network.options.dir.join("endpoint.log")).unwrap();
    assert!(log.contains("wg1 is gone"), "{log}");
}

#[test]
fn the_wg_tool_sees_and_changes_the_endpoint() {
    let mut site = Site::new();
    let mut network = site.network(1);
    // wg(8) looks for sockets in this folder alone.
    let name = format!("rw{}", std::process::id());
    network.options.interface = name.clone();
    let link = Path::new("/run/wireguard").join(format!("{name}.sock"));
    network.options.wg_link = Some(link.clone());
    let started = site.start(&network).status;
    let (known, further) = (Device::new(2), Device::new(3));
    site.on_host(async || admit(&network, &[&known]).await);

    assert_eq!(
        run(&format!("wg show {name} public-key")).trim(),
        started.public_key.to_string()
    );
    assert_eq!(run(&format!("wg show {name} listen-port")).trim(), "51821");
    let allowed = run(&format!("wg show {name} allowed-ips"));
    assert!(
        allowed.contains(&known.key.public_key().to_string()),
        "{allowed}"
    );
    assert!(allowed.contains("10.200.0.2/32"), "{allowed}");
    let key = further.key.public_key();
    run(&format!(
        "wg set {name} peer {key} allowed-ips 10.200.0.3/32"
    ));
    let keys = || {
        let status = site.on_host(async || status(&network).await);
        let keys = status.peers.iter().map(|peer| peer.public_key);
        keys.collect::<Vec<_>>()
    };
    assert!(keys().contains(&key));
    site.on_host(async || expel(&network, &further).await);
    assert_eq!(keys(), [known.key.public_key()]);

    site.on_host(async || endpoint::stop(&network.options.dir).await.unwrap());
    assert!(!link.is_symlink(), "the link is left behind");
}

#[test]
fn the_wg_tools_take_a_configuration_that_is_written_here() {
    let mut site = Site::new();
    let mut network = site.network(1);
    let name = format!("rc{}", std::process::id());
    network.options.interface = name.clone();
    let link = Path::new("/run/wireguard").join(format!("{name}.sock"));
    network.options.wg_link = Some(link);
    site.start(&network);
    let (device, router) = (Device::new(2), Device::new(3));
    let router = router.key.public_key();
    let mut config = Network::config(&device, &[(&network, router)], "192.0.2.1");
    config.peers[0].preshared_key = Some(PresharedKey::generate(&mut rand::rng()));
    // Another key or port makes gotatun open its socket again, and what it then stops may count as
    // fatal and end the endpoint. So it is the endpoint's own key, and `addconf`, which leaves the port.
    let own = std::fs::read_to_string(network.options.dir.join("private.key")).unwrap();
    config.private_key = own.trim().parse().unwrap();

    let file = site.path().join("client.conf");
    std::fs::write(&file, config.to_text().as_bytes()).unwrap();
    let stripped = run(&format!("wg-quick strip {}", file.display()));
    std::fs::write(&file, stripped).unwrap();
    run(&format!("wg addconf {name} {}", file.display()));
    let shown = run(&format!("wg show {name} dump"));
    let peer: Vec<&str> = shown.lines().nth(1).unwrap().split('\t').collect();
    assert_eq!(peer[0], router.to_string());
    let shared = config.peers[0].preshared_key.as_ref().unwrap();
    assert_eq!(peer[1], shared.to_base64().as_str());
    assert_eq!(peer[2], "192.0.2.1:51821");
    assert_eq!(peer[3], "10.1.0.0/24,fd00:1::/64");
    assert_eq!(peer[7], "25");
}

#[test]
fn a_bad_peer_is_reported_and_the_others_are_in_force() {
    let mut site = Site::new();
    let network = site.network(1);
    let started = site.start(&network).status;
    let [good, thief, stranger] = [2, 3, 4].map(Device::new);
    let mut stolen = thief.peer();
    stolen.allowed_ips = good.peer().allowed_ips;
    let mut own = stranger.peer();
    own.public_key = started.public_key;
    let peers: Vec<serde_json::Value> = [good.peer(), stolen, own]
        .iter()
        .map(|peer| serde_json::to_value(peer).unwrap())
        .chain([serde_json::json!({"public_key": "nonsense", "allowed_ips": []})])
        .collect();
    let request = serde_json::json!({"op": "apply", "add": peers, "remove": ["x"]});

    let socket = network.options.dir.join("control.sock");
    let mut stream = UnixStream::connect(&socket).unwrap();
    writeln!(stream, "{request}").unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let answer: serde_json::Value = serde_json::from_str(&answer).unwrap();
    let mut failed: Vec<&str> = answer["ok"]["failed"]
        .as_array()
        .unwrap()
        .iter()
        .map(|failure| failure["public_key"].as_str().unwrap())
        .collect();
    failed.sort_unstable();
    let (thief, own) = (
        thief.key.public_key().to_string(),
        started.public_key.to_string(),
    );
    let mut expected = ["nonsense", "x", &thief, &own];
    expected.sort_unstable();
    assert_eq!(failed, expected, "{answer}");
    let status = site.on_host(async || status(&network).await);
    let keys: Vec<_> = status.peers.iter().map(|peer| peer.public_key).collect();
    assert_eq!(keys, [good.key.public_key()]);
}

#[test]
fn a_request_that_its_writer_did_not_end_is_not_obeyed() {
    let mut site = Site::new();
    let network = site.network(1);
    site.start(&network);
    let socket = network.options.dir.join("control.sock");
    let answer = |request: &str| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    assert_eq!(answer("{\"op\":\"stop\"}"), "");
    assert!(answer("{\"op\":\"dance\"}\n").contains("no request"));
    assert!(answer("{\"op\":\"status\"}\n").contains("\"pid\""));
}
