//! The core: what every use case needs.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use ipnet::{Ipv4Net, Ipv6Net};
use rhyzome_model::segment::VlanId;
use rhyzome_model::{ComponentId, Timestamp};
use rhyzome_pki::authority::Authority;
use rhyzome_plan::allocate::Seed;
use rhyzome_store::{Store, site};
use tokio::sync::{Notify, watch};
use uuid::Uuid;

use crate::audit::Audit;
use crate::blob::{Blobs, Verifying};
use crate::consoles::Consoles;
use crate::idempotency::Requests;
use crate::login::Oidc;
use crate::news::News;
use crate::upload::Receiving;
use crate::{Error, Result};

/// Time and identities, as arguments of everything: real in production, chosen in tests.
pub trait Environment: Send + Sync + 'static {
    fn now(&self) -> Timestamp;
    /// A new UUID, later ones ordered behind earlier ones (version 7).
    fn uuid(&self) -> Uuid;
}

/// The machine's clock and random numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEnvironment;

impl Environment for SystemEnvironment {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }

    fn uuid(&self) -> Uuid {
        Uuid::now_v7()
    }
}

/// What the operator decides of a site as a whole.
#[derive(Clone, Debug)]
pub struct SiteSettings {
    /// What people call it.
    pub name: String,
    /// The DNS domain that networks' domains are under.
    pub domain: String,
    /// From which all addresses follow; drawn at the first start where none is given, and kept.
    pub seed: Option<String>,
    /// Networks' IPv4 prefixes are out of this.
    pub ipv4_pool: Ipv4Net,
    /// Networks' IPv6 prefixes are out of this /48; follows from the seed where none is given.
    pub ipv6_prefix: Option<Ipv6Net>,
    /// Peers' addresses are out of these; the IPv6 one is the first /64 of the site's by default.
    pub peers_ipv4: Ipv4Net,
    pub peers_ipv6: Option<Ipv6Net>,
    /// The UDP port that hosts' tunnels end at (VXLAN).
    pub tunnel_port: u16,
    /// The VLANs that networks may have on the trunks of the site, first and last.
    pub vlans: (VlanId, VlanId),
    /// How long a component may be silent before it counts as gone.
    pub gone_after: Duration,
    /// How many days entries of the audit log are kept; 0 for ever.
    pub audit_days: u32,
}

impl Default for SiteSettings {
    fn default() -> Self {
        let prefix = |text: &str| text.parse().expect("a constant prefix");
        let vlan = |number: u16| number.try_into().expect("a constant VLAN");
        Self {
            name: "rhyzome".to_owned(),
            domain: "rhyzome.internal".to_owned(),
            seed: None,
            ipv4_pool: prefix("10.64.0.0/10"),
            ipv6_prefix: None,
            peers_ipv4: prefix("100.96.0.0/12"),
            peers_ipv6: None,
            tunnel_port: 4789,
            // Not 1, which is what switches call what has no tag.
            vlans: (vlan(2), vlan(4094)),
            gone_after: Duration::from_secs(30),
            audit_days: 365,
        }
    }
}

/// Where people find the core.
#[derive(Clone, Debug)]
pub struct Links {
    /// As in `https://core.example:8080`, where the operator says so.
    pub public_url: Option<String>,
    /// `https`, or `http` where the operator switched TLS off.
    pub scheme: &'static str,
    /// Whether people have to be told of the site's own authority to trust what they find there.
    pub own_authority: bool,
}

impl Default for Links {
    fn default() -> Self {
        Self {
            public_url: None,
            scheme: "https",
            own_authority: true,
        }
    }
}

/// What a core is made of.
pub struct CoreOptions {
    pub store: Store,
    pub authority: Authority,
    pub site: SiteSettings,
    pub environment: Arc<dyn Environment>,
    /// Where image bytes are.
    pub blobs: Blobs,
    /// Where components connect to, as in `https://core.example:9090`.
    pub grpc_url: String,
    /// How long components' certificates are good for.
    pub certificate_validity: Duration,
    pub links: Links,
    /// `false` only where the operator wrote so: every caller is then an administrator.
    pub authorization: bool,
    /// Who says who people are; none where they come by invitations alone.
    pub oidc: Option<Oidc>,
}

/// The core; cheap to clone.
#[derive(Clone)]
pub struct Core(Arc<Shared>);

