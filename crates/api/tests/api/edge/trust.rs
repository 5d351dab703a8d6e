//! Who may do what, and for how long.

use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use rhyzome_component::fake::{FakeDriver, Options};
use rhyzome_component::join::{self, JoinError, Joining};
use rhyzome_model::Digest;
use rhyzome_model::component::ComponentKind;
use rhyzome_model::job::Outcome;
use rhyzome_pki::client::{ClientCertificate, component_config, joining_config};
use rhyzome_pki::{Identity, NewKey};
use rhyzome_proto::pb::enrollment_client::EnrollmentClient;
use rhyzome_proto::pb::session_client::SessionClient;
use rhyzome_proto::session::{FromCore, GoodbyeReason};
use rhyzome_proto::{Refusal, Version, pb};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::site::{Running, Site, ensure, network, wait_for};
use crate::raw::{self, hello, identity};

async fn channel(site: &Site, config: rustls::ClientConfig) -> Channel {
    raw::channel(&site.address.to_string(), config).await
}

async fn as_component(site: &Site, identity: &Identity) -> Channel {
    raw::connect(&site.address.to_string(), identity).await
}

/// Opens a session; nothing is heard in it as long as the sender lives.
async fn open(
    channel: Channel,
    protocol: Version,
) -> Result<
    (
        mpsc::UnboundedSender<pb::FromComponent>,
        Streaming<pb::FromCore>,
    ),
    Status,
> {
    let (sender, receiver) = mpsc::unbounded_channel();
    sender
        .send(hello(protocol).into())
        .expect("the receiver lives");
    let stream = SessionClient::new(channel)
        .open(UnboundedReceiverStream::new(receiver))
        .await?;
    Ok((sender, stream.into_inner()))
}

/// The goodbye at the end of a stream, and how long it took to come.
async fn goodbye(stream: &mut Streaming<pb::FromCore>) -> (GoodbyeReason, String, Duration) {
    let began = std::time::Instant::now();
    loop {
        let message = tokio::time::timeout(Duration::from_secs(20), stream.message());
        let message = message
            .await
            .expect("in time")
            .expect("a stream")
            .expect("a goodbye");
        if let FromCore::Goodbye { reason, message } = message.try_into().expect("a message") {
            assert_eq!(
                stream.message().await.expect("a stream"),
                None,
                "the stream goes on"
            );
            return (reason, message, began.elapsed());
        }
    }
}

