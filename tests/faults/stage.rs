//! The stages that a site goes through: what somebody asks for, and when it is as it was asked for.

use std::fmt;

use rhyzome_client::Error;
use rhyzome_component::step::IdentityStep;
use rhyzome_end_to_end::faults::Program;
use rhyzome_end_to_end::operator::{TOLD, name};
use rhyzome_end_to_end::world::Kind;
use rhyzome_end_to_end::{Newcomer, programs};
use rhyzome_fault::Action;
use rhyzome_model::image::{ImageSpec, Tag};
use rhyzome_model::instance::InstanceSpec;
use rhyzome_model::network::NetworkSpec;
use rhyzome_model::peer::PeerSpec;
use rhyzome_model::resource::{Instance, Network};
use rhyzome_model::{Digest, Name};
use serde_json::json;

use crate::newcomer;
use crate::site::{Site, Standing};

/// Of nobody: the private key was thrown away.
const KEY: &str = "mEpV0Ix8Qw9tq8Yy6nqkK1uYp3oZ7bqkT0bF0d3w0V0=";

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    NetworkMade,
    NetworkOpened,
    NetworkClosed,
    InstanceMade,
    InstanceChanged,
    InstanceChangedBack,
    InstanceStopped,
    InstanceStarted,
    InstanceRebooted,
    InstanceDeleted,
    PeerMade,
    PeerLetOut,
    PeerLetIn,
    PeerDeleted,
    FarMade,
    FarDeleted,
    NetworkDeleted,
    ImageMade,
    ImageTagged,
    ImageUntagged,
    ImageDeleted,
    ComponentJoined,
    CertificateRenewed,
    ComponentRevoked,
    ComponentForgotten,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NetworkMade => "a network is made",
            Self::NetworkOpened => "the network gets a way out",
            Self::NetworkClosed => "the network's way out is closed",
            Self::InstanceMade => "an instance is made",
            Self::InstanceChanged => "the instance is changed",
            Self::InstanceChangedBack => "the instance is changed back",
            Self::InstanceStopped => "the instance is stopped",
            Self::InstanceStarted => "the instance is started",
            Self::InstanceRebooted => "the instance is rebooted",
            Self::InstanceDeleted => "the instance is deleted",
            Self::PeerMade => "a peer is made",
            Self::PeerLetOut => "the peer loses its network",
            Self::PeerLetIn => "the peer gets its network back",
            Self::PeerDeleted => "the peer is deleted",
            Self::FarMade => "the network gets an instance on another host",
            Self::FarDeleted => "the instance on the other host is deleted",
            Self::NetworkDeleted => "the network is deleted",
            Self::ImageMade => "an image is made",
            Self::ImageTagged => "the image gets a tag",
            Self::ImageUntagged => "the image loses its tag",
            Self::ImageDeleted => "the image is deleted",
            Self::ComponentJoined => "a component joins",
            Self::CertificateRenewed => "the component's certificate is renewed",
            Self::ComponentRevoked => "the component is revoked",
            Self::ComponentForgotten => "the component is deleted",
        })
    }
}

impl Stage {
    /// What goes on before, and nothing goes wrong in.
    pub fn prepare(self, site: &mut Site<'_>) {
        match self {
            // Its image has to come from the core again.
            Self::InstanceMade => site.forget_images(),
            Self::ImageMade => site.images += 1,
            Self::CertificateRenewed => site.shown = Newcomer::certificate(site.world),
            _ => {}
        }
    }

    /// What has to go wrong in a program so that the stage is what it is.
    pub fn always(self, program: Program) -> Option<String> {
        let look = IdentityStep::Look.as_str();
        let is_it = (self, program) == (Self::CertificateRenewed, Program::Newcomer);
        is_it.then(|| format!("{} {look}", Action::Transient.as_str()))
    }

    /// Asks for it once; says whether there is nothing more to ask for.
    pub async fn ask(self, site: &mut Site<'_>) -> Result<bool, Error> {
        match self {
            Self::ComponentJoined => newcomer::join(site).await,
            Self::CertificateRenewed => Ok(newcomer::start_anew(site)),
            Self::ComponentRevoked => newcomer::revoke(site).await,
            Self::ComponentForgotten => newcomer::forget(site).await,
            _ => self.ask_of_project(site).await.map(|()| true),
        }
    }

