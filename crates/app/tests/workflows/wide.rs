//! A site on several hosts.

use rhyzome_app::{component, instance, session};
use rhyzome_model::component::{ComponentKind, ComponentSpec, Cordon, HostFacts};
use rhyzome_model::instance::InstanceSpec;
use rhyzome_model::job::Job;
use rhyzome_model::{MacAddr, Size};

use super::site::{Component, Site, name, spec, well_done};

/// A site whose router and hypervisors, `h1` and so on, are on hosts of their own.
pub struct Wide {
    pub site: Site,
    pub hosts: Vec<Component>,
}

pub fn facts(number: u8) -> HostFacts {
    HostFacts {
        host: format!("host-{number}"),
        cpus: 4,
        memory: Size::mib(1024),
        endpoint_ports: Some((51820, 51829)),
        mtu: Some(1450),
        tunnel_address: Some([192, 0, 2, number].into()),
        ..HostFacts::default()
    }
}

impl Wide {
    pub async fn new(count: u8) -> Self {
        let mut site = Site::new().await;
        site.image().await;
        site.router.session =
            session::connected(&site.core, site.router.id, &facts(100), "1", None)
                .await
                .expect("a session");
        let cordon = ComponentSpec {
            cordon: Some(Cordon::default()),
            ..ComponentSpec::default()
        };
        component::update(&site.core, &site.admin, &name("node"), cordon, None)
            .await
            .expect("cordoned");
        let mut hosts = Vec::new();
        for number in 1..=count {
            let called = format!("h{number}");
            let facts = facts(number);
            let kind = ComponentKind::Libvirt;
            hosts.push(Component::join(&site.core, kind, &called, &facts).await);
        }
        site.network("lab").await;
        Self { site, hosts }
    }

    pub async fn create(&self, called: &str, host: usize) -> rhyzome_app::Result<String> {
        let on = InstanceSpec {
            host: Some(name(&format!("h{host}"))),
            ..spec(&["lab"])
        };
        self.create_as(called, on).await
    }

    pub async fn create_as(&self, called: &str, spec: InstanceSpec) -> rhyzome_app::Result<String> {
        let (core, admin, project) = (&self.site.core, &self.site.admin, &self.site.default);
        let made = instance::create(core, admin, project, name(called), spec).await?;
        Ok(made.status.host.to_string())
    }

    /// Lets everybody do what there is to do, and gives what each was told: the router first.
    pub async fn settle(&self) -> Vec<Vec<Job>> {
        let everybody: Vec<&Component> =
            [&self.site.router].into_iter().chain(&self.hosts).collect();
        let mut told: Vec<Vec<Job>> = everybody.iter().map(|_| Vec::new()).collect();
        loop {
            let mut busy = false;
            for (component, told) in everybody.iter().zip(&mut told) {
                session::heartbeat(&self.site.core, component.id, component.session)
                    .await
                    .expect("a sign of life");
                for job in component.claim(&self.site.core).await {
                    let done = well_done(&job);
                    component.answer(&self.site.core, &job, &done).await;
                    told.push(job);
                    busy = true;
                }
            }
            if !busy {
                return told;
            }
        }
    }

    pub async fn mac(&self, instance: &str) -> MacAddr {
        self.site
            .show(instance)
            .await
            .expect("it")
            .status
            .interfaces[0]
            .mac
    }

    pub async fn label(&self, host: &str, key: &str, value: &str) {
        let spec = ComponentSpec {
            labels: [(key.to_owned(), value.to_owned())].into(),
            ..ComponentSpec::default()
        };
        component::update(&self.site.core, &self.site.admin, &name(host), spec, None)
            .await
            .expect("labelled");
    }
}
