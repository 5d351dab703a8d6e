//! People.

use rhyzome_model::role::Role;
use rhyzome_model::user::{User, UserSpec};
use rhyzome_model::{Name, Timestamp, UserId};

use crate::column::Columns;
use crate::project::meta;
use crate::statement::query;
use crate::{After, Conn, Result, Tx};

/// Somebody who is new.
pub struct NewUser<'a> {
    pub id: UserId,
    pub name: &'a Name,
    /// The issuer, and what it calls them; none for people of the site's own.
    pub subject: Option<(&'a str, &'a str)>,
    pub display_name: &'a str,
}

/// Without what they are in projects.
fn read(c: &Columns<'_>) -> Result<User> {
    let disabled_at = c.maybe_time("disabled_at")?;
    Ok(User {
        meta: meta(c, None)?,
        spec: UserSpec {
            disabled: disabled_at.is_some(),
        },
        display_name: c.string("display_name")?,
        issuer: c.maybe_string("issuer")?,
        site_role: c.maybe_text("site_role")?,
        last_login_at: c.maybe_time("last_login_at")?,
        projects: Vec::new(),
        revocations: Vec::new(),
    })
}

pub async fn insert(tx: &mut Tx, user: &NewUser<'_>, now: Timestamp) -> Result<()> {
    query!(
        "INSERT INTO users (id, name, issuer, subject, display_name, generation, created_at, updated_at) \
         VALUES ($1, $2, $3, $4, $5, 1, $6, $6)",
    )
    .bind(user.id.to_string())
    .bind(user.name.as_str())
    .bind(user.subject.map(|(issuer, _)| issuer))
    .bind(user.subject.map(|(_, subject)| subject))
    .bind(user.display_name)
    .bind(now.as_millis())
    .run(tx, "insert a user")
    .await
    .map(drop)
}

pub async fn get(conn: &mut Conn, name: &Name) -> Result<Option<User>> {
    query!("SELECT * FROM users WHERE name = $1")
        .bind(name.as_str())
        .row(conn, "read a user", read)
        .await
}

pub async fn by_id(conn: &mut Conn, id: UserId) -> Result<Option<User>> {
    query!("SELECT * FROM users WHERE id = $1")
        .bind(id.to_string())
        .row(conn, "read a user", read)
        .await
}

/// The one whom an issuer calls so.
pub async fn by_subject(conn: &mut Conn, issuer: &str, subject: &str) -> Result<Option<User>> {
    query!("SELECT * FROM users WHERE issuer = $1 AND subject = $2")
        .bind(issuer)
        .bind(subject)
        .row(conn, "look a user up", read)
        .await
}

pub async fn list(conn: &mut Conn, after: &After) -> Result<Vec<User>> {
    query!("SELECT * FROM users WHERE name > $1 ORDER BY name LIMIT $2")
        .bind(after.name.as_str())
        .bind(after.limit)
        .rows(conn, "list users", read)
        .await
}

/// Those of people that are a name, or begin with it and a dash: to find one that nobody has.
pub async fn names_like(conn: &mut Conn, name: &Name) -> Result<Vec<Name>> {
    query!("SELECT name FROM users WHERE name = $1 OR name LIKE $2")
        .bind(name.as_str())
        .bind(format!("{name}-%"))
        .rows(conn, "look for a free name", |c| c.text("name"))
        .await
}

/// Notes a login, and what the issuer says of who logged in.
pub async fn logged_in(
    tx: &mut Tx,
    id: UserId,
    display_name: &str,
    site_role: Option<Role>,
    now: Timestamp,
) -> Result<()> {
    query!("UPDATE users SET display_name = $1, site_role = $2, last_login_at = $3 WHERE id = $4")
        .bind(display_name)
        .bind(site_role.map(Role::as_str))
        .bind(now.as_millis())
        .bind(id.to_string())
        .run(tx, "note a login")
        .await
        .map(drop)
}

/// Keeps somebody out, or lets them in again.
pub async fn set_disabled(tx: &mut Tx, id: UserId, disabled: bool, now: Timestamp) -> Result<()> {
    query!(
        "UPDATE users SET disabled_at = $1, generation = generation + 1, updated_at = $2 WHERE id = $3"
    )
    .bind(disabled.then_some(now.as_millis()))
    .bind(now.as_millis())
    .bind(id.to_string())
    .run(tx, "disable or enable a user")
    .await
    .map(drop)
}

/// Forgets somebody who is in no project and has no session.
pub async fn delete(tx: &mut Tx, id: UserId) -> Result<()> {
    query!("DELETE FROM users WHERE id = $1")
        .bind(id.to_string())
        .run(tx, "delete a user")
        .await
        .map(drop)
}
