//! Consoles as they come, and both ways, at a simulated host whose consoles say back what is typed.

use std::time::{Duration, Instant};

use rhyzome_client::{
    Client, ClientOptions, ConsoleEvent, ConsoleMessage, ConsoleMode, ConsoleSocket, Instances,
};
use rhyzome_model::Name;
use rhyzome_model::console::ConsoleFrom;

use crate::{DEFAULT, Site, audit};

/// A site with the instance `web`.
async fn site() -> (Site, Instances, Name) {
    let site = Site::start().await;
    site.network("lan").await;
    site.image("hello").await;
    site.instance("web", "lan").await;
    let instances = instances(&site, "default");
    (site, instances, "web".parse().expect("a name"))
}

fn instances(site: &Site, project: &str) -> Instances {
    let token = std::fs::read_to_string(site.core.state_dir().join("admin.token"));
    let client = Client::new(ClientOptions {
        url: format!("http://{}", site.core.http()),
        token: Some(token.expect("a token").trim().to_owned()),
        authority_pem: None,
    });
    let client = client.expect("a client");
    client.within(&project.parse().expect("a name")).instance()
}

async fn next(socket: &mut ConsoleSocket) -> Option<ConsoleMessage> {
    let next = tokio::time::timeout(Duration::from_secs(10), socket.next());
    next.await.expect("something in time").ok().flatten()
}

/// Reads until a text is there.
async fn read(socket: &mut ConsoleSocket, wanted: &str) {
    let mut text = String::new();
    while !text.contains(wanted) {
        match next(socket).await {
            Some(ConsoleMessage::Bytes(bytes)) => text.push_str(&String::from_utf8_lossy(&bytes)),
            Some(ConsoleMessage::Event(_)) => {}
            None => panic!("it ended after {text:?}"),
        }
    }
}

/// The next event.
async fn event(socket: &mut ConsoleSocket) -> ConsoleEvent {
    loop {
        match next(socket).await {
            Some(ConsoleMessage::Event(event)) => return event,
            Some(ConsoleMessage::Bytes(_)) => {}
            None => panic!("it ended"),
        }
    }
}

#[tokio::test]
async fn one_writes_until_another_takes_over_and_any_number_reads() {
    let (site, instances, web) = site().await;
    let attach = async |mode| instances.console_attach(&web, mode, 1000).await;
    let mut first = attach(ConsoleMode::Write).await.expect("attached");
    let begun = event(&mut first).await;
    assert!(
        matches!(begun, ConsoleEvent::Attached { writing: true, .. }),
        "{begun:?}"
    );
    read(&mut first, "simulated: ").await;
    first.write("ls\r".into()).await.expect("typed");
    read(&mut first, "ls\r").await;

    let refused = attach(ConsoleMode::Write).await.err().expect("refused");
    let problem = refused.problem().expect("a problem");
    assert_eq!((problem.status, problem.code.as_str()), (409, "in_use"));
    assert!(
        problem.detail.starts_with("admin has been writing"),
        "{problem:?}"
    );
    for _ in 0..3 {
        let mut reader = attach(ConsoleMode::Read).await.expect("attached");
        read(&mut reader, "simulated: ").await;
    }

    let mut second = attach(ConsoleMode::Take).await.expect("attached");
    let lost = async {
        while !matches!(
            event(&mut first).await,
            ConsoleEvent::Writer { writing: false, .. }
        ) {}
    };
    // The name of the writer is the same: that it is somebody else is told all the same.
    lost.await;
    second.write("pwd\r".into()).await.expect("typed");
    read(&mut second, "pwd\r").await;
    // The audit log tells of both, and of nobody who only read.
    let entries = audit::sealed(&site.core.admin(), &format!("{DEFAULT}/audit")).await;
    let attached = entries.iter().filter(|entry| {
        entry["operation"] == "instance_console_attach" && entry["resource"]["name"] == "web"
    });
    assert_eq!(attached.count(), 2, "{entries:#?}");
    second.close().await;
    rhyzome_testkit::wait_for("the console is free", async || {
        attach(ConsoleMode::Write).await.ok().map(drop)
    })
    .await;
}

#[tokio::test]
async fn what_is_followed_goes_on_where_it_ended() {
    let (_site, instances, web) = site().await;
    let mut log = instances
        .console_follow(&web, ConsoleFrom::Last(1000))
        .await
        .expect("followed");
    assert_eq!((log.position, log.recorded > 10), (0, true));
    let first = log.next().await.expect("read").expect("bytes");
    assert!(first.starts_with(b"simulated: "), "{first:?}");
    assert_eq!(log.position, log.recorded);
    let from = ConsoleFrom::Position(11);
    let mut again = instances
        .console_follow(&web, from)
        .await
        .expect("followed");
    let rest = again.next().await.expect("read").expect("bytes");
    assert_eq!(rest, first.slice(11..));
}

#[tokio::test]
async fn nobody_attaches_from_another_project_or_without_a_websocket() {
    let (site, _, web) = site().await;
    let admin = site.core.admin();
    let other = serde_json::json!({"name": "other"});
    admin.post("/v1/projects").json(&other).await.good();
    for project in ["other", "nowhere"] {
        let strange = instances(&site, project);
        let attached = strange.console_attach(&web, ConsoleMode::Read, 10).await;
        let refused = attached.err().expect("refused");
        assert!(refused.is_not_found(), "{refused}");
        let followed = strange.console_follow(&web, ConsoleFrom::Last(10)).await;
        assert!(followed.err().expect("refused").is_not_found());
    }
    let path = format!("{DEFAULT}/instances/web/console/attach");
    let plain = admin.get(&path).await;
    plain.problem(422, "invalid");
}

#[tokio::test]
async fn a_token_that_ceases_to_count_ends_what_it_attached_to() {
    let (site, instances, web) = site().await;
    let mut socket = instances
        .console_attach(&web, ConsoleMode::Write, 10)
        .await
        .expect("attached");
    let mut log = instances
        .console_follow(&web, ConsoleFrom::Last(10))
        .await
        .expect("followed");
    rhyzome_app::authorize::reset_admin_token(site.core.core())
        .await
        .expect("a new token");
    let begun = Instant::now();
    while next(&mut socket).await.is_some() {}
    while let Ok(Some(_)) = log.next().await {}
    assert!(
        begun.elapsed() < Duration::from_secs(2),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test]
async fn a_stream_ends_with_its_instance_and_with_the_revocation_of_its_host() {
    let (site, instances, web) = site().await;
    site.instance("db", "lan").await;
    let attach = async |name: &Name| {
        let attached = instances.console_attach(name, ConsoleMode::Read, 10).await;
        attached.expect("attached")
    };
    let (mut of_web, mut of_db) = (attach(&web).await, attach(&"db".parse().unwrap()).await);
    let admin = site.core.admin();
    let path = format!("{DEFAULT}/instances/web?wait=30s");
    admin.delete(&path).await.status(204);
    while next(&mut of_web).await.is_some() {}
    admin.post("/v1/components/host/revoke").await.good();
    let begun = Instant::now();
    while next(&mut of_db).await.is_some() {}
    assert!(
        begun.elapsed() < Duration::from_millis(2500),
        "{:?}",
        begun.elapsed()
    );
}
