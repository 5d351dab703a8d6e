//! The program on a router is replaced by one that is good, and by some that are not.

use std::time::Duration;

use rhyzome_model::Digest;
use rhyzome_test_router::Router;
use rhyzome_testkit::{Actor, wait_for};
use serde_json::{Value, json};

use crate::program::{core, install, program, wait_connected};

/// How long a program is given to get a session that gets none, and one that does, in seconds.
const SOON: u32 = 5;
const TIME: u32 = 60;

/// Starts the installed program whenever it has ended, as procd does.
async fn keep(router: &Router) {
    loop {
        let command = router.command("/usr/sbin/rhyzome-openwrt");
        let mut running = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        running.wait().await.unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A program that says that it is this one, and then does something else: `hang` or `exit`.
fn stand_in(does: &str) -> Vec<u8> {
    let own = std::env::current_exe().unwrap();
    let path = own.ancestors().nth(2).unwrap().join("rhyzome-stand-in");
    let mut bytes = std::fs::read(&path).expect("run `cargo build --workspace --bins` before");
    bytes.extend(format!("{does}-rhyzome-openwrt").bytes());
    bytes
}

/// Sends a program, asks for it, and waits until that has ended and the component is connected.
async fn upgrade(admin: &Actor, bytes: &[u8], within: u32) -> Value {
    let digest = Digest::of(bytes);
    let path = format!("/v1/projects/default/blobs/{digest}");
    let sent = admin
        .put(&path)
        .header("content-type", "application/octet-stream");
    sent.body(bytes.to_vec()).await.good();
    let to = json!({"program": {"project": "default", "digest": digest}});
    let asked = admin.post("/v1/components/gw/upgrade");
    asked
        .json(&json!({"to": to, "within": within}))
        .await
        .good();
    wait_for("the upgrade has ended", async || {
        let component = admin.get("/v1/components/gw").await.good();
        let phase = component["upgrade"]["phase"].as_str();
        let ended = phase.is_some_and(|phase| ["done", "failed"].contains(&phase));
        (ended && component["connected"] == true).then_some(component)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_runs_the_program_that_is_sent_and_goes_back_from_one_without_a_session() {
    let (core, _, token) = core().await;
    let router = Router::start();
    let _relay = install(&router, &core, &token).await;
    let admin = core.admin();
    let upgrades = async {
        wait_connected(&core, true).await;
        let mut good = std::fs::read(program()).unwrap();
        good.extend(b"another");
        let component = upgrade(&admin, &good, TIME).await;
        assert_eq!(component["upgrade"]["phase"], "done", "{component}");
        let runs = Digest::of(&good).to_string();
        assert_eq!(component["program"]["digest"], *runs, "{component}");
        for (does, why) in [
            ("exit", "it ended 3 times before it had a settled session"),
            ("hang", "it had no settled session with the core within 5 s"),
        ] {
            let component = upgrade(&admin, &stand_in(does), SOON).await;
            let ended = &component["upgrade"];
            assert_eq!(ended["phase"], "failed", "{does}: {component}");
            let reason = ended["reason"].as_str().unwrap();
            assert!(reason.contains(why), "{does}: {reason}");
            assert_eq!(component["program"]["digest"], *runs, "{does}: {component}");
        }
    };
    tokio::select! {
        () = upgrades => {}
        () = keep(&router) => unreachable!("it goes on for ever"),
    }
    core.stop().await;
}
