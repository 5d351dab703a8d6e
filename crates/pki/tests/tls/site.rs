//! A site for tests: an authority, a listening core, components.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rcgen::{CertificateParams, Issuer, KeyPair, SanType};
use rhyzome_pki::acceptor::{ConnectInfo, Limits, TlsConnection, TlsIncoming};
use rhyzome_pki::client::{ClientCertificate, component_config, dial, joining_config};
use rhyzome_pki::credential::Named;
use rhyzome_pki::issue::ComponentRequest;
use rhyzome_pki::server::{ServerCertificate, grpc_config};
use rhyzome_pki::{Authority, Credential, Fingerprint, Identity, NewKey};
use rustls::{ClientConfig, ServerConfig};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

pub const HOUR: Duration = Duration::from_secs(3600);

/// Longer than anything here takes, short enough to notice.
pub const BOUND: Duration = Duration::from_secs(20);

pub struct Site {
    pub authority: Authority,
    pub rng: StdRng,
}

pub fn site(seed: u64) -> Site {
    site_called(&format!("garden {seed}"), seed)
}

pub fn site_called(name: &str, seed: u64) -> Site {
    let mut rng = StdRng::seed_from_u64(seed);
    let last_week = SystemTime::now() - 7 * 24 * HOUR;
    let authority = Authority::make(name, last_week, &mut rng).unwrap();
    Site { authority, rng }
}

impl Site {
    pub fn pin(&self) -> Fingerprint {
        self.authority.fingerprint()
    }

    pub fn core_credential(&mut self) -> Credential {
        self.authority
            .issue_core_server(HOUR, SystemTime::now(), &mut self.rng)
            .unwrap()
    }

    /// A component whose certificate was issued at `issued` for an hour.
    pub fn component_at(&mut self, id: &str, issued: SystemTime) -> Identity {
        let key = NewKey::make().unwrap();
        let csr = key.request().unwrap();
        let request = ComponentRequest {
            csr: &csr,
            component_id: id,
            validity: HOUR,
        };
        let certificate = self
            .authority
            .issue_component(request, issued, &mut self.rng)
            .unwrap();
        let authority = self.authority.certificate_pem();
        Identity::assemble(key, &certificate.pem(), &authority, "https://core").unwrap()
    }

    pub fn component(&mut self, id: &str) -> Identity {
        self.component_at(id, SystemTime::now())
    }

    /// A certificate that somebody else signed with the authority's key, with
    /// no word on what it may be used for.
    pub fn anything_goes(&self, name: SanType) -> Credential {
        let signing = KeyPair::from_pem(&self.authority.credential().key_pem()).unwrap();
        let issuer = Issuer::from_ca_cert_der(self.authority.certificate(), signing).unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![name];
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let named = |pem| Named { name: "test", pem };
        let (certificate, key) = (certificate.pem(), key.serialize_pem());
        Credential::from_pem(named(certificate.as_bytes()), named(key.as_bytes())).unwrap()
    }

    pub fn server_config(&self, certificate: Arc<ServerCertificate>) -> ServerConfig {
        grpc_config(&[self.authority.certificate().clone()], certificate).unwrap()
    }

    /// A core that answers each connection with one byte once it has read one.
    pub async fn core(&mut self) -> Core {
        let certificate = ServerCertificate::new(&self.core_credential());
        let config = self.server_config(Arc::clone(&certificate));
        Core {
            incoming: listen(config, Limits::default()).await,
            certificate,
        }
    }
}

pub struct Core {
    pub incoming: TlsIncoming,
    pub certificate: Arc<ServerCertificate>,
}

impl Core {
    pub fn address(&self) -> SocketAddr {
        self.incoming.local_addr()
    }

    /// What the core learns of a client, and what the client gets of the core.
    pub async fn meet(&mut self, client: ClientConfig) -> (ConnectInfo, io::Result<()>) {
        let address = self.address().to_string();
        let (connection, answer) = tokio::join!(self.answer(), talk(&address, client));
        (connection.info().clone(), answer)
    }

    /// How a client fares that the core is going to refuse.
    pub async fn refuse(&mut self, client: ClientConfig) -> io::Error {
        let address = self.address().to_string();
        tokio::select! {
            connection = self.answer() => panic!("let in: {:?}", connection.info()),
            answer = talk(&address, client) => answer.expect_err("nothing was answered"),
        }
    }

    /// Meets whoever comes next.
    pub async fn answer(&mut self) -> TlsConnection {
        let mut connection = tokio::time::timeout(BOUND, self.incoming.accept())
            .await
            .expect("a connection in time")
            .expect("the listener lives");
        connection.read_u8().await.unwrap();
        connection.write_u8(42).await.unwrap();
        connection.flush().await.unwrap();
        connection
    }
}

pub async fn listen(config: ServerConfig, limits: Limits) -> TlsIncoming {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    TlsIncoming::new(listener, Arc::new(config), limits).unwrap()
}

/// Sends a byte and waits for the answer: in TLS 1.3 a client learns only then
/// whether its certificate was accepted.
pub async fn talk(address: &str, config: ClientConfig) -> io::Result<()> {
    let exchange = async {
        let mut stream = dial(address, Arc::new(config)).await?;
        stream.write_u8(1).await?;
        stream.flush().await?;
        stream.read_u8().await.map(|byte| assert_eq!(byte, 42))
    };
    tokio::time::timeout(BOUND, exchange)
        .await
        .expect("an answer in time")
}

pub fn joined(identity: &Identity) -> ClientConfig {
    let certificate = ClientCertificate::new(identity.credential());
    component_config(identity.authorities(), certificate).unwrap()
}

pub fn joining(pin: Fingerprint) -> ClientConfig {
    joining_config(pin).unwrap()
}

/// The certificate error behind a failed dial or read.
pub fn tls_error(error: &io::Error) -> String {
    error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        .map_or_else(|| format!("not of TLS: {error}"), |e| format!("{e:?}"))
}
