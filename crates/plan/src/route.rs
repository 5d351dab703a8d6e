//! Which router a network goes to.

use std::collections::BTreeMap;

use rhyzome_model::component::Cordon;
use rhyzome_model::{ComponentId, Name};

use crate::place::{cordoned, missing_label};

/// A network component and what is on it already.
#[derive(Clone, Debug)]
pub struct Router {
    pub id: ComponentId,
    pub name: Name,
    pub connected: bool,
    pub labels: BTreeMap<String, String>,
    pub cordon: Option<Cordon>,
    /// Why this network cannot be on it.
    pub unfit: Option<String>,
    pub networks: u32,
    /// How many endpoints it has UDP ports for.
    pub room: u32,
}

/// Chooses the router with the fewest networks, a connected one before any other, by name among equals.
///
/// # Errors
/// Why each of them cannot be it.
pub fn route(
    require: &BTreeMap<String, String>,
    routers: &[Router],
) -> Result<ComponentId, Vec<(Name, String)>> {
    let fitting = routers
        .iter()
        .filter(|router| objection(require, router).is_none());
    let chosen = fitting.min_by(|a, b| {
        let key = |router: &Router| (!router.connected, router.networks);
        key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
    });
    let why = |router: &Router| {
        let objection = objection(require, router)?;
        Some((router.name.clone(), objection))
    };
    chosen
        .map(|router| router.id)
        .ok_or_else(|| routers.iter().filter_map(why).collect())
}

/// Why a network cannot be on a router.
fn objection(require: &BTreeMap<String, String>, router: &Router) -> Option<String> {
    if let Some(cordon) = &router.cordon {
        return Some(cordoned(cordon));
    }
    if let Some(missing) = missing_label(require, &router.labels) {
        return Some(missing);
    }
    if let Some(why) = &router.unfit {
        return Some(why.clone());
    }
    (router.networks >= router.room)
        .then(|| format!("has all {} of its endpoint ports in use", router.room))
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn router(name: &str, networks: u32) -> Router {
        Router {
            id: ComponentId(Uuid::new_v5(&Uuid::NAMESPACE_OID, name.as_bytes())),
            name: name.parse().expect("a name"),
            connected: true,
            labels: BTreeMap::from([("zone".to_owned(), name.to_owned())]),
            cordon: None,
            unfit: None,
            networks,
            room: 10,
        }
    }

    fn check(require: &[(&str, &str)], routers: &[Router], expect: Result<&str, &[&str]>) {
        let require = require
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect();
        let got = route(&require, routers);
        let got = match &got {
            Ok(id) => Ok(routers
                .iter()
                .find(|r| r.id == *id)
                .expect("one")
                .name
                .as_str()),
            Err(why) => Err(why.iter().map(|(_, why)| why.as_str()).collect::<Vec<_>>()),
        };
        assert_eq!(got, expect.map_err(<[&str]>::to_vec));
    }

    #[test]
    fn the_emptiest_router_that_may_be_it_is_chosen() {
        let away = Router {
            connected: false,
            ..router("a", 0)
        };
        let cordoned = Router {
            cordon: Some(Cordon::default()),
            ..router("d", 0)
        };
        let full = router("e", 10);
        let unfit = Router {
            unfit: Some("has no trunk".to_owned()),
            ..router("f", 0)
        };
        let routers = [away, router("b", 3), router("c", 2), cordoned, full, unfit];
        check(&[], &routers, Ok("c"));
        check(&[("zone", "a")], &routers, Ok("a"));
        check(
            &[("zone", "x")],
            &routers[3..],
            Err(&[
                "is cordoned",
                "zone=x wanted, it has zone=e",
                "zone=x wanted, it has zone=f",
            ]),
        );
        check(
            &[("zone", "e")],
            &routers[4..5],
            Err(&["has all 10 of its endpoint ports in use"]),
        );
        check(&[("zone", "f")], &routers[5..], Err(&["has no trunk"]));
    }
}
