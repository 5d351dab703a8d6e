//! A component by hand: its connection and its messages, whatever they are.

use std::path::Path;
use std::sync::Arc;

use hyper_util::rt::TokioIo;
use rhyzome_component::join::{self, identity_folder};
use rhyzome_model::component::{ComponentKind, HostFacts};
use rhyzome_pki::client::{ClientCertificate, component_config, dial};
use rhyzome_pki::{Identity, IdentityFolder};
use rhyzome_proto::pb::session_client::SessionClient;
use rhyzome_proto::session::{FromComponent, FromCore, Hello};
use rhyzome_proto::{Version, pb};
use rhyzome_testkit::Actor;
use serde_json::json;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Status, Streaming};
use uuid::Uuid;

/// A connection to `HOST:PORT` under a TLS configuration.
pub async fn channel(address: &str, config: rustls::ClientConfig) -> Channel {
    let (address, config) = (address.to_owned(), Arc::new(config));
    let connect = tower::service_fn(move |_| {
        let (address, config) = (address.clone(), Arc::clone(&config));
        async move { dial(&address, config).await.map(TokioIo::new) }
    });
    Endpoint::from_static("http://core")
        .connect_with_connector(connect)
        .await
        .expect("connected")
}

pub fn identity(state_dir: &Path) -> Identity {
    IdentityFolder::new(identity_folder(state_dir))
        .load()
        .expect("an identity")
}

/// A connection that shows an identity.
pub async fn connect(address: &str, identity: &Identity) -> Channel {
    let certificate = ClientCertificate::new(identity.credential());
    let config = component_config(identity.authorities(), certificate).expect("TLS");
    channel(address, config).await
}

pub fn hello(protocol: Version) -> FromComponent {
    FromComponent::Hello(Box::new(Hello {
        protocol,
        software_version: "test".to_owned(),
        kinds: Vec::new(),
        capabilities: Vec::new(),
        facts: HostFacts::default(),
        epoch: Uuid::new_v4(),
        program: None,
        upgrade: None,
        jobs_at_once: None,
    }))
}

/// A session that the test speaks in, as fast as the core listens.
pub struct Raw {
    sender: mpsc::Sender<pb::FromComponent>,
    stream: Streaming<pb::FromCore>,
}

impl Raw {
    /// Joins a core, and opens a session.
    pub async fn join(admin: &Actor, core: &str, name: &str, folder: &Path) -> Self {
        Self::open(core, &joined(admin, core, name, folder).await).await
    }

    /// Opens a session, and is welcomed.
    pub async fn open(core: &str, me: &Identity) -> Self {
        let address = core.trim_start_matches("https://");
        Self::open_on(connect(address, me).await).await
    }

    /// As [`open`](Self::open), over a connection.
    pub async fn open_on<C>(connection: C) -> Self
    where
        C: GrpcService<Body, ResponseBody = Body>,
    {
        let (sender, receiver) = mpsc::channel(64);
        let mut client = SessionClient::new(connection).max_encoding_message_size(usize::MAX);
        sender
            .send(hello(Version::CURRENT).into())
            .await
            .expect("the receiver lives");
        let opened = client.open(ReceiverStream::new(receiver)).await;
        let mut raw = Self {
            sender,
            stream: opened.expect("opened").into_inner(),
        };
        let first = raw.hear().await.expect("a welcome");
        assert!(matches!(first, FromCore::Welcome(_)), "{first:?}");
        raw
    }

    /// Says something; false where the session is over.
    pub async fn say(&self, message: impl Into<pb::FromComponent>) -> bool {
        self.sender.send(message.into()).await.is_ok()
    }

    /// What the core says next; none where the session is over.
    pub async fn hear(&mut self) -> Option<FromCore> {
        match self.stream.message().await {
            Ok(message) => message.map(|message| message.try_into().expect("a message")),
            Err(_broken) => None,
        }
    }

    /// Says nothing more; how the session ends then.
    pub async fn hang_up(self) -> Result<FromCore, Status> {
        let Self { sender, mut stream } = self;
        drop(sender);
        end_of(&mut stream).await
    }

    /// How the session ends.
    pub async fn end(&mut self) -> Result<FromCore, Status> {
        end_of(&mut self.stream).await
    }
}

async fn end_of(stream: &mut Streaming<pb::FromCore>) -> Result<FromCore, Status> {
    loop {
        match stream.message().await? {
            Some(message) => {
                let message = FromCore::try_from(message).expect("a message");
                if let FromCore::Goodbye { .. } = message {
                    return Ok(message);
                }
            }
            None => return Err(Status::cancelled("without a word")),
        }
    }
}

/// The identity of a hypervisor that has joined.
pub async fn joined(admin: &Actor, core: &str, name: &str, folder: &Path) -> Identity {
    let kind = ComponentKind::Libvirt;
    let wanted = json!({"kind": kind, "name": name});
    let token = admin.post("/v1/component-tokens").json(&wanted);
    let token = token.await.good();
    let request = join::Request {
        core,
        token: token["token"].as_str().expect("a token"),
        state_dir: folder,
        kind,
        name: None,
    };
    join::join(request).await.expect("joined");
    identity(folder)
}
