//! Where blobs' bytes are, which of them nobody needs, and what is to be removed.

use rhyzome_model::{Digest, Size, Timestamp};

use crate::column::Columns;
use crate::statement::{gathered, query, sql};
use crate::{Conn, Result, Tx};

/// A blob's bytes in one location.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub digest: Digest,
    pub size: Size,
    pub location: String,
    pub key: String,
    /// What is wrong with them, in a sentence.
    pub damage: Option<String>,
    pub verified_at: Timestamp,
}

fn read(c: &Columns<'_>) -> Result<Place> {
    Ok(Place {
        digest: c.text("digest")?,
        size: Size::bytes(c.integer("size")?),
        location: c.string("location")?,
        key: c.string("blob_key")?,
        damage: c.maybe_string("damage")?,
        verified_at: c.time("verified_at")?,
    })
}

/// All places of a blob, good and damaged.
pub async fn places(conn: &mut Conn, digest: Digest) -> Result<Vec<Place>> {
    query!(
        "SELECT l.*, b.size FROM blob_locations l JOIN blobs b ON b.digest = l.digest \
         WHERE l.digest = $1 ORDER BY l.location",
    )
    .bind(digest.to_string())
    .rows(conn, "list a blob's locations", read)
    .await
}

/// The places that were not looked at since a time, those first that wait longest.
pub async fn unverified(conn: &mut Conn, since: Timestamp, limit: i64) -> Result<Vec<Place>> {
    query!(
        "SELECT l.*, b.size FROM blob_locations l JOIN blobs b ON b.digest = l.digest \
         WHERE l.damage IS NULL AND l.verified_at < $1 ORDER BY l.verified_at LIMIT $2",
    )
    .bind(since.as_millis())
    .bind(limit)
    .rows(conn, "look for blobs to verify", read)
    .await
}

/// Notes where bytes are, in the stead of damaged ones if such are there. False where good ones are
/// there already.
pub async fn put(tx: &mut Tx, place: &Place) -> Result<bool> {
    let changed = query!(
        "INSERT INTO blob_locations (digest, location, blob_key, damage, verified_at) \
         VALUES ($1, $2, $3, NULL, $4) ON CONFLICT (digest, location) DO UPDATE \
         SET blob_key = $3, damage = NULL, verified_at = $4 WHERE blob_locations.damage IS NOT NULL",
    )
    .bind(place.digest.to_string())
    .bind(place.location.as_str())
    .bind(place.key.as_str())
    .bind(place.verified_at.as_millis())
    .run(tx, "note where a blob is")
    .await?;
    Ok(changed > 0)
}

/// Notes that a blob's bytes are in another location now, under the same key.
pub(crate) async fn relocate(tx: &mut Tx, digest: Digest, from: &str, to: &str) -> Result<()> {
    query!("UPDATE blob_locations SET location = $1 WHERE digest = $2 AND location = $3")
        .bind(to)
        .bind(digest.to_string())
        .bind(from)
        .run(tx, "note where a blob is now")
        .await
        .map(drop)
}

/// Notes what was found by reading the bytes under a key. False where they are not there any more.
pub async fn looked_at(
    tx: &mut Tx,
    (location, key): (&str, &str),
    damage: Option<&str>,
    now: Timestamp,
) -> Result<bool> {
    let changed = query!(
        "UPDATE blob_locations SET damage = $1, verified_at = $2 WHERE location = $3 AND blob_key = $4",
    )
    .bind(damage)
    .bind(now.as_millis())
    .bind(location)
    .bind(key)
    .run(tx, "note what a blob is like")
    .await?;
    Ok(changed > 0)
}

/// Says that a blob is asked for, so that its time begins anew if nothing names it.
pub async fn touch(tx: &mut Tx, digest: Digest) -> Result<()> {
    query!("UPDATE blobs SET unused_since = NULL WHERE digest = $1 AND unused_since IS NOT NULL")
        .bind(digest.to_string())
        .run(tx, "note that a blob is asked for")
        .await
        .map(drop)
}

/// Whether a blob was found to be named by nothing.
pub async fn is_unused(conn: &mut Conn, digest: Digest) -> Result<bool> {
    let n =
        query!("SELECT COUNT(*) AS n FROM blobs WHERE digest = $1 AND unused_since IS NOT NULL")
            .bind(digest.to_string())
            .number(conn, "look whether a blob is in use")
            .await?;
    Ok(n > 0)
}

