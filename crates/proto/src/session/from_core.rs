//! Translation of what a core says.

use rhyzome_model::Timestamp;
use rhyzome_model::console::{ConsoleFrom, ConsoleRequest};
use rhyzome_model::job::{Action, Job, Task};
use rhyzome_model::placement::PlacementRef;

use super::{FromCore, GoodbyeReason, Welcome};
use crate::invalid::{Invalid, inner, text};
use crate::pb;
use crate::pb::from_core::Message;

impl From<FromCore> for pb::FromCore {
    fn from(message: FromCore) -> Self {
        let message = match message {
            FromCore::Welcome(welcome) => Message::Welcome(welcome.into()),
            FromCore::Job(job) => Message::Job((*job).into()),
            FromCore::OutcomeRecorded { job, fence } => {
                Message::OutcomeRecorded(pb::OutcomeRecorded {
                    job: job.to_string(),
                    fence,
                })
            }
            FromCore::Goodbye { reason, message } => Message::Goodbye(pb::Goodbye {
                reason: pb::GoodbyeReason::from(reason).into(),
                message,
            }),
            FromCore::OpenConsole(request) => Message::OpenConsole(request.into()),
            FromCore::Upgrade(order) => Message::Upgrade(order.into()),
            FromCore::UpgradeNoted { id } => {
                Message::UpgradeNoted(pb::UpgradeNoted { id: id.to_string() })
            }
        };
        Self {
            message: Some(message),
        }
    }
}

impl TryFrom<pb::FromCore> for FromCore {
    type Error = Invalid;

    fn try_from(message: pb::FromCore) -> Result<Self, Invalid> {
        Ok(
            match message.message.ok_or_else(|| Invalid::missing("message"))? {
                Message::Welcome(welcome) => Self::Welcome(inner("welcome", Some(welcome))?),
                Message::Job(job) => Self::Job(Box::new(inner("job", Some(job))?)),
                Message::OutcomeRecorded(recorded) => Self::OutcomeRecorded {
                    job: text("job", &recorded.job).map_err(|e| e.within("outcome_recorded"))?,
                    fence: recorded.fence,
                },
                Message::Goodbye(goodbye) => Self::Goodbye {
                    reason: goodbye_reason(goodbye.reason).map_err(|e| e.within("goodbye"))?,
                    message: goodbye.message,
                },
                Message::OpenConsole(request) => {
                    Self::OpenConsole(inner("open_console", Some(request))?)
                }
                Message::Upgrade(order) => Self::Upgrade(inner("upgrade", Some(order))?),
                Message::UpgradeNoted(noted) => Self::UpgradeNoted {
                    id: text("id", &noted.id).map_err(|e| e.within("upgrade_noted"))?,
                },
            },
        )
    }
}

impl From<ConsoleRequest> for pb::OpenConsole {
    fn from(request: ConsoleRequest) -> Self {
        Self {
            stream: request.stream.to_string(),
            target: Some(request.target.into()),
            from: Some(match request.from {
                ConsoleFrom::Position(position) => pb::open_console::From::Position(position),
                ConsoleFrom::Last(bytes) => pb::open_console::From::Last(bytes),
            }),
        }
    }
}

impl TryFrom<pb::OpenConsole> for ConsoleRequest {
    type Error = Invalid;

    fn try_from(request: pb::OpenConsole) -> Result<Self, Invalid> {
        Ok(Self {
            stream: text("stream", &request.stream)?,
            target: inner("target", request.target)?,
            from: match request.from.ok_or_else(|| Invalid::missing("from"))? {
                pb::open_console::From::Position(position) => ConsoleFrom::Position(position),
                pb::open_console::From::Last(bytes) => ConsoleFrom::Last(bytes),
            },
        })
    }
}

impl From<GoodbyeReason> for pb::GoodbyeReason {
    fn from(reason: GoodbyeReason) -> Self {
        match reason {
            GoodbyeReason::Stopping => Self::Stopping,
            GoodbyeReason::Replaced => Self::Replaced,
            GoodbyeReason::Revoked => Self::Revoked,
            GoodbyeReason::Expired => Self::Expired,
            GoodbyeReason::Unsupported => Self::Unsupported,
            GoodbyeReason::Malformed => Self::Malformed,
            GoodbyeReason::Failed => Self::Failed,
        }
    }
}

