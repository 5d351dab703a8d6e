//! The kernel in QEMU, emulated: it boots, serves, and stops. Needs `qemu-system-x86_64`.

#![expect(clippy::unwrap_used, reason = "what goes wrong here is a failed test")]

#[path = "boot/machine.rs"]
mod machine;

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use machine::{BEHIND_A_ROOT_PORT, Machine, PLAIN, STATIC};

/// Boots, looks at every resource, and presses the power button.
fn check(kind: &str, command_line: &str, devices: &[&str], expect: &[&str]) {
    let machine = Machine::start(kind, command_line, devices);
    let listening = machine.wait_for_line("http: listening on http://10.0.2.15/");
    let up = machine.started.elapsed();
    assert_eq!(body(&machine.get("/healthz"), "200 OK"), "ok\n");
    let answered = machine.started.elapsed();
    println!(
        "{kind}: listening {up:?} after QEMU's start, first answer after {answered:?}\n{listening}"
    );

    let page = machine.get("/");
    assert!(body(&page, "200 OK").contains("10.0.2.15/24"), "{page}");
    assert!(page.contains("<h1>"), "{page}");
    let json = machine.get("/json");
    for part in expect {
        assert!(json.contains(part), "{part} is not in {json}");
    }

    let (status, console, took) = machine.press_power_button();
    assert!(status.success(), "{status}");
    assert!(console.contains("power: button pressed"), "{console}");
    assert!(
        took < Duration::from_secs(5),
        "took {took:?} from the button to the end"
    );
}

/// The body of a response that begins with this status.
fn body<'a>(response: &'a str, status: &str) -> &'a str {
    let (head, body) = response
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no head: {response:?}"));
    assert!(
        head.starts_with(&format!("HTTP/1.1 {status}\r\n")),
        "{head}"
    );
    assert!(
        head.contains(&format!("\r\nContent-Length: {}\r\n", body.len())),
        "{head}"
    );
    body
}

#[test]
fn with_an_address_of_its_own_it_serves_and_stops_on_q35() {
    let line = format!("{STATIC} hostname=web network=lab");
    let expect = [
        "\"hostname\":\"web\"",
        "\"network\":\"lab\"",
        "\"dhcp\":false",
        "\"gateways\":[\"10.0.2.2\"]",
    ];
    check("q35", &line, PLAIN, &expect);
}

#[test]
fn with_an_address_of_its_own_it_serves_and_stops_on_pc() {
    check(
        "pc",
        STATIC,
        PLAIN,
        &["\"dhcp\":false", "\"dns\":[\"10.0.2.3\"]"],
    );
}

#[test]
fn by_dhcp_it_serves_and_stops_on_q35() {
    check(
        "q35",
        "hostname=web",
        PLAIN,
        &["\"dhcp\":true", "\"gateways\":[\"10.0.2.2\"]"],
    );
}

#[test]
fn by_dhcp_it_serves_and_stops_on_pc() {
    check(
        "pc",
        "",
        PLAIN,
        &[
            "\"dhcp\":true",
            "\"hostname\":\"hello\"",
            "\"dns\":[\"10.0.2.3\"]",
        ],
    );
}

#[test]
fn behind_a_root_port_it_serves_and_stops() {
    check("q35", STATIC, BEHIND_A_ROOT_PORT, &["\"dhcp\":false"]);
}

#[test]
fn a_card_above_4_gib_and_behind_a_root_port_is_driven() {
    let large = ["-device", "pci-testdev,membar=4G"];
    check(
        "q35",
        STATIC,
        &[BEHIND_A_ROOT_PORT, &large].concat(),
        &["\"dhcp\":false"],
    );
}

#[test]
fn a_card_that_cannot_interrupt_is_polled() {
    check(
        "pc",
        STATIC,
        &["-device", "virtio-net-pci,netdev=n,vectors=0"],
        &["\"dhcp\":false"],
    );
}

#[test]
fn of_two_cards_the_one_named_is_used() {
    let devices = [
        "-netdev",
        "user,id=other",
        "-device",
        "virtio-net-pci,netdev=other,mac=52:54:00:00:00:01",
        "-device",
        "virtio-net-pci,netdev=n,mac=52:54:00:00:00:02",
    ];
    let line = format!("{STATIC} mac=52:54:00:00:00:02");
    check("q35", &line, &devices, &["\"mac\":\"52:54:00:00:00:02\""]);
}

