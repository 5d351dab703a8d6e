//! How resources look to people.

use rhyzome_model::Timestamp;
use rhyzome_model::resource::{Instance, InstanceSummary, InstanceWhy, Job};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Row, Table, Thing};

const TIME: &str = "2026-01-01T00:00:00Z";

fn now() -> Timestamp {
    Timestamp::try_from("2026-01-01T00:05:00Z".to_owned()).unwrap()
}

fn list<R: Row>(rows: &[R]) -> String {
    let rows = rows.iter().map(|row| row.cells(now())).collect();
    Table {
        header: R::HEADER,
        rows,
    }
    .render(false)
}

fn read<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

fn with_meta(name: &str, mut value: Value) -> Value {
    let meta = json!({
        "id": "018f0000-0000-7000-8000-000000000001", "project": "default", "name": name,
        "generation": 1, "created_at": TIME, "updated_at": TIME,
    });
    for (key, item) in meta.as_object().unwrap() {
        value[key] = item.clone();
    }
    value
}

fn job() -> Value {
    json!({
        "id": "018f0000-0000-7000-8000-0000000000aa", "project": "default", "verb": "ensure",
        "placement_kind": "instance", "resource_id": "018f0000-0000-7000-8000-000000000001",
        "resource_name": "web", "component": "host1", "generation": 2, "state": "failed", "attempts": 3,
        "failure": {"kind": "permanent", "message": "the kernel has no PVH note"}, "created_at": TIME,
    })
}

#[test]
fn instances_are_listed_with_what_is_known_of_them() {
    let row = |name: &str, more: Value| -> InstanceSummary {
        let mut row = json!({
            "phase": "pending", "host": "host1", "image": "hello", "cpus": 1, "memory": "64MiB",
        });
        for (key, item) in more.as_object().unwrap() {
            row[key] = item.clone();
        }
        read(with_meta(name, row))
    };
    let running = json!({"phase": "ready", "state": "running", "ipv4": "10.96.1.5"});
    let rows = [row("web", running), row("a-longer-name", json!({}))];
    insta::assert_snapshot!(list(&rows), @r"
    NAME           PHASE    STATE    IPV4       IMAGE  CPUS  MEMORY  HOST   AGE
    web            ready    running  10.96.1.5  hello  1     64MiB   host1  5m
    a-longer-name  pending  -        -          hello  1     64MiB   host1  5m
    ");
}

#[test]
fn an_instance_is_shown_with_its_reason_and_its_addresses() {
    let instance: Instance = read(with_meta(
        "web",
        json!({
            "spec": {"image": "hello", "networks": ["lab"]},
            "status": {
                "phase": "failed", "observed_generation": 1, "host": "host1",
                "image": "cf72d5b082562fe193cdc3543f6523f944e1010635781dbcd31a9fad192fa259",
                "format": {"family": "pvh"}, "command_line": "ip=10.96.1.5/24",
                "interfaces": [{
                    "network": "lab", "mac": "52:54:00:0a:3c:82", "ipv4": "10.96.1.5", "ipv6": "fd5a::5",
                    "dns_name": "web.lab.home",
                }],
                "observed": {
                    "state": "crashed", "reason": "panic: no memory\nat main", "since": TIME,
                    "restarts": 4, "needs_restart": true, "accelerator": "qemu",
                },
                "conditions": [{
                    "kind": "Instance", "holds": false, "reason": "Refused", "since": TIME,
                    "message": "it crashed 4 times",
                }],
            },
        }),
    ));
    insta::assert_snapshot!(instance.details(now()).render(false), @r"
    name           web
    project        default
    created        5m ago
    phase          failed
    state          crashed
    since          5m ago
    reason         panic: no memory
                   at main
    restarts       4
    needs restart  yes
    image          hello (pvh, cf72d5b08256)
    cpus           1
    memory         128MiB
    host           host1
    accelerator    qemu
    command line   ip=10.96.1.5/24

    interfaces
      NETWORK  IPV4       IPV6     MAC                DNS NAME
      lab      10.96.1.5  fd5a::5  52:54:00:0a:3c:82  web.lab.home

    conditions
      KIND      REASON   SINCE   MESSAGE
      Instance  Refused  5m ago  it crashed 4 times
    ");
}

#[test]
fn why_tells_the_placing_and_the_jobs() {
    let why: InstanceWhy = read(json!({
        "summary": "web is on no host yet", "conditions": [], "jobs": [job()],
        "placing": [
            {"host": "host1", "chosen": true, "reason": "the most memory is free there"},
            {"host": "host2", "chosen": false, "reason": "away since 10 minutes"},
        ],
    }));
    let output = super::Output::new(&crate::args::Global::default());
    insta::assert_snapshot!(crate::instance::why(&why, &output, now()), @r"
    web is on no host yet

    placing
      HOST               REASON
      host1  chosen      the most memory is free there
      host2  not chosen  away since 10 minutes

    jobs
      STATE   VERB    WHAT          ON     AGE  SAYS
      failed  ensure  instance web  host1  5m   the kernel has no PVH note
    ");
}

#[test]
fn a_job_says_what_failed() {
    let job: Job = read(job());
    insta::assert_snapshot!(list(std::slice::from_ref(&job)), @r"
    ID                                    STATE   VERB    WHAT          ON     AGE  SAYS
    018f0000-0000-7000-8000-0000000000aa  failed  ensure  instance web  host1  5m   the kernel has no PVH note
    ");
}
