//! The request that is being done, for whatever is written or refused within it.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};

use rhyzome_model::audit::{Actor, ActorKind};
use rhyzome_model::{Name, SessionId, UserId};

use super::actor;
use super::refusals::Refusal;
use crate::authorize::{Caller, Operation};
use crate::policy::Decision;
use crate::{Core, Error};

/// Where a request comes from, and what it asks for.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    pub from: Option<IpAddr>,
    pub request_id: Option<String>,
    /// The API's name of it.
    pub operation: String,
}

pub(crate) struct Asked {
    core: Core,
    pub origin: Origin,
    /// Who is asking, once that is known.
    pub actor: OnceLock<Actor>,
    /// The project that was authorized for.
    pub project: OnceLock<Name>,
}

impl Asked {
    pub(super) fn actor(&self) -> Actor {
        self.actor.get().cloned().unwrap_or_else(|| Actor {
            kind: ActorKind::Nobody,
            id: None,
            name: String::new(),
            person: None,
        })
    }
}

impl Asked {
    pub(super) fn from(&self) -> Option<String> {
        self.origin.from.map(|from| from.to_canonical().to_string())
    }
}

tokio::task_local! {
    static ASKED: Arc<Asked>;
}

/// Does what a request asks for: what is changed and refused within it is told of with its origin.
pub async fn during<T>(core: &Core, origin: Origin, work: impl Future<Output = T>) -> T {
    let asked = Asked {
        core: core.clone(),
        origin,
        actor: OnceLock::new(),
        project: OnceLock::new(),
    };
    ASKED.scope(Arc::new(asked), work).await
}

/// The same work in a task of its own, still as part of the request that is being done.
pub fn carried<T>(work: impl Future<Output = T>) -> impl Future<Output = T> {
    let asked = current();
    async move {
        match asked {
            Some(asked) => ASKED.scope(asked, work).await,
            None => work.await,
        }
    }
}

pub(super) fn current() -> Option<Arc<Asked>> {
    ASKED.try_with(Arc::clone).ok()
}

/// Says who is asking.
pub fn known(caller: &Caller) {
    if let Some(asked) = current() {
        let _first = asked.actor.set(actor(caller));
    }
}

/// Says who is known from now on, by a session that has just begun.
pub(crate) fn logged_in(name: &Name, person: UserId, session: SessionId) {
    if let Some(asked) = current() {
        let _first = asked.actor.set(Actor {
            kind: ActorKind::Session,
            id: Some(session.0),
            name: format!("@{name}"),
            person: Some(person),
        });
    }
}

/// Notes that nobody knows who is asking.
pub fn unknown(why: &Error) {
    if let Some(asked) = current() {
        asked.refused(None, why.public(), true);
    }
}

/// Notes what was decided about the caller: where it is refused, that, and otherwise the project.
pub(crate) fn decided(operation: Operation, project: Option<&Name>, decision: Decision) {
    let Some(asked) = current() else {
        return;
    };
    match decision {
        Decision::Allowed => {
            if let Some(project) = project {
                let _first = asked.project.set(project.clone());
            }
        }
        Decision::Hidden => {
            let why = format!("{operation:?} needs a role of the project");
            asked.refused(project, &why, true);
        }
        Decision::Lacks(role) => {
            let why = format!("{operation:?} needs the role {role}");
            asked.refused(project, &why, false);
        }
    }
}

impl Asked {
    fn refused(&self, project: Option<&Name>, why: &str, hidden: bool) {
        let refusal = Refusal {
            actor: self.actor(),
            from: self.from(),
            operation: self.origin.operation.clone(),
            project: project.cloned(),
            reason: why.to_owned(),
            hidden,
        };
        let request_id = self.origin.request_id.clone();
        self.core
            .audit
            .refusals
            .count(refusal, request_id, self.core.now());
        self.core.audit.wake();
    }
}
