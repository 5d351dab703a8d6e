//! Bridges of the host's own.

use std::net::TcpStream;
use std::time::Duration;

use rhyzome_component::Progress;
use rhyzome_component::driver::Driver;
use rhyzome_model::instance::BridgeInterface;

use crate::isolated::isolated;
use crate::world::{ip, wait_for};

/// As an operator's own router has it: its bridge, where nothing of ours filters.
#[test]
fn an_instance_on_a_bridge_of_the_hosts_own_is_on_it_without_rules() {
    isolated(
        "bridges::an_instance_on_a_bridge_of_the_hosts_own_is_on_it_without_rules",
        |mut world| async move {
            let bridge = "br-site";
            ip(&["link", "add", bridge, "up", "type", "bridge"]);
            ip(&["address", "add", "10.66.0.1/24", "dev", bridge]);
            let mut placement = world.hello();
            world.change(&mut placement, |spec| {
                spec.interfaces.clear();
                spec.command_line = "ip=10.66.0.2/24".to_owned();
                spec.bridges = vec![BridgeInterface {
                    bridge: "uplink".parse().unwrap(),
                    mac: "52:54:00:66:00:02".parse().unwrap(),
                }];
            });
            let driver = world.open().await;
            let refused = driver.ensure(&placement, &Progress::new().0).await;
            let refused = refused.unwrap_err().chain();
            assert!(refused.contains("no bridge uplink"), "{refused}");
            assert!(world.taps().is_empty() && world.processes().is_empty());
            drop(driver);

            let name = "uplink".parse().unwrap();
            world.settings.bridges.insert(name, bridge.to_owned());
            let driver = world.open().await;
            let facts = driver.facts().await.unwrap();
            assert_eq!(facts.bridges, ["uplink".parse().unwrap()]);
            world.change(&mut placement, |_| ());
            world.ensure(&driver, &placement).await;
            assert_eq!(world.taps(), [world.tap(&placement)]);
            assert!(world.rules().await.is_empty());
            wait_for(
                "a page over the bridge",
                Duration::from_secs(20),
                async || TcpStream::connect("10.66.0.2:80").ok(),
            )
            .await;

            let (target, progress) = (placement.reference(), Progress::new().0);
            driver.remove(&target, &progress).await.unwrap();
            assert!(world.processes().is_empty() && world.taps().is_empty());
            assert_eq!(world.links(bridge), [bridge], "it is the operator's");
        },
    );
}
