//! Init scripts of somebody else's.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use rhyzome_test_router::Router;

const SCRIPT: &str = "#!/bin/sh /etc/rc.common
START=99
USE_PROCD=1

start_service() {
	procd_open_instance
	procd_set_param command /bin/sleep 1000
	procd_set_param respawn 3600 1 0
	procd_set_param env COLOUR=red
	procd_close_instance
}
";

#[test]
fn a_service_of_somebody_else_is_started_at_each_start_and_when_it_ends() {
    let mut router = Router::start();
    let path = router.path("/etc/init.d/guest");
    fs::write(&path, SCRIPT).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    let is_running = |router: &Router| {
        router
            .run(["/etc/init.d/guest", "running"])
            .status
            .success()
    };
    router.output(["/etc/init.d/guest", "start"]);
    assert!(is_running(&router));
    let pid = |router: &Router| {
        let said = router.output(["ubus", "call", "service", "list", r#"{"name":"guest"}"#]);
        let line = said
            .lines()
            .find_map(|line| line.trim().strip_prefix("\"pid\": ").map(str::to_owned));
        line.unwrap_or_default().trim_end_matches(',').to_owned()
    };
    let first = pid(&router);
    router.output(["kill", "-9", &first]);
    router.wait_for("it is started again", |router| {
        is_running(router) && pid(router) != first
    });
    router.output(["/etc/init.d/guest", "stop"]);
    assert!(!is_running(&router));
    router.output(["/etc/init.d/guest", "enable"]);
    router.reboot();
    assert!(is_running(&router));
}

#[test]
fn the_defaults_of_a_first_start_are_run_once() {
    let mut router = Router::builder()
        .file(
            "/etc/uci-defaults/90-test",
            "uci set system.@system[0].hostname=gw\nuci commit system\necho once >>/etc/ran\n",
        )
        .start();
    assert!(
        router
            .output(["uci", "get", "system.@system[0].hostname"])
            .starts_with("gw")
    );
    router.reboot();
    assert_eq!(
        fs::read_to_string(router.path("/etc/ran")).unwrap(),
        "once\n"
    );
}

#[test]
fn the_log_has_what_is_said() {
    let router = Router::start();
    router.output(["logger", "-t", "somebody", "said something"]);
    router.wait_for("it is in the log", |router| {
        router
            .output(["logread"])
            .contains("somebody: said something")
    });
}
