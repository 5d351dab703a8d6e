//! The thinnest path through the whole system.

use rhyzome_end_to_end::operator::{READY, name};
use rhyzome_end_to_end::world::Kind;
use rhyzome_end_to_end::{Operator, Tunnelled, World};
use rhyzome_model::instance::InstanceSpec;
use rhyzome_model::network::NetworkSpec;

#[test]
fn a_member_reaches_an_instance_through_a_tunnel() {
    World::run(async |world| {
        world.start_core();
        let operator = Operator::of(world).await;
        world.say("the core answers");
        operator.add_component(world, Kind::Linux).await;
        operator.add_component(world, Kind::Libvirt).await;
        world.say("both components are connected");
        let project = name("alpha");
        let scope = operator.add_project(&project).await;
        let (lab, web) = (name("lab"), name("web"));
        let network = scope
            .network()
            .create(&lab, NetworkSpec::default(), Some(READY))
            .await
            .unwrap();
        world.say(&format!("network: {:?}", network.status));
        let spec: InstanceSpec = serde_json::from_value(serde_json::json!({
            "image": "hello", "memory": "32MiB", "networks": ["lab"],
        }))
        .unwrap();
        let instance = scope
            .instance()
            .create(&web, spec, Some(READY))
            .await
            .unwrap();
        world.say(&format!("instance: {:?}", instance.status));
        let config = operator.add_peer(&project, "laptop", &[&lab]);
        let tunnel = Tunnelled::start(&world.member, &config);
        let page = tunnel
            .ask(instance.status.interfaces[0].ipv4)
            .await
            .unwrap();
        world.say(&format!("{page:?}"));
        assert_eq!(page.hostname, "web");
    });
}
