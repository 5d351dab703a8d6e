//! The metadata service: an instance reads about itself alone, core or no core; nobody else reads anything.

use std::net::SocketAddr;
use std::time::Duration;

use rhyzome_client::Scope;
use rhyzome_end_to_end::member::SILENCE;
use rhyzome_end_to_end::operator::{READY, STARTED, TOLD, name};
use rhyzome_end_to_end::stranger::{Stranger, connect};
use rhyzome_end_to_end::world::Kind;
use rhyzome_end_to_end::{Operator, World, wait_for};
use rhyzome_hostnet::service::{ADDRESS, PORT};
use rhyzome_model::Name;
use rhyzome_model::instance::InstanceSpec;
use rhyzome_model::resource::Instance;
use rhyzome_model::user_data::UserData;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::tenants::{Tenant, running, spec};

/// How long an answer may take on processors that are busy.
const ANSWER: Duration = Duration::from_secs(10);

/// Where the service is.
pub fn address() -> SocketAddr {
    (ADDRESS, PORT).into()
}

pub async fn an_instance_reads_about_itself_alone(
    world: &mut World,
    operator: Operator,
    tenants: &[Tenant],
) -> Operator {
    let spare = name("spare");
    let [alpha, beta] = tenants else {
        panic!("two projects")
    };
    // The networks of both have the same prefix.
    for (tenant, secret) in [(alpha, "alpha's"), (beta, "beta's")] {
        let stopped = make(&tenant.scope, &spare, secret).await;
        let stranger = Stranger::of(world, &stopped, &tenant.networks[0].network);
        reads(&stranger, &stopped, secret);
        stranger.become_other("02:00:00:00:00:09", &stranger.ipv4().to_string());
        asks_in_vain(&stranger);
    }
    world.say("an instance reads its own metadata, and as somebody else none");
    let inhabited = &alpha.networks[0];
    let stopped = alpha.scope.instance().get(&spare).await.unwrap();
    let stranger = Stranger::of(world, &stopped, &inhabited.network);
    let changed = with_secret(&stopped.spec, "another");
    let instances = alpha.scope.instance();
    let edit = instances.edit(&spare, |_| changed.clone(), None);
    edit.await.unwrap();
    wait_for("the change is told", ANSWER, async || {
        (user_data(&stranger) == text("another")).then_some(())
    })
    .await;
    let key = alpha.scope.instance().get_tagged(&spare, Some(READY)).await;
    assert!(!key.unwrap().value.status.observed.unwrap().needs_restart);
    world.say("a change of user data is told at once");

    world.kill_core();
    world.kill_component(Kind::Libvirt);
    asks_in_vain(&stranger);
    world.start_component(Kind::Libvirt);
    wait_for("the service answers", STARTED, async || {
        reaches(&stranger).then_some(())
    })
    .await;
    reads(&stranger, &stopped, "another");
    world.say("a hypervisor answers from its own records, without a core");
    drop(stranger);

    world.start_core();
    drop(operator);
    let operator = Operator::of(world).await;
    for kind in Kind::ALL {
        let component = name(&format!("host-{}", kind.as_str()));
        operator.connected(&component).await;
    }
    for tenant in tenants {
        let scope = operator.client().within(&tenant.project);
        scope
            .instance()
            .delete(&spare, None, Some(READY))
            .await
            .unwrap();
    }
    operator
}

fn text(secret: &str) -> String {
    format!("#cloud-config\nsecret: {secret}\n")
}

fn with_secret(spec: &InstanceSpec, secret: &str) -> InstanceSpec {
    InstanceSpec {
        user_data: Some(UserData::new(text(secret))),
        ..spec.clone()
    }
}

/// An instance that has user data and does not run, so that a stranger can have its place.
async fn make(scope: &Scope, spare: &Name, secret: &str) -> Instance {
    let instances = scope.instance();
    let wanted = with_secret(&spec("lab", TOLD), secret);
    instances.create(spare, wanted, None).await.unwrap();
    running(scope, spare).await;
    instances.stop(spare, false, Some(READY)).await.unwrap()
}

/// The status and the text of an answer; none where nobody answers.
async fn ask(request: &str) -> Option<(u16, String)> {
    let mut stream = connect(address(), SILENCE).await.ok()?;
    let talk = async {
        let head = format!("{request}Host: {ADDRESS}\r\nConnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
    };
    tokio::time::timeout(ANSWER, talk).await.ok()?
}

fn reaches(stranger: &Stranger) -> bool {
    let get = "GET /rhyzome/v1/key-values HTTP/1.1\r\n";
    stranger.place().block_on(async || ask(get).await.is_some())
}

fn user_data(stranger: &Stranger) -> String {
    stranger.place().block_on(async || {
        let token =
            "PUT /latest/api/token HTTP/1.1\r\nX-aws-ec2-metadata-token-ttl-seconds: 60\r\n";
        let (status, token) = ask(token).await.unwrap();
        assert_eq!(status, 200, "{token}");
        let get =
            format!("GET /latest/user-data HTTP/1.1\r\nX-aws-ec2-metadata-token: {token}\r\n");
        let (status, text) = ask(&get).await.unwrap();
        assert_eq!(status, 200, "{text}");
        text
    })
}

fn reads(stranger: &Stranger, instance: &Instance, secret: &str) {
    assert_eq!(user_data(stranger), text(secret));
    let interface = &instance.status.interfaces[0];
    stranger.place().block_on(async || {
        let get = "GET /rhyzome/v1/key-values HTTP/1.1\r\n";
        let (status, lines) = ask(get).await.unwrap();
        assert_eq!(status, 200);
        for line in [
            format!("instance_id={}", instance.meta.id),
            format!("ipv4={}", interface.ipv4),
            format!("mac={}", interface.mac),
        ] {
            assert!(lines.lines().any(|is| is == line), "no {line} in {lines}");
        }
        let without = ask("GET /latest/user-data HTTP/1.1\r\n").await.unwrap();
        assert_eq!(without.0, 401, "{}", without.1);
    });
}

fn asks_in_vain(stranger: &Stranger) {
    assert!(!reaches(stranger), "somebody answers");
}
