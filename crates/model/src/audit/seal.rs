//! How an entry is sealed: SHA-256 over the hash of the entry before it, its number, and its fields in a form
//! of their own, in which each is behind its length. JSON would not do: it can be written in many ways.

use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::AuditEntry;
use crate::Digest;

/// What begins each hash; another form would begin otherwise.
const FORM: &str = "rhyzome audit entry 1";

/// What stands before a chain's first entry, so that no entry of one chain is at home in another.
pub fn beginning(chain: &str) -> Digest {
    let mut hash = Sha256::new();
    text(&mut hash, "rhyzome audit chain 1");
    text(&mut hash, chain);
    Digest::from_bytes(hash.finalize().into())
}

/// The hash of an entry at its place, behind the one with this hash. Its own seal is not looked at.
pub fn seal(previous: &Digest, number: u64, entry: &AuditEntry) -> Digest {
    let mut hash = Sha256::new();
    text(&mut hash, FORM);
    hash.update(previous.as_bytes());
    hash.update(number.to_be_bytes());
    fields(&mut hash, entry);
    Digest::from_bytes(hash.finalize().into())
}

fn fields(hash: &mut Sha256, entry: &AuditEntry) {
    let AuditEntry {
        id,
        time,
        actor,
        from,
        request_id,
        operation,
        project,
        resource,
        result,
        reason,
        count,
        since,
        jobs,
        cause,
        seal: _,
    } = entry;
    hash.update(id.as_bytes());
    hash.update(time.as_millis().to_be_bytes());
    text(hash, actor.kind.as_str());
    maybe_id(hash, actor.id);
    text(hash, &actor.name);
    maybe_id(hash, actor.person.map(|person| person.0));
    maybe(hash, from.as_deref());
    maybe(hash, request_id.as_deref());
    text(hash, operation);
    maybe(hash, project.as_ref().map(crate::Name::as_str));
    match resource {
        None => hash.update([0]),
        Some(resource) => {
            hash.update([1]);
            text(hash, &resource.kind);
            maybe_id(hash, resource.id);
            text(hash, &resource.name);
        }
    }
    text(hash, result.as_str());
    maybe(hash, reason.as_deref());
    hash.update(count.to_be_bytes());
    match since {
        None => hash.update([0]),
        Some(since) => {
            hash.update([1]);
            hash.update(since.as_millis().to_be_bytes());
        }
    }
    hash.update((jobs.len() as u64).to_be_bytes());
    for job in jobs {
        hash.update(job.0.as_bytes());
    }
    maybe_id(hash, *cause);
}

fn text(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text.as_bytes());
}

fn maybe(hash: &mut Sha256, value: Option<&str>) {
    match value {
        None => hash.update([0]),
        Some(value) => {
            hash.update([1]);
            text(hash, value);
        }
    }
}

fn maybe_id(hash: &mut Sha256, id: Option<Uuid>) {
    match id {
        None => hash.update([0]),
        Some(id) => {
            hash.update([1]);
            hash.update(id.as_bytes());
        }
    }
}
