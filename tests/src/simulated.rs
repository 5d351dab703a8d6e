//! A hypervisor that is not there: a real component with a real session, whose driver only remembers. It can carry VLANs,
//! on a machine whose kernel need not.

use rhyzome_component::fake::{FakeDriver, Options};
use rhyzome_component::jobs::JobsConfig;
use rhyzome_component::{Component, Setup, join};
use rhyzome_model::Name;
use rhyzome_model::component::{ComponentKind, HostFacts, Trunk};
use rhyzome_model::segment::Segmentation;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::Operator;
use crate::operator::name;
use crate::world::{CORE, CORE_PORT, World};

pub struct Simulated {
    pub name: Name,
    running: JoinHandle<()>,
}

impl Simulated {
    /// One that has joined, in this process.
    ///
    /// # Panics
    /// Where it is not taken.
    pub async fn hypervisor(world: &World, operator: &Operator) -> Self {
        let name = name("simulated");
        let kind = ComponentKind::Libvirt;
        let (state_dir, core) = (
            world.path("simulated"),
            format!("https://{CORE}:{CORE_PORT}"),
        );
        let words = ["component", "token", "--quiet", "--kind", kind.as_str()];
        let words: Vec<&str> = words.into_iter().chain(["--name", name.as_str()]).collect();
        let token = operator.rhyzome(&words);
        let request = join::Request {
            core: &core,
            token: token.trim(),
            state_dir: &state_dir,
            kind,
            name: Some(&name),
        };
        join::join(request).await.expect("its token is good");
        let setup = Setup {
            state_dir,
            core: None,
            software_version: env!("CARGO_PKG_VERSION").to_owned(),
            jobs: JobsConfig::default(),
        };
        let component = Component::open(setup).expect("it has just joined");
        let options = Options::default();
        let facts = HostFacts {
            segmentations: vec![Segmentation::Vlan],
            trunk: Some(Trunk {
                device: "trunk".to_owned(),
                mtu: 1500,
            }),
            ..options.facts
        };
        let driver = FakeDriver::libvirt(Options { facts, ..options });
        let driver = driver.expect("it keeps nothing on disk");
        let running = tokio::spawn(component.run(driver, CancellationToken::new()));
        operator.connected(&name).await;
        Self { name, running }
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.running.abort();
    }
}
