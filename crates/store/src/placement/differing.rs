//! What of a component is not as wanted.

use rhyzome_model::{ComponentId, Name};

use super::{Row, read};
use crate::statement::query;
use crate::{Conn, Result};

/// A placement that is to be made, changed or removed.
#[derive(Clone, Debug)]
pub struct Differs {
    pub row: Row,
    /// None for what nobody knows.
    pub project: Option<Name>,
    pub network: Option<Name>,
}

/// How many placements of a component are not as wanted.
pub async fn count_differing(conn: &mut Conn, component: ComponentId) -> Result<i64> {
    query!(
        "SELECT COUNT(*) AS n FROM placements \
         WHERE component_id = $1 AND (wanted = 0 OR state <> 'ready')"
    )
    .bind(component.to_string())
    .number(conn, "count what differs on a component")
    .await
}

/// At most so many of them: those that failed first.
pub async fn differing(
    conn: &mut Conn,
    component: ComponentId,
    limit: i64,
) -> Result<Vec<Differs>> {
    query!(select_unspecified!(
        ", (SELECT o.name FROM projects o WHERE o.id = p.project_id) AS project, \
         (SELECT n.name FROM networks n WHERE n.id = p.network_id) AS network",
        "WHERE p.component_id = $1 AND (p.wanted = 0 OR p.state <> 'ready') \
         ORDER BY CASE WHEN p.state = 'failed' THEN 0 ELSE 1 END, p.id LIMIT $2"
    ))
    .bind(component.to_string())
    .bind(limit)
    .rows(conn, "read what differs on a component", |c| {
        Ok(Differs {
            row: read(c)?,
            project: c.maybe_text("project")?,
            network: c.maybe_text("network")?,
        })
    })
    .await
}