/// Forgets blobs that nothing names since a time, at most so many. Their bytes become garbage.
pub async fn prune(
    tx: &mut Tx,
    before: Timestamp,
    now: Timestamp,
    garbage: impl Fn(&Place) -> String,
) -> Result<()> {
    query!(
        "UPDATE blobs SET unused_since = NULL WHERE unused_since IS NOT NULL AND (EXISTS (SELECT 1 FROM images i WHERE i.digest = blobs.digest) \
         OR EXISTS (SELECT 1 FROM images i WHERE i.initrd = blobs.digest) \
         OR EXISTS (SELECT 1 FROM instances i WHERE i.digest = blobs.digest) \
         OR EXISTS (SELECT 1 FROM instances i WHERE i.initrd = blobs.digest) \
         OR EXISTS (SELECT 1 FROM components c WHERE c.upgrade_digest = blobs.digest))",
    )
    .run(tx, "look for blobs in use")
    .await?;
    query!(
        "UPDATE blobs SET unused_since = $1 WHERE unused_since IS NULL AND NOT (EXISTS (SELECT 1 FROM images i WHERE i.digest = blobs.digest) \
         OR EXISTS (SELECT 1 FROM images i WHERE i.initrd = blobs.digest) \
         OR EXISTS (SELECT 1 FROM instances i WHERE i.digest = blobs.digest) \
         OR EXISTS (SELECT 1 FROM instances i WHERE i.initrd = blobs.digest) \
         OR EXISTS (SELECT 1 FROM components c WHERE c.upgrade_digest = blobs.digest))",
    )
    .bind(now.as_millis())
    .run(tx, "look for unused blobs")
    .await?;
    let unused: Vec<Digest> =
        query!("SELECT digest FROM blobs WHERE unused_since < $1 ORDER BY unused_since LIMIT 100")
            .bind(before.as_millis())
            .rows(tx, "list unused blobs", |c| c.text("digest"))
            .await?;
    for digest in unused {
        for place in places(tx, digest).await? {
            let staged = garbage(&place);
            discard(tx, (&place.location, &place.key), &staged, now).await?;
        }
        for statement in [
            sql!("DELETE FROM blob_locations WHERE digest = $1"),
            sql!("DELETE FROM project_blobs WHERE digest = $1"),
            sql!("DELETE FROM blobs WHERE digest = $1"),
        ] {
            gathered(statement)
                .bind(digest.to_string())
                .run(tx, "forget a blob")
                .await?;
        }
    }
    Ok(())
}

/// Bytes that are to be removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Garbage {
    pub location: String,
    pub key: String,
    /// What their location needs to know of them.
    pub staged: String,
}

/// Notes that what is under a key is to be removed, once this is committed.
pub async fn discard(
    tx: &mut Tx,
    (location, key): (&str, &str),
    staged: &str,
    now: Timestamp,
) -> Result<()> {
    query!(
        "INSERT INTO blob_garbage (location, blob_key, staged, created_at) VALUES ($1, $2, $3, $4) \
         ON CONFLICT (location, blob_key) DO NOTHING",
    )
    .bind(location)
    .bind(key)
    .bind(staged)
    .bind(now.as_millis())
    .run(tx, "note bytes to remove")
    .await
    .map(drop)
}

/// The oldest garbage.
pub async fn garbage(conn: &mut Conn, limit: i64) -> Result<Vec<Garbage>> {
    query!("SELECT * FROM blob_garbage ORDER BY created_at, blob_key LIMIT $1")
        .bind(limit)
        .rows(conn, "list bytes to remove", |c| {
            Ok(Garbage {
                location: c.string("location")?,
                key: c.string("blob_key")?,
                staged: c.string("staged")?,
            })
        })
        .await
}

/// Notes that garbage is gone.
pub async fn removed(tx: &mut Tx, garbage: &Garbage) -> Result<()> {
    query!("DELETE FROM blob_garbage WHERE location = $1 AND blob_key = $2")
        .bind(garbage.location.as_str())
        .bind(garbage.key.as_str())
        .run(tx, "note that bytes are removed")
        .await
        .map(drop)
}
