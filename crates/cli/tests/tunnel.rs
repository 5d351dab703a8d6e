//! `rhyzome http` and `rhyzome forward` through real WireGuard, as a user without any privilege, in a
//! namespace whose only way in is the endpoint's UDP port.
//!
//! Needs root: each test makes network namespaces of its own and removes them afterwards.

#![expect(clippy::unwrap_used, reason = "what the tests share are tests, too")]

#[path = "tunnel/site.rs"]
mod site;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use site::Site;

#[test]
fn a_page_is_fetched_through_the_tunnel_and_not_without_it() {
    let site = Site::new();
    let url = format!("http://{}/hello?x=1", site.web);
    let got = site
        .member(&["http", "--config", site.config(), &url])
        .output()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&got.stdout),
        "GET /hello?x=1 HTTP/1.1"
    );
    assert!(got.status.success(), "{got:?}");
    let web = site.web;
    let direct = site.on_member(move || TcpStream::connect_timeout(&web, Duration::from_secs(2)));
    assert!(direct.is_err(), "the network is reached without the tunnel");
}

#[test]
fn an_answer_that_is_no_success_is_printed_and_fails() {
    let site = Site::new();
    let url = format!("http://{}/missing", site.web);
    let got = site
        .member(&["http", "--config", site.config(), &url])
        .output()
        .unwrap();
    assert_eq!(got.status.code(), Some(1));
    assert_eq!(
        String::from_utf8_lossy(&got.stdout),
        "GET /missing HTTP/1.1"
    );
    assert_eq!(
        String::from_utf8_lossy(&got.stderr),
        format!("error: GET {url} was answered with status 404\n")
    );
}

#[test]
fn what_does_not_listen_yet_is_tried_again() {
    let site = Site::new();
    let address = site.later();
    let url = format!("http://{address}/late");
    let refused = site
        .member(&["http", "--config", site.config(), &url])
        .output()
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("refused the connection"), "{told}");
    let args = [
        "http",
        "--config",
        site.config(),
        &url,
        "--retry",
        "--timeout",
        "20s",
    ];
    let waiting = site.member(&args).stdout(Stdio::piped()).spawn().unwrap();
    site.serve(address);
    let got = waiting.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&got.stdout), "GET /late HTTP/1.1");
    assert!(got.status.success());
}

#[test]
fn an_endpoint_that_does_not_know_the_peer_is_said_to_be_silent() {
    let site = Site::new();
    let url = format!("http://{}/", site.web);
    let stranger = site.stranger();
    let args = [
        "http",
        "--config",
        stranger.to_str().unwrap(),
        &url,
        "--timeout",
        "3s",
    ];
    let got = site.member(&args).output().unwrap();
    assert_eq!(got.status.code(), Some(1));
    let told = String::from_utf8_lossy(&got.stderr).into_owned();
    let expect = "waiting for an answer of 192.0.2.1:51820\n\
                  error: no handshake with the endpoint 192.0.2.1:51820 since the tunnel started";
    assert!(told.starts_with(expect), "{told}");
    // What the configuration cannot lead to is not waited for.
    let elsewhere = [
        "http",
        "--config",
        stranger.to_str().unwrap(),
        "http://198.51.100.9/",
    ];
    let got = site.member(&elsewhere).output().unwrap();
    let told = String::from_utf8_lossy(&got.stderr).into_owned();
    assert!(
        told.starts_with("error: 198.51.100.9 is in none of the networks of "),
        "{told}"
    );
}

#[test]
fn many_connections_go_through_one_forwarded_port_at_once() {
    let site = Site::new();
    let to = site.echo.to_string();
    let args = [
        "forward",
        "--config",
        site.config(),
        "--to",
        &to,
        "0",
        "127.0.0.1:0",
        "--json",
    ];
    let mut forward = site.member(&args).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(forward.stdout.take().unwrap()).lines();
    for _ in 0..2 {
        let line: serde_json::Value =
            serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!(line["remote"], to);
        let local: std::net::SocketAddr = line["local"].as_str().unwrap().parse().unwrap();
        site.on_member(move || {
            let connect = |_| TcpStream::connect(local).unwrap();
            let mut streams: Vec<TcpStream> = (0..40).map(connect).collect();
            for (index, stream) in streams.iter_mut().enumerate() {
                stream
                    .write_all(format!("hello {index}").repeat(1000).as_bytes())
                    .unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
            }
            for (index, stream) in streams.iter_mut().enumerate() {
                let mut text = String::new();
                stream.read_to_string(&mut text).unwrap();
                assert_eq!(text, format!("hello {index}").repeat(1000));
            }
        });
    }
    let id = forward.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    assert!(forward.wait().unwrap().success());
}