fn goodbye_reason(value: i32) -> Result<GoodbyeReason, Invalid> {
    match pb::GoodbyeReason::try_from(value) {
        Ok(pb::GoodbyeReason::Stopping) => Ok(GoodbyeReason::Stopping),
        Ok(pb::GoodbyeReason::Replaced) => Ok(GoodbyeReason::Replaced),
        Ok(pb::GoodbyeReason::Revoked) => Ok(GoodbyeReason::Revoked),
        Ok(pb::GoodbyeReason::Expired) => Ok(GoodbyeReason::Expired),
        Ok(pb::GoodbyeReason::Unsupported) => Ok(GoodbyeReason::Unsupported),
        Ok(pb::GoodbyeReason::Malformed) => Ok(GoodbyeReason::Malformed),
        Ok(pb::GoodbyeReason::Failed) => Ok(GoodbyeReason::Failed),
        Ok(pb::GoodbyeReason::Unspecified) => Err(Invalid::missing("reason")),
        Err(_) => Err(Invalid::unknown("reason", value)),
    }
}

impl From<Welcome> for pb::Welcome {
    fn from(welcome: Welcome) -> Self {
        Self {
            component: welcome.component.to_string(),
            name: welcome.name.into(),
            heartbeat_interval: welcome.heartbeat_interval,
            time: welcome.time.as_millis(),
        }
    }
}

impl TryFrom<pb::Welcome> for Welcome {
    type Error = Invalid;

    fn try_from(welcome: pb::Welcome) -> Result<Self, Invalid> {
        Ok(Self {
            component: text("component", &welcome.component)?,
            name: text("name", &welcome.name)?,
            heartbeat_interval: welcome.heartbeat_interval,
            time: Timestamp::from_millis(welcome.time),
        })
    }
}

impl From<Job> for pb::Job {
    fn from(job: Job) -> Self {
        let task = match job.task {
            Task::Ensure { placement } => pb::job::Task::Ensure(placement.into()),
            Task::Remove { target, generation } => pb::job::Task::Remove(pb::Remove {
                target: Some(target.into()),
                generation,
            }),
            Task::Act { target, action } => pb::job::Task::Act(act(target, &action)),
        };
        Self {
            id: job.id.to_string(),
            fence: job.fence,
            task: Some(task),
        }
    }
}

fn act(target: PlacementRef, action: &Action) -> pb::Act {
    let action = match action {
        Action::Reboot => pb::act::Action::Reboot(pb::Nothing {}),
        Action::ConsoleLog { bytes } => {
            pb::act::Action::ConsoleLog(pb::ConsoleLog { bytes: *bytes })
        }
    };
    pb::Act {
        target: Some(target.into()),
        action: Some(action),
    }
}

impl TryFrom<pb::Job> for Job {
    type Error = Invalid;

    fn try_from(job: pb::Job) -> Result<Self, Invalid> {
        let task = match job.task.ok_or_else(|| Invalid::missing("task"))? {
            pb::job::Task::Ensure(placement) => Task::Ensure {
                placement: inner("ensure", Some(placement))?,
            },
            pb::job::Task::Remove(remove) => Task::Remove {
                target: inner("target", remove.target).map_err(|e| e.within("remove"))?,
                generation: remove.generation,
            },
            pb::job::Task::Act(act) => task_from(act).map_err(|error| error.within("act"))?,
        };
        Ok(Self {
            id: text("id", &job.id)?,
            fence: job.fence,
            task,
        })
    }
}

fn task_from(act: pb::Act) -> Result<Task, Invalid> {
    let action = match act.action.ok_or_else(|| Invalid::missing("action"))? {
        pb::act::Action::Reboot(_) => Action::Reboot,
        pb::act::Action::ConsoleLog(log) => Action::ConsoleLog { bytes: log.bytes },
    };
    Ok(Task::Act {
        target: inner("target", act.target)?,
        action,
    })
}
