//! What is outside: a place beside the host.

use rhyzome_hostnet::Links;
use rhyzome_hostnet::link::{Change, Route};

use crate::world::{Place, up};

/// A place that a link leads to from the calling thread's namespace: 192.0.2.1 here, 192.0.2.2 there.
pub async fn neighbour(what: &str) -> Place {
    beside(what, "out0", ["192.0.2.1/24", "192.0.2.2/24"]).await
}

/// A place that a link leads to from the calling thread's namespace, with the addresses here and there;
/// there it is eth0.
pub async fn beside(what: &str, link: &str, [here, there]: [&'static str; 2]) -> Place {
    let place = Place::new(what).await;
    let links = Links::open().unwrap();
    links.add_veth(link, "eth0").await.unwrap();
    let eth0 = links.find("eth0").await.unwrap().unwrap();
    let namespace = std::fs::File::open(place.0.path()).unwrap();
    let over = Change {
        namespace: Some(&namespace),
        ..Change::default()
    };
    links.change(eth0.index, over).await.unwrap();
    address(link, here).await;
    place.run(move || address("eth0", there)).await;
    place
}

pub async fn address(link: &str, address: &str) {
    let (links, link) = up(link).await;
    let addresses = [address.parse().unwrap()];
    links.ensure_addresses(link, &addresses).await.unwrap();
}

/// Has the calling thread's namespace reach a prefix through an address behind a link.
pub async fn route(link: &str, to: &str, via: &str) {
    let links = Links::open().unwrap();
    let route = Route {
        to: to.parse().unwrap(),
        via: Some(via.parse().unwrap()),
        link: links.find(link).await.unwrap().unwrap().index,
    };
    links.add_route(route).await.unwrap();
}