/// What clones of a core share.
pub struct Shared {
    pub store: Store,
    pub authority: Authority,
    pub site: SiteSettings,
    pub seed: Seed,
    pub ipv6_prefix: Ipv6Net,
    pub peers_ipv6: Ipv6Net,
    pub environment: Arc<dyn Environment>,
    pub blobs: Blobs,
    pub verifying: Verifying,
    pub(crate) receiving: Receiving,
    pub grpc_url: String,
    pub certificate_validity: Duration,
    pub links: Links,
    pub authorization: bool,
    pub oidc: Option<Oidc>,
    pub consoles: Arc<Consoles>,
    /// Whom a change of one thing wakes.
    pub news: News,
    pub(crate) requests: Requests,
    pub(crate) audit: Audit,
    wakes: Mutex<HashMap<ComponentId, Arc<Notify>>>,
    events: watch::Sender<u64>,
    rights: watch::Sender<u64>,
}

impl Deref for Core {
    type Target = Shared;
    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Core {
    /// Takes a migrated database into use: draws the seed and makes the default project at the first
    /// start.
    pub async fn open(options: CoreOptions) -> Result<Self> {
        let seed = first_start(&options).await?;
        let ipv6_prefix = options.site.ipv6_prefix.unwrap_or_else(|| seed.site_ipv6());
        let peers = Ipv6Net::new(ipv6_prefix.network(), 64).expect("64 is a prefix length");
        Ok(Self(Arc::new(Shared {
            ipv6_prefix,
            peers_ipv6: options.site.peers_ipv6.unwrap_or(peers),
            seed,
            store: options.store,
            authority: options.authority,
            site: options.site,
            environment: options.environment,
            blobs: options.blobs,
            verifying: Verifying::default(),
            receiving: Receiving::default(),
            grpc_url: options.grpc_url,
            certificate_validity: options.certificate_validity,
            links: options.links,
            authorization: options.authorization,
            oidc: options.oidc,
            consoles: Arc::default(),
            news: News::default(),
            requests: Requests::default(),
            audit: Audit::default(),
            wakes: Mutex::default(),
            events: watch::channel(0).0,
            rights: watch::channel(0).0,
        })))
    }

    pub fn now(&self) -> Timestamp {
        self.environment.now()
    }

    pub(crate) fn uuid(&self) -> Uuid {
        self.environment.uuid()
    }

    /// Notified when a component may have something to do. Polling is the net under it.
    pub fn wakeups(&self, component: ComponentId) -> Arc<Notify> {
        let mut wakes = self.wakes.lock().unwrap_or_else(PoisonError::into_inner);
        wakes.entry(component).or_default().clone()
    }

    /// Changes whenever events may have been committed. Polling is the net under it.
    pub fn events_changed(&self) -> watch::Receiver<u64> {
        self.events.subscribe()
    }

    /// Changes whenever entries of the audit log were sealed. Polling is the net under it.
    pub fn audit_changed(&self) -> watch::Receiver<u64> {
        self.audit.sealed()
    }

    /// Changes whenever somebody may have lost something that they might: whoever is told something for long asks again then.
    pub fn rights_changed(&self) -> watch::Receiver<u64> {
        self.rights.subscribe()
    }

    pub(crate) fn announce_rights(&self) {
        self.rights
            .send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(crate) fn wake(&self, component: ComponentId) {
        self.wakeups(component).notify_one();
    }

    pub(crate) fn wake_all(&self) {
        let wakes = self.wakes.lock().unwrap_or_else(PoisonError::into_inner);
        for wake in wakes.values() {
            wake.notify_one();
        }
    }

    pub(crate) fn announce_events(&self) {
        self.events
            .send_modify(|count| *count = count.wrapping_add(1));
    }
}

async fn first_start(options: &CoreOptions) -> Result<Seed> {
    let now = options.environment.now();
    let mut tx = options.store.write().await?;
    let seed = match (site::get(&mut tx, "seed").await?, &options.site.seed) {
        (Some(kept), Some(asked)) if kept != *asked => {
            let why = "this database was made with another seed; addresses would not fit any more";
            return Err(Error::invalid("site.seed", why));
        }
        (Some(kept), _) => kept,
        (None, asked) => {
            let seed = asked.clone().unwrap_or_else(|| Uuid::new_v4().to_string());
            site::insert(&mut tx, "seed", &seed).await?;
            seed
        }
    };
    let default = rhyzome_model::Name::default_project();
    if site::get(&mut tx, "default_project").await?.is_none() {
        let id = rhyzome_model::ProjectId(options.environment.uuid());
        rhyzome_store::project::insert(&mut tx, id, &default, now).await?;
        site::insert(&mut tx, "default_project", default.as_str()).await?;
    }
    // What a core that was killed left open.
    rhyzome_store::component::disconnect_all(&mut tx).await?;
    tx.commit().await?;
    Ok(Seed(seed))
}
