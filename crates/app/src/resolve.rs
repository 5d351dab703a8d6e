//! From names to rows: what is not there, is on its way out or has changed is refused here.

use std::collections::BTreeMap;

use rhyzome_model::resource::{Component, Meta};
use rhyzome_model::{Name, ProjectId};
use rhyzome_store::{After, Conn, component, network, placement};
use uuid::Uuid;

use crate::{Error, IfMatch, Kind, Listed, PageRequest, Result};

/// The id of a project.
pub async fn project(conn: &mut Conn, name: &Name) -> Result<ProjectId> {
    let found = rhyzome_store::project::get(conn, name).await?;
    let project = found.ok_or_else(|| Error::not_found("project", name))?;
    Ok(ProjectId(project.meta.id))
}

pub async fn component(conn: &mut Conn, name: &Name) -> Result<Component> {
    let found = component::get(conn, name).await?;
    found.ok_or_else(|| Error::not_found("component", name))
}

pub async fn network(conn: &mut Conn, project: ProjectId, name: &Name) -> Result<network::Network> {
    let found = network::get(conn, project, name).await?;
    found.ok_or_else(|| Error::not_found("network", name))
}

/// A network that something is to be put into.
pub async fn usable_network(
    conn: &mut Conn,
    project: ProjectId,
    name: &Name,
) -> Result<network::Network> {
    let network = self::network(conn, project, name)
        .await
        .map_err(|error| match error.kind() {
            Kind::NotFound => Error::invalid("spec.networks", error.public()),
            _ => error,
        })?;
    if network.deleting {
        return Err(Error::invalid(
            "spec.networks",
            format!("the network {name} is being deleted"),
        ));
    }
    Ok(network)
}

/// Refuses if a resource is not at the generation that the caller believes it to be at.
pub fn check_match(meta: &Meta, if_match: IfMatch) -> Result<()> {
    match if_match {
        Some(generation) if generation != meta.generation => Err(Error::new(
            Kind::Changed,
            format!(
                "{} is at generation {} by now, not at {generation}; read it again",
                meta.name, meta.generation
            ),
        )),
        _ => Ok(()),
    }
}

/// One row more than asked for, to see whether there is a next page.
pub fn after(page: &PageRequest) -> After {
    After {
        limit: i64::from(page.limit) + 1,
        name: page.after.clone().unwrap_or_default(),
    }
}

/// Cuts the row that was one too many, and says where the next page begins.
pub fn listed<T>(mut rows: Vec<T>, page: &PageRequest, key: impl Fn(&T) -> String) -> Listed<T> {
    let limit = page.limit as usize;
    if rows.len() <= limit {
        return (rows, None);
    }
    rows.truncate(limit);
    let next = rows.last().map(key);
    (rows, next)
}

/// The placements of a page of resources, by resource.
pub async fn placements(
    conn: &mut Conn,
    listed: placement::Listed,
    project: ProjectId,
    page: &PageRequest,
) -> Result<BTreeMap<Uuid, Vec<placement::Row>>> {
    let mut rows: BTreeMap<Uuid, Vec<placement::Row>> = BTreeMap::new();
    for row in placement::of_page(conn, listed, project, &after(page)).await? {
        rows.entry(row.resource).or_default().push(row);
    }
    Ok(rows)
}
