//! `rhyzome ssh` with an `ssh` that prints what it was started with.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use super::{User, check};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAlQ";

/// A user with an SSH key, an instance and a network.
fn member() -> User {
    let user = User::new();
    let home = user.home.path();
    fs::create_dir_all(home.join(".ssh")).unwrap();
    fs::write(home.join(".ssh/id.pub"), format!("{KEY} me@laptop\n")).unwrap();
    fs::write(home.join(".ssh/id"), "private").unwrap();
    fs::create_dir(home.join("bin")).unwrap();
    let ssh = home.join("bin/ssh");
    fs::write(&ssh, "#!/bin/sh\nprintf '%s\\n' \"$@\"\nexit 7\n").unwrap();
    fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
    let key = home.join(".ssh/id.pub");
    for line in [
        "network create lab --quiet",
        "instance create web --image hello --network lab --quiet",
        &format!("ssh-key create laptop {} --quiet", key.display()),
        "peer create laptop --network lab --quiet",
    ] {
        let got = user.run(line);
        assert!(got.status.success(), "{line}: {got:?}");
    }
    user
}

fn ssh(user: &User, line: &str) -> Output {
    let bin = user.home.path().join("bin");
    user.command(line).env("PATH", bin).output().unwrap()
}

#[test]
fn without_known_host_keys_nothing_is_started() {
    let user = member();
    let got = ssh(&user, "ssh web -- uname -a");
    assert_eq!(got.status.code(), Some(1));
    let error = String::from_utf8_lossy(&got.stderr);
    assert!(
        error.starts_with("error: the SSH host keys of web are not known: its console"),
        "{error}"
    );
    let late = ssh(&user, "ssh web --wait 1s");
    assert_eq!(late.status.code(), Some(6), "{late:?}");
}

#[test]
fn ssh_gets_the_projects_key_the_consoles_host_keys_and_the_way_through_the_tunnel() {
    let user = member();
    user.core.set_host_key("web", "ssh-ed25519 AAAAhost");
    let got = ssh(&user, "ssh web --port 2222 -- uname -a");
    let (home, program) = (user.home.path().display(), env!("CARGO_BIN_EXE_rhyzome"));
    let known = format!(
        "{home}/.local/share/rhyzome/ssh/{}.known_hosts",
        super::core::ID
    );
    let words = [
        &format!("HostKeyAlias={}", super::core::ID),
        &format!("UserKnownHostsFile=\"{known}\""),
        "GlobalKnownHostsFile=/dev/null",
        "StrictHostKeyChecking=yes",
        "CheckHostIP=no",
        "UpdateHostKeys=no",
        &format!("ProxyCommand='{program}' --project=default forward web --peer=laptop --stdio=%p"),
        "Port=2222",
        "User=debian",
        &format!("IdentityFile=\"{home}/.ssh/id\""),
        "IdentitiesOnly=yes",
    ];
    let options: String = words.iter().map(|word| format!("-o\n{word}\n")).collect();
    check(
        &got,
        7,
        &format!("{options}--\nweb.lab.default.home\nuname\n-a\n"),
        "",
    );
    let kept = fs::read_to_string(known).unwrap();
    assert_eq!(kept, format!("{} ssh-ed25519 AAAAhost\n", super::core::ID));
}

#[test]
fn a_host_key_that_was_accepted_once_is_held_to() {
    let user = member();
    let words = |line: &str| String::from_utf8(ssh(&user, line).stdout).unwrap();
    assert!(words("ssh web --accept-new").contains("StrictHostKeyChecking=accept-new"));
    let known = format!(".local/share/rhyzome/ssh/{}.known_hosts", super::core::ID);
    fs::write(user.home.path().join(known), "what ssh wrote\n").unwrap();
    assert!(words("ssh web").contains("StrictHostKeyChecking=yes"));
}

#[test]
fn a_section_of_sshs_configuration_says_the_same() {
    let user = member();
    user.core.set_host_key("web", "ssh-ed25519 AAAAhost");
    let got = user.run("ssh-config web --user admin");
    let text = String::from_utf8_lossy(&got.stdout);
    assert!(
        text.starts_with("Host web web.lab.default.home\n  HostKeyAlias "),
        "{text}"
    );
    assert!(text.contains("\n  User admin\n"), "{text}");
    let note = String::from_utf8_lossy(&got.stderr);
    assert!(note.contains("RHYZOME_URL"), "{note}");
}
