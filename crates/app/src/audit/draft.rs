//! What the audit log will say of a transaction: gathered while it goes on, appended before it commits.

use rhyzome_model::audit::{Actor, ActorKind, AuditEntry, AuditResource, AuditResult};
use rhyzome_model::job::{FailureKind, JobState};
use rhyzome_model::{Digest, JobId, Name, ProjectId, Timestamp};
use rhyzome_store::{Tx, audit, job, project};
use uuid::Uuid;

use super::{entry, request};
use crate::work::Subject;
use crate::{Core, Result};

#[derive(Default)]
pub(crate) struct Draft {
    /// Of the entry, once something refers to it.
    id: Option<Uuid>,
    subject: Option<(Option<(ProjectId, Name)>, AuditResource)>,
    jobs: Vec<JobId>,
    /// Who does it, and what it is, where it is no request.
    by: Option<(Actor, &'static str)>,
    /// Whether it is told in the site's chain, though it is about a project.
    of_site: bool,
    /// Jobs that ended.
    ended: Vec<(String, AuditEntry)>,
}

impl Draft {
    /// What an event is about, the change is about, if it is the first one.
    pub fn about(&mut self, subject: &Subject<'_>) {
        let Subject {
            project,
            kind,
            id,
            name,
        } = *subject;
        self.concerns(project, kind, Some(id), name);
    }

    pub fn concerns(
        &mut self,
        project: Option<(ProjectId, &Name)>,
        kind: &str,
        id: Option<Uuid>,
        name: &str,
    ) {
        self.subject.get_or_insert_with(|| {
            let project = project.map(|(id, name)| (id, name.clone()));
            let resource = AuditResource {
                kind: kind.to_owned(),
                id,
                name: name.to_owned(),
            };
            (project, resource)
        });
    }

    /// It is about bytes of the project that was authorized for.
    pub fn blob(&mut self, digest: Digest) {
        self.concerns(None, "blob", None, &digest.to_string());
    }

    /// Tells of it in the site's chain: the project's goes.
    pub fn of_site(&mut self) {
        self.of_site = true;
    }

    /// It is no request: a component asks, or the core does it by itself.
    pub fn by(&mut self, actor: Actor, operation: &'static str) {
        self.by = Some((actor, operation));
    }

    fn is_told(&self) -> bool {
        self.by.is_some() || request::current().is_some()
    }

    /// A job was enqueued; returns the entry that will tell of what led to it.
    pub fn enqueued(&mut self, core: &Core, job: JobId) -> Option<Uuid> {
        if !self.is_told() {
            return None;
        }
        self.jobs.push(job);
        Some(*self.id.get_or_insert_with(|| core.uuid()))
    }

    /// A job came to its end.
    pub fn ended(
        &mut self,
        core: &Core,
        row: &job::Row,
        state: JobState,
        failure: Option<(FailureKind, &str)>,
        now: Timestamp,
    ) {
        let result = match state {
            JobState::Done => AuditResult::Done,
            JobState::Failed => AuditResult::Failed,
            // It did not come to anything.
            JobState::Superseded | JobState::Queued | JobState::Leased => return,
        };
        let name = row.component_name.as_ref().map(ToString::to_string);
        let actor = Actor {
            kind: ActorKind::Component,
            id: Some(row.component.0),
            name: name.unwrap_or_default(),
            person: None,
        };
        let mut entry = entry(core.uuid(), now, actor, "job_end");
        entry.project = row.project_name.clone();
        entry.resource = Some(AuditResource {
            kind: row.target.kind.to_string(),
            id: Some(row.target.resource),
            name: row.resource_name.clone(),
        });
        entry.result = result;
        // Its words are a component's, and may have anything in them: they are with the job.
        let verb = row.verb.as_str();
        let how = match failure {
            Some((FailureKind::Transient, _)) => ", transient",
            Some((FailureKind::Permanent, _)) => ", permanent",
            Some((FailureKind::Unsupported, _)) => ", unsupported",
            None => "",
        };
        entry.reason = Some(format!("{verb}{how}"));
        entry.jobs = vec![row.id];
        entry.cause = row.cause;
        self.ended.push((audit::chain_of(row.project), entry));
    }

    /// Appends the entries in the transaction; says whether there are any.
    pub async fn append(&mut self, core: &Core, tx: &mut Tx, now: Timestamp) -> Result<bool> {
        let own = self.own(core, tx, now).await?;
        let all: Vec<_> = own
            .into_iter()
            .chain(std::mem::take(&mut self.ended))
            .collect();
        for (chain, entry) in &all {
            audit::append(tx, chain, entry).await?;
        }
        Ok(!all.is_empty())
    }

    /// The entry of the change itself, and its chain.
    async fn own(
        &mut self,
        core: &Core,
        tx: &mut Tx,
        now: Timestamp,
    ) -> Result<Option<(String, AuditEntry)>> {
        let asked = request::current();
        let (actor, operation) = match (self.by.take(), &asked) {
            (Some((actor, operation)), _) => (actor, operation.to_owned()),
            (None, Some(asked)) => (asked.actor(), asked.origin.operation.clone()),
            (None, None) => return Ok(None),
        };
        let id = self.id.unwrap_or_else(|| core.uuid());
        let mut entry = entry(id, now, actor, &operation);
        if let Some(asked) = &asked {
            entry.from = asked.from();
            entry.request_id.clone_from(&asked.origin.request_id);
        }
        let (project, resource) = self.subject.take().unzip();
        entry.resource = resource;
        let noted = asked.as_ref().and_then(|asked| asked.project.get());
        let project = match (project.flatten(), noted) {
            (Some(project), _) => Some(project),
            (None, Some(noted)) => {
                let found = project::get(tx, noted).await?;
                found.map(|found| (ProjectId(found.meta.id), noted.clone()))
            }
            (None, None) => None,
        };
        entry.jobs = std::mem::take(&mut self.jobs);
        let of = project.as_ref().map(|(id, _)| *id);
        entry.project = project.map(|(_, name)| name);
        let chain = audit::chain_of(of.filter(|_| !self.of_site));
        Ok(Some((chain, entry)))
    }
}
