//! A transaction of a use case: what changes, what has to be told to whom once it is committed.

use std::collections::BTreeSet;
use std::ops::{Deref, DerefMut};

use rhyzome_model::placement::PlacementSpec;
use rhyzome_model::resource::Meta;
use rhyzome_model::{ComponentId, JobId, Name, PlacementId, ProjectId, Timestamp};
use rhyzome_store::Tx;
use rhyzome_store::component;
use rhyzome_store::event::{self, NewEvent};
use rhyzome_store::idempotency;
use rhyzome_store::job::{self, Verb};
use rhyzome_store::placement::{self, Row, Set, Wanted};
use rhyzome_store::wake::Wake;
use uuid::Uuid;

use crate::step::Step;
use crate::{Core, Result, audit, session};

/// Changing a spec, enqueueing its jobs and telling of it are one of these.
pub struct Work {
    core: Core,
    tx: Tx,
    pub now: Timestamp,
    wake: BTreeSet<ComponentId>,
    /// What those wait for news of who are waiting.
    news: BTreeSet<Uuid>,
    /// What it is about: the first that it tells of.
    about: Option<idempotency::Subject>,
    /// Whether somebody may be allowed less by it.
    takes_rights: bool,
    /// What the audit log will say of it.
    pub(crate) audit: audit::Draft,
}

/// What an event is about.
pub struct Subject<'a> {
    pub project: Option<(ProjectId, &'a Name)>,
    pub kind: &'a str,
    pub id: Uuid,
    pub name: &'a str,
}

/// The name of the project that a resource belongs to.
pub fn project_of(meta: &Meta) -> Name {
    meta.project.clone().unwrap_or_else(Name::default_project)
}

impl Core {
    pub(crate) async fn begin(&self) -> Result<Work> {
        let tx = self.store.write().await?;
        Ok(Work {
            core: self.clone(),
            tx,
            now: self.now(),
            wake: BTreeSet::new(),
            news: BTreeSet::new(),
            about: None,
            takes_rights: false,
            audit: audit::Draft::default(),
        })
    }
}

/// Reaches a step at which a test may hold this and end it; nothing else can go wrong there that the
/// database does not make go wrong.
pub(crate) fn hold(step: impl rhyzome_fault::Step) {
    let _held = rhyzome_fault::reach(step);
}

impl Work {
    pub fn core(&self) -> &Core {
        &self.core
    }

    /// Commits, then wakes who has something to do.
    pub async fn commit(mut self) -> Result<()> {
        for component in &self.wake {
            self.tx.notify(Wake::Component(*component)).await?;
        }
        self.tx.notify(Wake::Events).await?;
        if let (Some(request), Some(about)) = (crate::idempotency::current(), &self.about) {
            idempotency::changed(&mut self.tx, &request, about, self.now).await?;
        }
        let told = self
            .audit
            .append(&self.core, &mut self.tx, self.now)
            .await?;
        hold(Step::Commit);
        self.tx.commit().await?;
        hold(Step::Committed);
        for component in self.wake {
            self.core.wake(component);
        }
        self.core.news.tell(&self.news);
        self.core.announce_events();
        if told {
            self.core.audit.wake();
        }
        if self.takes_rights {
            self.core.announce_rights();
        }
        Ok(())
    }

    /// Has all who are told something for long asked again, once this is committed, whether they may still.
    pub fn takes_rights(&mut self) {
        self.takes_rights = true;
    }

    pub async fn event(&mut self, subject: &Subject<'_>, what: &str, message: &str) -> Result<()> {
        self.news_of(subject.id);
        self.about.get_or_insert_with(|| idempotency::Subject {
            project: subject.project.map(|(_, name)| name.clone()),
            kind: subject.kind.to_owned(),
            name: subject.name.to_owned(),
        });
        self.audit.about(subject);
        let event = NewEvent {
            project: subject.project,
            resource_kind: subject.kind,
            resource_id: subject.id,
            resource_name: subject.name,
            what,
            message,
        };
        Ok(event::insert(&mut self.tx, &event, self.now).await?)
    }

    /// Tells of a resource of a project.
    pub async fn tell(
        &mut self,
        (project, kind): (ProjectId, &str),
        meta: &Meta,
        what: &str,
        message: &str,
    ) -> Result<()> {
        let name = project_of(meta);
        let subject = Subject {
            project: Some((project, &name)),
            kind,
            id: meta.id,
            name: meta.name.as_str(),
        };
        self.event(&subject, what, message).await
    }

    /// Wants something kept on a component, with a job if that is a change.
    pub async fn want(
        &mut self,
        project: ProjectId,
        component: ComponentId,
        resource_name: &str,
        spec: &PlacementSpec,
    ) -> Result<PlacementId> {
        let id = PlacementId(self.core.uuid());
        let wanted = Wanted {
            id,
            project,
            component,
            resource_name,
            spec,
        };
        let set = placement::set(&mut self.tx, &wanted, self.now).await?;
        if let Set::Changed { id, .. } = set {
            self.enqueue(id, component, &Verb::Ensure).await?;
        }
        Ok(set.id())
    }

    /// Wants a placement gone. What is on its way already stays on its way; what is on a revoked
    /// component counts as gone, since nobody will ever come to remove it.
    pub async fn unwant(&mut self, row: &Row) -> Result<()> {
        if component::is_revoked(&mut self.tx, row.component).await? {
            // What goes with its last placement may let go of others.
            return Box::pin(session::gone(self, row)).await;
        }
        if row.wanted {
            placement::unwant(&mut self.tx, row.id, self.now).await?;
            self.enqueue(row.id, row.component, &Verb::Remove).await?;
        }
        Ok(())
    }

    pub async fn enqueue(
        &mut self,
        placement: PlacementId,
        component: ComponentId,
        verb: &Verb,
    ) -> Result<JobId> {
        let id = JobId(self.core.uuid());
        let cause = self.audit.enqueued(&self.core, id);
        job::enqueue(&mut self.tx, id, (placement, verb), cause, self.now).await?;
        self.wake.insert(component);
        Ok(id)
    }

    /// Wakes the components whose jobs may go on after a change of a placement.
    pub async fn wake_neighbours(&mut self, placement: PlacementId) -> Result<()> {
        let neighbours = placement::neighbours(&mut self.tx, placement).await?;
        self.wake.extend(neighbours);
        Ok(())
    }

    /// There will be news of a resource or a job: who waits for it looks again.
    pub fn news_of(&mut self, id: Uuid) {
        self.news.insert(id);
    }

    pub fn wake(&mut self, component: ComponentId) {
        self.wake.insert(component);
    }
}

impl Deref for Work {
    type Target = Tx;
    fn deref(&self) -> &Tx {
        &self.tx
    }
}

impl DerefMut for Work {
    fn deref_mut(&mut self) -> &mut Tx {
        &mut self.tx
    }
}