#[test]
fn a_malformed_address_is_said_and_dhcp_asked() {
    let machine = Machine::start("q35", "ip=10.0.2/24 gw=10.0.2.2 rd.break", PLAIN);
    let console = machine.wait_for_line("http: listening on http://10.0.2.15/");
    for line in [
        "ignored the unknown word `rd.break`",
        "ignored `ip=10.0.2/24`: ip wants",
        "IPv4 falls back to DHCP",
    ] {
        assert!(console.contains(line), "{line} is not in {console}");
    }
    assert_eq!(body(&machine.get("/healthz"), "200 OK"), "ok\n");
}

#[test]
fn without_a_card_it_says_so_and_obeys_the_power_button() {
    let machine = Machine::start("q35", "", &["-device", "e1000,netdev=n"]);
    machine.wait_for_line("net: no virtio network card");
    let (status, ..) = machine.press_power_button();
    assert!(status.success(), "{status}");
}

#[test]
fn a_legacy_card_is_refused_with_the_reason() {
    let machine = Machine::start(
        "pc",
        "",
        &["-device", "virtio-net-pci,netdev=n,disable-modern=on"],
    );
    machine.wait_for_line("it offers legacy virtio only");
}

#[test]
fn four_mebibytes_are_enough_and_two_are_a_crash_that_says_why() {
    let machine = Machine::start_with("q35", 4, STATIC, PLAIN);
    machine.wait_for_line("http: listening");
    assert_eq!(body(&machine.get("/healthz"), "200 OK"), "ok\n");

    let mut small =
        Machine::start_with("q35", 2, STATIC, &[PLAIN, &["-device", "pvpanic"]].concat());
    small.wait_for_event("GUEST_PANICKED");
    small.wait_for_line("panic: the machine has too little memory");
    small.wait_for_end();
}

#[test]
fn a_connection_stays_open_and_answers_requests_sent_ahead() {
    let machine = Machine::start("q35", STATIC, PLAIN);
    machine.wait_for_line("http: listening");
    let one = "GET /healthz HTTP/1.1\r\nHost: hello\r\n\r\n";
    let last = "HEAD / HTTP/1.1\r\nHost: hello\r\nConnection: close\r\n\r\n";
    let response = machine.exchange(&format!("{}{last}", one.repeat(20)));
    assert_eq!(
        response.matches("HTTP/1.1 200 OK\r\n").count(),
        21,
        "{response}"
    );
    assert_eq!(response.matches("\r\n\r\nok\n").count(), 20, "{response}");
    assert!(
        response.ends_with("Connection: close\r\n\r\n"),
        "{response}"
    );
}

#[test]
fn what_is_not_a_request_for_a_page_is_refused() {
    let machine = Machine::start("pc", STATIC, PLAIN);
    machine.wait_for_line("http: listening");
    body(&machine.get("/nothing"), "404 Not Found");
    let post = machine.exchange("POST / HTTP/1.1\r\nHost: hello\r\nContent-Length: 3\r\n\r\nabc");
    body(&post, "405 Method Not Allowed");
    body(&machine.exchange("hello\r\n\r\n"), "400 Bad Request");
    let long = format!(
        "GET / HTTP/1.1\r\nHost: hello\r\nX: {}\r\n\r\n",
        "x".repeat(4096)
    );
    body(
        &machine.exchange(&long),
        "431 Request Header Fields Too Large",
    );
    assert_eq!(body(&machine.get("/healthz"), "200 OK"), "ok\n");
}

#[test]
fn many_clients_at_once_are_served_beside_those_that_say_nothing() {
    let machine = Machine::start("q35", STATIC, PLAIN);
    machine.wait_for_line("http: listening");
    let mut slow: Vec<_> = (0..8).map(|_| machine.connect()).collect();
    for stream in &mut slow {
        stream.write_all(b"GET / HTTP/1.1\r\nHost: he").unwrap();
    }
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert!(body(&machine.get("/"), "200 OK").contains("Rhyzome"));
                }
            });
        }
    });
    println!("320 pages to 16 clients in {:?}", began.elapsed());
    for stream in &mut slow {
        stream
            .write_all(b"llo\r\nConnection: close\r\n\r\n")
            .unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        body(&response, "200 OK");
    }
}

#[test]
fn an_idle_machine_takes_almost_no_processor_time() {
    let machine = Machine::start("q35", STATIC, PLAIN);
    machine.wait_for_line("http: listening");
    assert_eq!(body(&machine.get("/healthz"), "200 OK"), "ok\n");
    let (before, began) = (machine.processor_time(), Instant::now());
    machine.wait_until(began + Duration::from_secs(3));
    let used = machine.processor_time() - before;
    println!("idle: {used:?} in {:?}", began.elapsed());
    assert!(
        used < began.elapsed() / 4,
        "{used:?} in {:?}",
        began.elapsed()
    );
}
