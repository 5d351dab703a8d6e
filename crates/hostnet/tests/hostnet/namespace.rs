//! Namespaces, links, addresses and routes.

use rhyzome_hostnet::link::{Change, Route};
use rhyzome_hostnet::{Links, Namespace, sysctl};

use crate::world::{Place, on_a_host};

#[test]
fn a_namespace_is_made_entered_and_deleted() {
    on_a_host(|| async {
        let place = Place::new("made").await;
        assert!(!place.0.ensure().await.unwrap(), "it is there already");
        assert!(Namespace::list().unwrap().contains(&place.0));
        let inside = place
            .run(|| async { Links::open().unwrap().list().await.unwrap() })
            .await;
        assert_eq!(
            inside
                .iter()
                .map(|link| link.name.as_str())
                .collect::<Vec<_>>(),
            ["lo"]
        );
        place
            .run(|| async { sysctl::ensure("net/ipv4/ip_forward", "1").unwrap() })
            .await;
        assert_eq!(
            sysctl::read("net/ipv4/ip_forward").unwrap().unwrap(),
            "0",
            "the host's is its own"
        );
        place.0.delete().unwrap();
        assert!(!place.0.exists());
        place.0.delete().unwrap();
    });
}

#[test]
fn addresses_and_routes_are_brought_to_what_is_asked() {
    on_a_host(|| async {
        let links = Links::open().unwrap();
        assert!(links.add_veth("a", "b").await.unwrap());
        assert!(!links.add_veth("a", "b").await.unwrap(), "twice is fine");
        let a = links.find("a").await.unwrap().unwrap();
        links
            .change(
                a.index,
                Change {
                    up: Some(true),
                    mtu: Some(1400),
                    alias: Some("x y"),
                    ..Change::default()
                },
            )
            .await
            .unwrap();
        let a = links.find("a").await.unwrap().unwrap();
        assert_eq!(
            (a.up, a.mtu, a.alias.as_deref(), a.kind.as_deref()),
            (true, 1400, Some("x y"), Some("veth"))
        );
        let want = [
            "10.0.0.1/24".parse().unwrap(),
            "fd00::1/64".parse().unwrap(),
        ];
        assert!(links.ensure_addresses(a.index, &want).await.unwrap());
        assert!(!links.ensure_addresses(a.index, &want).await.unwrap());
        assert!(links.ensure_addresses(a.index, &want[1..]).await.unwrap());
        assert!(!links.addresses(a.index).await.unwrap().contains(&want[0]));
        let route = Route {
            to: "10.9.0.7/32".parse().unwrap(),
            via: None,
            link: a.index,
        };
        links.add_route(route).await.unwrap();
        links.add_route(route).await.unwrap();
        assert!(links.routes().await.unwrap().contains(&route));
        assert!(links.delete_route(route).await.unwrap());
        assert!(!links.delete_route(route).await.unwrap());
        assert!(links.delete_named("a").await.unwrap());
        assert!(!links.delete_named("a").await.unwrap());
    });
}
