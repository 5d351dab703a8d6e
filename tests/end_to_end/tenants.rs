//! Two projects with two networks each, with two instances each: the same names in both, and even the
//! same prefixes for the first network.

use std::net::IpAddr;

use rhyzome_client::Scope;
use rhyzome_end_to_end::operator::{ASKS, READY, TOLD, name};
use rhyzome_end_to_end::page::Page;
use rhyzome_end_to_end::{Operator, World};
use rhyzome_model::Name;
use rhyzome_model::instance::{InstanceSpec, InstanceState};
use rhyzome_model::network::NetworkSpec;
use rhyzome_model::resource::{Instance, Network};
use rhyzome_model::status::Phase;

pub struct Tenant {
    pub project: Name,
    pub scope: Scope,
    pub networks: Vec<Inhabited>,
}

/// A network with its instances.
pub struct Inhabited {
    pub network: Network,
    pub instances: Vec<Instance>,
}

impl Inhabited {
    pub fn name(&self) -> &Name {
        &self.network.meta.name
    }

    /// The addresses of its instances.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.instances.iter().flat_map(addresses).collect()
    }
}

pub fn addresses(instance: &Instance) -> [IpAddr; 2] {
    let interface = &instance.status.interfaces[0];
    [interface.ipv4.into(), interface.ipv6.into()]
}

pub fn spec(network: &str, command_line: &str) -> InstanceSpec {
    let spec = serde_json::json!({
        "image": "hello", "memory": "32MiB", "networks": [network], "command_line": command_line,
    });
    serde_json::from_value(spec).unwrap()
}

/// Makes all of it, all at once, and waits until all is ready.
pub async fn settle(world: &World, operator: &Operator) -> Vec<Tenant> {
    let mut tenants = Vec::new();
    let mut labs = NetworkSpec::default();
    for project in ["alpha", "beta"] {
        let project = name(project);
        let scope = operator.add_project(&project).await;
        for network in ["lab", "attic"] {
            let wanted = match network {
                "lab" => labs.clone(),
                _ => NetworkSpec::default(),
            };
            let made = scope.network().create(&name(network), wanted, None).await;
            let made = made.unwrap();
            if network == "lab" {
                labs.ipv4 = Some(made.status.ipv4);
                labs.ipv6 = Some(made.status.ipv6);
            }
            for (instance, line) in [("web", TOLD), ("db", ASKS)] {
                let instance = name(&format!("{instance}-{network}"));
                scope
                    .instance()
                    .create(&instance, spec(network, line), None)
                    .await
                    .unwrap();
            }
        }
        tenants.push(Tenant {
            project,
            scope,
            networks: Vec::new(),
        });
    }
    for tenant in &mut tenants {
        for network in ["lab", "attic"] {
            let ready = tenant
                .scope
                .network()
                .get_tagged(&name(network), Some(READY))
                .await
                .unwrap();
            let mut inhabited = Inhabited {
                network: ready.value,
                instances: Vec::new(),
            };
            assert_eq!(
                inhabited.network.status.phase,
                Phase::Ready,
                "{:#?}",
                inhabited.network
            );
            for instance in ["web", "db"] {
                let instance = name(&format!("{instance}-{network}"));
                inhabited
                    .instances
                    .push(running(&tenant.scope, &instance).await);
            }
            tenant.networks.push(inhabited);
        }
        world.say(&format!(
            "the project {} has what it asked for",
            tenant.project
        ));
    }
    tenants
}

/// Waits until an instance is ready, and makes sure that it runs.
pub async fn running(scope: &Scope, instance: &Name) -> Instance {
    let ready = scope
        .instance()
        .get_tagged(instance, Some(READY))
        .await
        .unwrap()
        .value;
    assert_eq!(ready.status.phase, Phase::Ready, "{ready:#?}");
    let observed = ready.status.observed.as_ref().unwrap();
    assert_eq!(observed.state, InstanceState::Running, "{ready:#?}");
    ready
}

/// Whether a page is that of an instance, and says what the core allocated.
pub fn assert_is(page: &Page, instance: &Instance, network: &Network) {
    let interface = &instance.status.interfaces[0];
    assert_eq!(page.hostname, instance.meta.name.as_str());
    assert_eq!(page.network.as_deref(), Some(network.meta.name.as_str()));
    assert_eq!(page.mac, interface.mac.to_string());
    let ipv4 = format!("{}/{}", interface.ipv4, network.status.ipv4.prefix_len());
    let ipv6 = format!("{}/{}", interface.ipv6, network.status.ipv6.prefix_len());
    for address in [ipv4, ipv6] {
        assert!(
            page.addresses.contains(&address),
            "no {address} in {page:?}"
        );
    }
}