    async fn ask_of_project(self, site: &Site<'_>) -> Result<(), Error> {
        let scope = &site.scope;
        let (lab, web, laptop, spare) = (name("lab"), name("web"), name("laptop"), name("spare"));
        let far = name("far");
        let (network, instance, peer) = (scope.network(), scope.instance(), scope.peer());
        match self {
            Self::NetworkMade => {
                let made = network.create(&lab, NetworkSpec::default(), None);
                made.await.map(drop)
            }
            Self::NetworkOpened | Self::NetworkClosed => {
                let change = |found: &Network| NetworkSpec {
                    egress: self == Self::NetworkOpened,
                    ..found.spec.clone()
                };
                network.edit(&lab, change, None).await.map(drop)
            }
            Self::NetworkDeleted => network.delete(&lab, None, None).await.map(drop),
            Self::InstanceMade => {
                let spec = of_hello(&Kind::Libvirt.called());
                instance.create(&web, spec, None).await.map(drop)
            }
            Self::FarMade => {
                let spec = of_hello(&site.node().name);
                instance.create(&far, spec, None).await.map(drop)
            }
            Self::FarDeleted => instance.delete(&far, None, None).await.map(drop),
            Self::InstanceChanged | Self::InstanceChangedBack => {
                let change = |found: &Instance| InstanceSpec {
                    stop_timeout: u32::from(self == Self::InstanceChanged),
                    ..found.spec.clone()
                };
                instance.edit(&web, change, None).await.map(drop)
            }
            Self::InstanceStopped => instance.stop(&web, false, None).await.map(drop),
            Self::InstanceStarted => instance.start(&web, None).await.map(drop),
            Self::InstanceRebooted => instance.reboot(&web, None).await.map(drop),
            Self::InstanceDeleted => instance.delete(&web, None, None).await.map(drop),
            Self::PeerMade => peer.create(&laptop, of(&[&lab]), None).await.map(drop),
            Self::PeerLetOut => peer.edit(&laptop, |_| of(&[]), None).await.map(drop),
            Self::PeerLetIn => peer.edit(&laptop, |_| of(&[&lab]), None).await.map(drop),
            Self::PeerDeleted => peer.delete(&laptop, None, None).await.map(drop),
            Self::ImageMade => make_image(site, &spare).await,
            Self::ImageTagged => scope.image_tag().set(&tag(), &spare).await.map(drop),
            Self::ImageUntagged => scope.image_tag().delete(&tag()).await,
            Self::ImageDeleted => scope.image().delete(&spare, None, None).await.map(drop),
            Self::ComponentJoined
            | Self::CertificateRenewed
            | Self::ComponentRevoked
            | Self::ComponentForgotten => unreachable!("they are not a project's"),
        }
    }

    /// How far what was asked for is; none where nobody answers.
    pub async fn standing(self, site: &Site<'_>) -> Option<Standing> {
        let scope = &site.scope;
        let gone = |left: usize| match left {
            0 => Standing::Good,
            _ => Standing::Waiting,
        };
        match self {
            Self::NetworkDeleted => Some(gone(scope.network().all().await.ok()?.len())),
            Self::InstanceDeleted | Self::FarDeleted => {
                Some(gone(scope.instance().all().await.ok()?.len()))
            }
            Self::PeerDeleted => Some(gone(scope.peer().all().await.ok()?.len())),
            Self::ImageMade | Self::ImageTagged | Self::ImageUntagged | Self::ImageDeleted => {
                Some(Standing::Good)
            }
            Self::ComponentJoined
            | Self::CertificateRenewed
            | Self::ComponentRevoked
            | Self::ComponentForgotten => newcomer::standing(self, site).await,
            _ => site.standing().await,
        }
    }

    /// What may be done about something that was refused: asking for the same again.
    pub async fn ask_again(site: &Site<'_>) -> Option<()> {
        let scope = &site.scope;
        for found in scope.network().all().await.ok()? {
            let known = scope.network().get(&found.meta.name).await.ok()?;
            let name = known.meta.name;
            let _again = scope.network().update(&name, known.spec, None, None).await;
        }
        for found in scope.instance().all().await.ok()? {
            let known = scope.instance().get(&found.meta.name).await.ok()?;
            let name = known.meta.name;
            let _again = scope.instance().update(&name, known.spec, None, None).await;
        }
        for found in scope.peer().all().await.ok()? {
            let known = scope.peer().get(&found.meta.name).await.ok()?;
            let name = known.meta.name;
            let _again = scope.peer().update(&name, known.spec, None, None).await;
        }
        Some(())
    }
}

/// Uploads bytes that nobody had before, and makes an image of them.
async fn make_image(site: &Site<'_>, name: &Name) -> Result<(), Error> {
    let mut bytes = std::fs::read(programs::hello()).expect("it is just there");
    bytes.extend(format!("{}", site.images).bytes());
    let digest = Digest::of(&bytes);
    let size = bytes.len() as u64;
    let cursor = std::io::Cursor::new(bytes);
    let blob = site.scope.blob();
    blob.upload(&digest, size, cursor, |_| {}).await?;
    let spec = ImageSpec {
        digest,
        initrd: None,
        command_line: TOLD.to_owned(),
    };
    site.scope.image().create(name, spec, None).await.map(drop)
}

fn tag() -> Tag {
    "spare:latest".parse().expect("it is one")
}

fn of_hello(host: &Name) -> InstanceSpec {
    let spec = json!({
        "image": "hello", "memory": "32MiB", "disk": "16MiB", "networks": ["lab"], "host": host,
        "stop_timeout": 0,
    });
    serde_json::from_value(spec).expect("it is one")
}

fn of(networks: &[&Name]) -> PeerSpec {
    PeerSpec {
        public_key: KEY.to_owned(),
        networks: networks.iter().map(|name| (*name).clone()).collect(),
    }
}
