//! What guests are told: SSH keys, user data, their interfaces.

use rhyzome_app::{Error, instance, ssh_key};
use rhyzome_model::instance::{InstancePlacement, InstanceSpec, MetadataAccess};
use rhyzome_model::placement::PlacementSpec;
use rhyzome_model::resource::Instance;
use rhyzome_model::ssh_key::SshKeySpec;
use rhyzome_model::user_data::UserData;
use rhyzome_model::{Name, ProjectId};
use rhyzome_store::placement;

use super::site::{Site, name, spec};

const ANN: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f ann";
const BEN: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP8BAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f ben";

impl Site {
    async fn key(&self, called: &str, line: &str) {
        let spec = SshKeySpec {
            public_key: line.to_owned(),
        };
        ssh_key::create(&self.core, &self.admin, &self.default, name(called), spec)
            .await
            .expect("a key");
    }

    async fn forget_key(&self, called: &str) {
        ssh_key::delete(&self.core, &self.admin, &self.default, &name(called), None)
            .await
            .expect("gone");
    }

    async fn make(&self, called: &str, spec: InstanceSpec) -> Result<Instance, Error> {
        instance::create(&self.core, &self.admin, &self.default, name(called), spec).await
    }

    async fn set(&self, called: &str, spec: InstanceSpec) -> Result<Instance, Error> {
        let called = name(called);
        instance::update(&self.core, &self.admin, &self.default, &called, spec, None).await
    }

    /// What the hypervisor is told of an instance.
    async fn told(&self, instance: &Instance) -> InstancePlacement {
        let mut conn = self.core.store.read().await.expect("a connection");
        let rows = placement::of_resource(&mut conn, instance.meta.id)
            .await
            .expect("rows");
        match rows[0].spec.clone() {
            Some(PlacementSpec::Instance(told)) => *told,
            other => panic!("an instance: {other:?}"),
        }
    }
}

fn keys(instance: &Instance) -> Vec<&str> {
    let names = instance
        .spec
        .ssh_keys
        .as_deref()
        .expect("they are returned");
    names.iter().map(Name::as_str).collect()
}

#[tokio::test]
async fn an_instance_has_all_keys_of_its_project_or_those_it_asks_for() {
    let site = Site::new().await;
    site.image().await;
    site.key("ann", ANN).await;
    site.key("ben", BEN).await;
    let all = site.make("all", spec(&[])).await.expect("made");
    assert_eq!(keys(&all), ["ann", "ben"]);
    assert_eq!(site.told(&all).await.guest.ssh_keys, [ANN, BEN]);
    let asks = |names: &[&str]| InstanceSpec {
        ssh_keys: Some(names.iter().map(|text| name(text)).collect()),
        ..spec(&[])
    };
    let one = site.make("one", asks(&["ben"])).await.expect("made");
    assert_eq!(site.told(&one).await.guest.ssh_keys, [BEN]);
    let none = site.make("none", asks(&[])).await.expect("made");
    assert!(site.told(&none).await.guest.ssh_keys.is_empty());
    let error = site
        .make("odd", asks(&["eve"]))
        .await
        .expect_err("no such key");
    assert_eq!(error.field(), Some("spec.ssh_keys"));
    assert_eq!(error.public(), "there is no SSH key eve");
    let error = site
        .make("odd", asks(&["ann", "ann"]))
        .await
        .expect_err("twice");
    assert_eq!(error.public(), "the SSH key ann is named twice");
}

#[tokio::test]
async fn a_key_that_the_project_deletes_or_replaces_stays_with_its_instances_until_they_are_set_anew()
 {
    let site = Site::new().await;
    site.image().await;
    site.key("ann", ANN).await;
    let made = site.make("web", spec(&[])).await.expect("made");
    site.forget_key("ann").await;
    // Neither a start nor an update that leaves the keys out touches them.
    instance::start(&site.core, &site.admin, &site.default, &name("web"))
        .await
        .expect("asked");
    let same = site.set("web", spec(&[])).await.expect("the same");
    assert_eq!(same.meta.generation, made.meta.generation);
    assert_eq!(site.told(&same).await.guest.ssh_keys, [ANN]);
    // What an instance has it may be asked to keep, and a new key of that name is taken when asked for.
    let kept = site.set("web", made.spec.clone()).await.expect("kept");
    assert_eq!(kept.meta.generation, made.meta.generation);
    site.key("ann", BEN).await;
    let renewed = site.set("web", made.spec.clone()).await.expect("renewed");
    assert_eq!(site.told(&renewed).await.guest.ssh_keys, [BEN]);
    assert_eq!(renewed.meta.generation, made.meta.generation + 1);
}

#[tokio::test]
async fn user_data_reaches_the_host_and_is_not_in_lists() {
    let site = Site::new().await;
    site.image().await;
    site.network("lab").await;
    let user_data = Some(UserData::new("#cloud-config\nhostname: x\n"));
    let wanted = InstanceSpec {
        user_data: user_data.clone(),
        metadata: MetadataAccess::TokenOptional,
        ..spec(&["lab"])
    };
    let made = site.make("web", wanted.clone()).await.expect("made");
    assert_eq!(made.spec.user_data, user_data);
    let told = site.told(&made).await;
    assert_eq!(told.guest.user_data, user_data);
    assert_eq!(told.guest.metadata, MetadataAccess::TokenOptional);
    assert_eq!(told.guest.fqdn, "web.lab.default.rhyzome.internal");
    let interface = &told.interfaces[0];
    assert_eq!(interface.domain, "lab.default.rhyzome.internal");
    assert!(
        interface.subnet4.contains(&interface.ipv4)
            && interface.subnet4.contains(&interface.gateway4())
    );
    assert!(
        interface.subnet6.contains(&interface.ipv6)
            && interface.subnet6.contains(&interface.gateway6())
    );

    let mut conn = site.core.store.read().await.expect("a connection");
    let project = rhyzome_store::project::get(&mut conn, &site.default).await;
    let project = ProjectId(project.expect("a project").expect("there").meta.id);
    let after = rhyzome_store::After {
        limit: 10,
        name: String::new(),
    };
    let rows = rhyzome_store::instance::list(&mut conn, project, &after)
        .await
        .expect("rows");
    assert_eq!(rows[0].spec.user_data, None);
    drop(conn);

    let without = InstanceSpec {
        user_data: None,
        ..wanted
    };
    let changed = site.set("web", without).await.expect("changed");
    assert_eq!(changed.spec.user_data, None);
    assert_eq!(site.told(&changed).await.guest.user_data, None);
}

#[tokio::test]
async fn user_data_that_nobody_could_read_is_refused_with_its_line() {
    let site = Site::new().await;
    site.image().await;
    let wanted = InstanceSpec {
        user_data: Some(UserData::new(
            "#cloud-config\nusers:\n  - name: ann\n   - b\n",
        )),
        ..spec(&[])
    };
    let error = site.make("web", wanted).await.expect_err("no YAML");
    assert_eq!(error.field(), Some("spec.user_data"));
    assert!(error.public().contains("in line 4"), "{}", error.public());
}
