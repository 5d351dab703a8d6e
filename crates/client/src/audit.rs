//! The audit log, of a project or of the site: read, followed, and verified here, so that nobody has to take
//! the core's word for it.

use std::collections::VecDeque;

use rhyzome_model::audit::{AuditChain, AuditEntry, Mark, Verification, Verifier};
use rhyzome_wire::Page;

use crate::{Client, Error};

/// How many entries a page has.
const PAGE: u32 = 1000;
/// How often a chain is read again because entries of it were dropped for their age meanwhile.
const TRIES: usize = 3;

#[derive(Clone)]
pub struct Audit {
    client: Client,
    path: String,
    /// Of the site's, the id of a project whose chain it is instead.
    chain: Option<String>,
}

impl Audit {
    pub(crate) fn new(client: Client, path: String) -> Self {
        Self {
            client,
            path,
            chain: None,
        }
    }

    /// The chain of a project by its id, which may be gone; of the site's audit log alone.
    #[must_use]
    pub fn of_chain(self, id: &str) -> Self {
        Self {
            chain: Some(id.to_owned()),
            ..self
        }
    }

    /// One page of entries: what is sealed in its order, and behind it what is not yet.
    pub async fn list(&self, limit: u32, after: Option<&str>) -> Result<Page<AuditEntry>, Error> {
        let call = self.client.get(&self.path).query("limit", limit);
        let call = call
            .query_if("after", after)
            .query_if("chain", self.chain.as_deref());
        call.send().await?.json()
    }

    /// Where the chain begins and ends.
    pub async fn chain(&self) -> Result<AuditChain, Error> {
        let call = self.client.get(&format!("{}/chain", self.path));
        let call = call.query_if("chain", self.chain.as_deref());
        call.send().await?.json()
    }

    /// All chains of the site; of the site's audit log alone.
    pub async fn chains(&self, limit: u32, after: Option<&str>) -> Result<Page<AuditChain>, Error> {
        let call = self.client.get(&format!("{}/chains", self.path));
        let call = call.query("limit", limit).query_if("after", after);
        call.send().await?.json()
    }

    /// All entries behind a number, page by page as they are taken.
    pub fn entries(&self, after: Option<&str>) -> Entries {
        Entries {
            audit: self.clone(),
            next: Some(after.map(str::to_owned)),
            ready: VecDeque::new(),
        }
    }

    /// Reads the whole chain and computes it anew, here. `known` is what was seen the last time.
    pub async fn verify(&self, known: Option<Mark>) -> Result<Verification, Error> {
        let mut tries = 0;
        loop {
            tries += 1;
            let chain = self.chain().await?;
            let checkpoint = chain.checkpoint;
            let mut verifier = Verifier::new(chain, known, false);
            let mut entries = self.entries(None);
            while let Some(entry) = entries.next().await? {
                verifier.see(&entry);
            }
            let found = verifier.end();
            // What was dropped since the chain was read would look as if somebody had removed it.
            if found.good || tries == TRIES || self.chain().await?.checkpoint == checkpoint {
                return Ok(found);
            }
        }
    }

    /// What the core itself finds.
    pub async fn verified_by_core(&self, known: Option<Mark>) -> Result<Verification, Error> {
        let call = self.client.get(&format!("{}/verification", self.path));
        let call = call
            .query_if("known", known)
            .query_if("chain", self.chain.as_deref());
        call.send().await?.json()
    }
}

/// Entries, page by page.
pub struct Entries {
    audit: Audit,
    /// Where the next page begins; none behind the last one.
    next: Option<Option<String>>,
    ready: VecDeque<AuditEntry>,
}

impl Entries {
    pub async fn next(&mut self) -> Result<Option<AuditEntry>, Error> {
        loop {
            if let Some(entry) = self.ready.pop_front() {
                return Ok(Some(entry));
            }
            let Some(after) = self.next.take() else {
                return Ok(None);
            };
            let page = self.audit.list(PAGE, after.as_deref()).await?;
            self.next = page.next.map(Some);
            self.ready = page.items.into();
        }
    }
}
