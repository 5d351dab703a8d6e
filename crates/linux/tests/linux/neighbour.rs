//! What is outside: a place beside the host.

use rhyzome_hostnet::Links;
use rhyzome_hostnet::link::Change;

use crate::world::{Place, up};

/// A place that a link leads to from the calling thread's namespace: 192.0.2.1 here, 192.0.2.2 there.
pub async fn neighbour(what: &str) -> Place {
    let place = Place::new(what).await;
    let links = Links::open().unwrap();
    links.add_veth("out0", "eth0").await.unwrap();
    let eth0 = links.find("eth0").await.unwrap().unwrap();
    let namespace = std::fs::File::open(place.0.path()).unwrap();
    let over = Change {
        namespace: Some(&namespace),
        ..Change::default()
    };
    links.change(eth0.index, over).await.unwrap();
    address("out0", "192.0.2.1/24").await;
    place.run(|| address("eth0", "192.0.2.2/24")).await;
    place
}

async fn address(link: &str, address: &str) {
    let (links, link) = up(link).await;
    let addresses = [address.parse().unwrap()];
    links.ensure_addresses(link, &addresses).await.unwrap();
}