fn refused<T>(result: Result<T, Status>) -> Option<Refusal> {
    Refusal::of(&result.err().expect("a refusal"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_components_open_stream_ends_within_two_seconds() {
    let site = Site::start().await;
    site.gateway.state().heartbeat_interval = Some(Duration::from_secs(20));
    let folder = tempfile::tempdir().expect("a folder");
    let id = site.join(folder.path(), ComponentKind::Linux).await;
    let me = identity(folder.path());
    let (_sender, mut stream) = open(as_component(&site, &me).await, Version::CURRENT)
        .await
        .expect("opened");
    stream
        .message()
        .await
        .expect("a stream")
        .expect("a welcome");
    site.gateway
        .state()
        .components
        .get_mut(&id)
        .expect("known")
        .revoked = true;
    let (reason, _, took) = goodbye(&mut stream).await;
    assert_eq!(reason, GoodbyeReason::Revoked);
    assert!(took < Duration::from_secs(2), "it took {took:?}");
    let again = open(as_component(&site, &me).await, Version::CURRENT).await;
    assert_eq!(refused(again), Some(Refusal::Revoked));
    let csr = NewKey::make().expect("a key").request().expect("a request");
    let renewal = EnrollmentClient::new(as_component(&site, &me).await);
    let renewal = { renewal }.renew(pb::RenewRequest { csr }).await;
    assert_eq!(refused(renewal), Some(Refusal::Revoked));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_component_gets_no_more_of_an_image() {
    let site = Site::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let id = site.join(folder.path(), ComponentKind::Libvirt).await;
    // More than fits into what is on its way.
    let bytes = vec![1; 32 << 20];
    let digest = Digest::of(&bytes);
    site.gateway.state().blobs.insert(digest, bytes);
    let mut client = SessionClient::new(as_component(&site, &identity(folder.path())).await);
    let request = pb::FetchBlobRequest {
        digest: digest.to_string(),
        offset: 0,
    };
    let mut stream = client
        .fetch_blob(request)
        .await
        .expect("begun")
        .into_inner();
    stream.message().await.expect("a stream").expect("a chunk");
    let dropped = site.gateway.state().dropped.clone();
    assert_eq!(dropped.load(Ordering::Relaxed), 0);
    site.gateway
        .state()
        .components
        .get_mut(&id)
        .expect("known")
        .revoked = true;
    let stopped = || (dropped.load(Ordering::Relaxed) == 1).then_some(());
    let (_, took) = wait_for("the end of the stream", stopped).await;
    assert!(took < Duration::from_secs(2), "it took {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_certificate_ends_its_stream_and_may_renew_and_nothing_else() {
    let site = Site::start().await;
    site.gateway.state().heartbeat_interval = Some(Duration::from_secs(20));
    site.gateway.state().validity = Some(Duration::from_secs(2));
    let folder = tempfile::tempdir().expect("a folder");
    site.join(folder.path(), ComponentKind::Linux).await;
    let me = identity(folder.path());
    let (_sender, mut stream) = open(as_component(&site, &me).await, Version::CURRENT)
        .await
        .expect("opened");
    let (reason, _, _) = goodbye(&mut stream).await;
    assert_eq!(reason, GoodbyeReason::Expired);
    let late = SystemTime::now()
        .duration_since(me.certificate().not_after)
        .expect("expired");
    assert!(
        late < Duration::from_secs(2),
        "{late:?} after the certificate's end"
    );

    let again = open(as_component(&site, &me).await, Version::CURRENT).await;
    assert_eq!(refused(again), Some(Refusal::Expired));
    let blob = pb::FetchBlobRequest {
        digest: "0".repeat(64),
        offset: 0,
    };
    let blob = { SessionClient::new(as_component(&site, &me).await) }
        .fetch_blob(blob)
        .await;
    assert_eq!(refused(blob), Some(Refusal::Expired));

    // A component that slept through its certificate's time finds back by itself.
    site.gateway.state().validity = None;
    let driver = FakeDriver::linux(Options::default()).expect("a fake");
    let id = me.component_id().parse().expect("an id");
    let component = Running::start(id, folder, driver);
    let job = site.gateway.put(id, ensure(&network(1)));
    wait_for("the outcome", || site.gateway.outcome_of(job)).await;
    component.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_renewed_in_time_without_disturbing_a_running_job() {
    let site = Site::start().await;
    site.gateway.state().validity = Some(Duration::from_secs(6));
    let driver = FakeDriver::linux(Options::default()).expect("a fake");
    driver.faults().hold();
    let component = site.component(ComponentKind::Linux, driver.clone()).await;
    let first = identity(component.folder.path());
    let job = site.gateway.put(component.id, ensure(&network(1)));
    wait_for("the job", || (driver.faults().calls() == 1).then_some(())).await;
    site.gateway.state().validity = None;
    wait_for("the second session", || {
        (site.gateway.state().sessions.len() == 2).then_some(())
    })
    .await;
    let renewed = identity(component.folder.path());
    assert_ne!(renewed.certificate().serial, first.certificate().serial);
    assert!(
        SystemTime::now() < first.certificate().not_after,
        "only after it had expired"
    );
    driver.faults().let_through(1);
    let (outcome, _) = wait_for("the outcome", || site.gateway.outcome_of(job)).await;
    assert!(matches!(outcome, Outcome::Ensured { .. }), "{outcome:?}");
    assert_eq!(
        driver.faults().calls(),
        1,
        "the job was done more than once"
    );
    component.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_renews_at_once_when_only_the_cores_clock_says_that_it_is_expired() {
    let site = Site::start().await;
    site.gateway.state().take_for_expired = 1;
    let driver = FakeDriver::linux(Options::default()).expect("a fake");
    let component = site.component(ComponentKind::Linux, driver).await;
    wait_for("a session", || {
        (site.gateway.state().sessions.len() == 1).then_some(())
    })
    .await;
    let known = &site.gateway.state().components[&component.id].serials.len();
    assert_eq!(
        *known, 2,
        "one certificate from joining and one from renewal"
    );
    component.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_authority_none_and_one_that_is_not_known_are_refused() {
    let (site, other) = (Site::start().await, Site::start().await);
    let (folder, foreign) = (
        tempfile::tempdir().expect("a folder"),
        tempfile::tempdir().expect("a folder"),
    );
    let id = site.join(folder.path(), ComponentKind::Linux).await;
    other.join(foreign.path(), ComponentKind::Linux).await;
    let me = identity(folder.path());

    let certificate = ClientCertificate::new(identity(foreign.path()).credential());
    let config = component_config(me.authorities(), certificate).expect("TLS");
    let foreign = open(channel(&site, config).await, Version::CURRENT).await;
    assert!(foreign.is_err(), "another authority's component was let in");

    let config = joining_config(site.gateway.authority.fingerprint()).expect("TLS");
    let nobody = open(channel(&site, config).await, Version::CURRENT).await;
    assert_eq!(refused(nobody), Some(Refusal::NoCertificate));

    site.gateway.state().components.remove(&id);
    let unknown = open(as_component(&site, &me).await, Version::CURRENT).await;
    assert_eq!(refused(unknown), Some(Refusal::Unknown));
    assert!(site.gateway.state().sessions.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_session_of_a_component_replaces_the_first() {
    let site = Site::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    site.join(folder.path(), ComponentKind::Linux).await;
    let me = identity(folder.path());
    let channel = as_component(&site, &me).await;
    let (_first, mut stream) = open(channel.clone(), Version::CURRENT)
        .await
        .expect("opened");
    stream
        .message()
        .await
        .expect("a stream")
        .expect("a welcome");
    let (_second, mut second) = open(channel, Version::CURRENT).await.expect("opened");
    second
        .message()
        .await
        .expect("a stream")
        .expect("a welcome");
    let (reason, _, _) = goodbye(&mut stream).await;
    assert_eq!(reason, GoodbyeReason::Replaced);
    wait_for("the end of the first", || {
        let state = site.gateway.state();
        (state.disconnected == state.sessions[..1]).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_began_on_another_core_ends_the_one_here() {
    let site = Site::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    site.join(folder.path(), ComponentKind::Linux).await;
    let channel = as_component(&site, &identity(folder.path())).await;
    let (sender, mut stream) = open(channel, Version::CURRENT).await.expect("opened");
    stream
        .message()
        .await
        .expect("a stream")
        .expect("a welcome");
    site.gateway.state().elsewhere = true;
    let heartbeat = pb::Heartbeat {
        time: 0,
        ledger: None,
    };
    let heartbeat = pb::from_component::Message::Heartbeat(heartbeat);
    sender
        .send(pb::FromComponent {
            message: Some(heartbeat),
        })
        .expect("open");
    let (reason, _, _) = goodbye(&mut stream).await;
    assert_eq!(reason, GoodbyeReason::Replaced);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_is_too_new_or_silent_or_speaks_nonsense_is_sent_away() {
    let site = Site::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    site.join(folder.path(), ComponentKind::Linux).await;
    let channel = as_component(&site, &identity(folder.path())).await;

    let newer = Version {
        minor: Version::CURRENT.minor + 1,
        ..Version::CURRENT
    };
    let (_sender, mut stream) = open(channel.clone(), newer).await.expect("opened");
    let (reason, message, _) = goodbye(&mut stream).await;
    assert_eq!(reason, GoodbyeReason::Unsupported);
    assert!(
        message.contains("protocol 1.0, and the component 1.1"),
        "{message}"
    );

    let (sender, mut stream) = open(channel.clone(), Version::CURRENT)
        .await
        .expect("opened");
    sender
        .send(pb::FromComponent { message: None })
        .expect("open");
    let (reason, message, _) = goodbye(&mut stream).await;
    assert_eq!(
        (reason, message.as_str()),
        (GoodbyeReason::Malformed, "message: is missing")
    );

    let (_sender, mut stream) = open(channel, Version::CURRENT).await.expect("opened");
    let (reason, message, _) = goodbye(&mut stream).await;
    let silent = (GoodbyeReason::Failed, "nothing was heard for too long");
    assert_eq!((reason, message.as_str()), silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn joining_twice_spends_one_token_and_joining_elsewhere_is_refused() {
    let (site, other) = (Site::start().await, Site::start().await);
    let folder = tempfile::tempdir().expect("a folder");
    let id = site.join(folder.path(), ComponentKind::Linux).await;
    let kind = ComponentKind::Linux;
    let state_dir = folder.path();
    let (here, there) = (site.gateway.token(), other.gateway.token());

    let again = join::Request {
        core: &site.url(),
        token: &here,
        state_dir,
        kind,
        name: None,
    };
    let again = join::join(again).await.expect("joined");
    assert_eq!(
        again,
        Joining::Already {
            component: id.to_string()
        }
    );

    let other_url = other.url();
    let elsewhere = join::Request {
        core: &other_url,
        token: &there,
        state_dir,
        kind,
        name: None,
    };
    let refused = join::join(elsewhere).await.expect_err("it has joined");
    assert!(matches!(refused, JoinError::Other { .. }), "{refused}");

    let fresh = tempfile::tempdir().expect("a folder");
    let state_dir = fresh.path();
    let wrong = join::Request {
        core: &other_url,
        token: &here,
        state_dir,
        kind,
        name: None,
    };
    let refused = join::join(wrong)
        .await
        .expect_err("the token is another core's");
    assert!(matches!(refused, JoinError::Connect(_)), "{refused}");
    // None of these has spent it.
    let first = join::Request {
        core: &site.url(),
        token: &here,
        state_dir,
        kind,
        name: None,
    };
    assert!(matches!(
        join::join(first).await,
        Ok(Joining::Joined { .. })
    ));
    let third = tempfile::tempdir().expect("a folder");
    let spent = join::Request {
        core: &site.url(),
        token: &here,
        state_dir: third.path(),
        kind,
        name: None,
    };
    let refused = join::join(spent).await.expect_err("the token is spent");
    assert_eq!(
        refused.to_string(),
        "the core does not accept the token: the token is unknown or used"
    );
}
