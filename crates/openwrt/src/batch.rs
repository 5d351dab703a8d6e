//! Changes that are asked at once are made at once: one file is written, and one reload done, for all of them.
//!
//! Who asks puts the change into the queue and waits for the router's turn. Who has it takes all that is queued, makes
//! it, and answers everybody. Where that fails for one of them, each is made for itself.

use std::collections::BTreeSet;

use rhyzome_component::together::{self, Together};
use rhyzome_component::{DriverError, Progress};
use rhyzome_model::NetworkId;
use rhyzome_model::job::FailureKind;
use rhyzome_model::placement::{Placement, PlacementRef};

use crate::apply::{Apply, Request};
use crate::error::Error;
use crate::record::Records;

/// What is asked of the router.
#[derive(Clone, Debug)]
pub(crate) enum Wish {
    Ensure(Placement),
    Remove(PlacementRef),
}

/// How it ended, to be told to several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    kind: FailureKind,
    message: String,
}

type Waiting = together::Waiting<Wish, Failure>;
pub(crate) type Queue = Together<Wish, Failure>;

impl Wish {
    fn network(&self) -> Option<NetworkId> {
        match self {
            Self::Ensure(placement) => placement.spec.network(),
            Self::Remove(target) => target.network,
        }
    }

    fn note(&self, records: &mut Records) -> Result<(), Error> {
        match self {
            Self::Ensure(placement) => records.put(placement).map_err(Error::Record)?,
            Self::Remove(target) => records.take_away(target),
        }
        Ok(())
    }

    fn failed(&self, error: Error) -> Failure {
        let what = match self {
            Self::Ensure(placement) => format!("cannot keep the {}", placement.spec.kind()),
            Self::Remove(target) => format!("cannot remove the {}", target.kind),
        };
        let error = error.into_driver(&what);
        Failure {
            kind: error.kind,
            message: error.chain(),
        }
    }
}

impl Failure {
    pub fn into_driver(self) -> DriverError {
        match self.kind {
            FailureKind::Transient => DriverError::transient(self.message),
            FailureKind::Permanent => DriverError::permanent(self.message),
            FailureKind::Unsupported => DriverError::unsupported(self.message),
        }
    }
}

/// Makes all that is queued, and answers. The records are as on the router's flash afterwards.
pub(crate) async fn serve(
    apply: &Apply,
    queue: &Queue,
    records: &mut Records,
    progress: &Progress,
) {
    let mut all = Vec::new();
    let mut noted_all = records.clone();
    for waiting in queue.take() {
        // What cannot even be noted is no reason for the others.
        let noted = waiting.question.note(&mut noted_all);
        match noted {
            Ok(()) => all.push(waiting),
            Err(error) => {
                let failure = waiting.question.failed(error);
                waiting.tell(Err(failure));
            }
        }
    }
    let wishes: Vec<&Wish> = all.iter().map(|waiting| &waiting.question).collect();
    drop(noted_all);
    let together = make(apply, records, &wishes, progress).await;
    match together {
        Err(error) if error.is_of_one() && all.len() > 1 => {
            for waiting in all {
                let made = make(apply, records, &[&waiting.question], progress).await;
                answer(waiting, made);
            }
        }
        Ok(()) => all.into_iter().for_each(|waiting| answer(waiting, Ok(()))),
        Err(error) => {
            let failures: Vec<Failure> = failures(&all, error);
            for (waiting, failure) in all.into_iter().zip(failures) {
                waiting.tell(Err(failure));
            }
        }
    }
}

fn answer(waiting: Waiting, made: Result<(), Error>) {
    let made = made.map_err(|error| waiting.question.failed(error));
    waiting.tell(made);
}

/// The same failure for each.
fn failures(all: &[Waiting], error: Error) -> Vec<Failure> {
    let Some(first) = all.first() else {
        return Vec::new();
    };
    let failure = first.question.failed(error);
    vec![failure; all.len()]
}

async fn make(
    apply: &Apply,
    records: &mut Records,
    wishes: &[&Wish],
    progress: &Progress,
) -> Result<(), Error> {
    if wishes.is_empty() {
        return Ok(());
    }
    let mut after = records.clone();
    for wish in wishes {
        wish.note(&mut after)?;
    }
    let networks: BTreeSet<NetworkId> = wishes.iter().filter_map(|wish| wish.network()).collect();
    let request = Request {
        before: records,
        after: &after,
        networks,
    };
    apply.change(&request, progress).await?;
    *records = after;
    Ok(())
}
