//! The core: its database, which stays, and what is in memory around it, which does not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rhyzome_api::gateway::Gateway;
use rhyzome_api::grpc::talk::Talk;
use rhyzome_api::grpc::{ComponentGateway, SessionId};
use rhyzome_app::blob::Blobs;
use rhyzome_app::component::TokenRequest;
use rhyzome_app::image;
use rhyzome_app::join::{JoinRequest, join};
use rhyzome_app::upload::{self, Part};
use rhyzome_app::{Caller, Core, CoreOptions, SiteSettings, project};
use rhyzome_model::component::ComponentKind;
use rhyzome_model::image::ImageSpec;
use rhyzome_model::{ComponentId, Digest, Name, Size};
use rhyzome_pki::authority::Authority;
use rhyzome_pki::identity::NewKey;
use rhyzome_store::Store;

use crate::environment::CoreEnvironment;
use crate::time::HostClock;

/// What outlives the core.
pub struct Site {
    store: Store,
    blobs: PathBuf,
    pub environment: Arc<CoreEnvironment>,
    pub clock: HostClock,
}

/// What does not.
pub struct Running {
    pub core: Core,
    pub gateway: Arc<Gateway>,
    /// By the number of their link.
    pub talks: BTreeMap<u64, Conversation>,
    /// Sessions whose end is still to be noted.
    pub ended: Vec<(ComponentId, SessionId)>,
}

/// A session.
pub struct Conversation {
    pub talk: Talk,
    /// When something was last heard, in milliseconds.
    pub heard: i64,
}

impl Site {
    pub async fn new(folder: &Path, clock: HostClock, noise: u64) -> Self {
        let url = format!("sqlite://{}/core.db", folder.display());
        let store = Store::open(&url).await.expect("a database");
        Self {
            store,
            blobs: folder.join("blobs"),
            environment: Arc::new(CoreEnvironment::new(clock.clone(), noise)),
            clock,
        }
    }

    /// Starts the core on what is there.
    pub async fn start(&self) -> Running {
        self.environment.let_live();
        let authority = Authority::make("simulation", SystemTime::now(), &mut rand::rng());
        let options = CoreOptions {
            store: self.store.clone(),
            authority: authority.expect("an authority"),
            site: SiteSettings {
                seed: Some("simulation".to_owned()),
                ..SiteSettings::default()
            },
            environment: self.environment.clone(),
            blobs: Blobs::folder(self.blobs.clone()),
            grpc_url: "https://core:9090".to_owned(),
            certificate_validity: Duration::from_secs(24 * 3600),
            authorization: true,
            oidc: None,
            links: Default::default(),
        };
        let core = Core::open(options).await.expect("a core");
        Running {
            gateway: Arc::new(Gateway::new(core.clone())),
            core,
            talks: BTreeMap::new(),
            ended: Vec::new(),
        }
    }
}

impl Running {
    /// Lets a component in.
    pub async fn join(&self, kind: ComponentKind, name: &Name) -> ComponentId {
        let request = TokenRequest {
            kind: Some(kind),
            name: Some(name.clone()),
            expires_in: 60,
        };
        let caller = Caller::local();
        let minted = rhyzome_app::component::token_create(&self.core, &caller, request).await;
        let key = NewKey::make().expect("a key");
        let request = JoinRequest {
            token: &minted.expect("a token").token,
            csr: &key.request().expect("a request"),
            kind,
            name: None,
            hostname: "h",
        };
        join(&self.core, &request).await.expect("joined").id
    }

    /// Makes a project, unless it is the one that is there, with an image called `tiny` in it.
    pub async fn project(&self, name: &Name) {
        let (core, caller) = (&self.core, Caller::local());
        if *name != Name::default_project() {
            let made = project::create(core, &caller, name.clone()).await;
            made.expect("a project");
        }
        core.blobs.prepare().await.expect("a folder for images");
        let bytes = tiny_kernel();
        let digest = Digest::of(&bytes);
        let part = Part {
            digest,
            size: Size::bytes(bytes.len() as u64),
            offset: 0,
            anew: true,
        };
        let uploaded = upload::append(core, &caller, name, part, &bytes[..]).await;
        uploaded.expect("uploaded");
        let spec = ImageSpec {
            digest,
            initrd: None,
            command_line: String::new(),
        };
        let called = "tiny".parse().expect("a name");
        let made = image::create(core, &caller, name, called, spec).await;
        made.expect("an image");
    }

    /// The other sessions of a component are not its own any more.
    pub fn replace(&mut self, component: ComponentId) -> Vec<u64> {
        let own = self
            .talks
            .iter()
            .filter(|(_, conversation)| conversation.talk.component() == component);
        let links: Vec<u64> = own.map(|(link, _)| *link).collect();
        for link in &links {
            self.end(*link);
        }
        links
    }

    /// A session is over.
    pub fn end(&mut self, link: u64) {
        if let Some(Conversation { talk, .. }) = self.talks.remove(&link) {
            self.ended.push((talk.component(), talk.session()));
        }
    }

    /// Notes the end of the session that ended first.
    pub async fn note_end(&mut self) {
        if !self.ended.is_empty() {
            let (component, session) = self.ended.remove(0);
            self.gateway.disconnected(component, session).await;
        }
    }
}

/// The least that is recognised as a Linux kernel: its magic numbers (Documentation/arch/x86/boot.rst).
fn tiny_kernel() -> Vec<u8> {
    let mut bytes = vec![0u8; 4096];
    bytes[0x1f1] = 4;
    bytes[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
    bytes[0x202..0x206].copy_from_slice(b"HdrS");
    bytes[0x206..0x208].copy_from_slice(&0x020f_u16.to_le_bytes());
    bytes[0x211] = 1;
    bytes
}
