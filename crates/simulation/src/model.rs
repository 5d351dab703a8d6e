//! What should be, in as few words as possible: the things that the operator was told of, and how each
//! request may be answered.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use rhyzome_app::Kind;
use rhyzome_model::Name;
use rhyzome_model::instance::{Power, RestartPolicy};
use uuid::Uuid;

/// What a thing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sort {
    Network,
    Instance,
    Peer,
}

/// What a thing is called.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub project: Name,
    pub sort: Sort,
    pub name: Name,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.project, self.name)
    }
}

/// How a thing is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    Network {
        egress: bool,
    },
    Instance {
        networks: Vec<Name>,
        power: Power,
        restart: RestartPolicy,
        /// MiB.
        memory: u64,
    },
    Peer {
        networks: Vec<Name>,
    },
}

impl Wish {
    fn networks(&self) -> &[Name] {
        match self {
            Self::Network { .. } => &[],
            Self::Instance { networks, .. } | Self::Peer { networks } => networks,
        }
    }
}

/// A thing as it was told to the operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thing {
    pub id: Uuid,
    pub generation: u64,
    pub wish: Wish,
    /// It is being deleted, and may be gone.
    pub going: bool,
}

/// A request that changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    Create(Key, Wish),
    /// Also to what it is already: that is how one asks again.
    Change(Key, Wish),
    Delete(Key),
    Reboot(Key),
}

impl Request {
    pub fn key(&self) -> &Key {
        match self {
            Self::Create(key, _) | Self::Change(key, _) | Self::Delete(key) | Self::Reboot(key) => {
                key
            }
        }
    }
}

/// How a request was answered: with the thing as it is now, or that it is gone, or refused.
pub type Answer = Result<Option<Thing>, Kind>;

/// What the operator knows.
#[derive(Debug, Default)]
pub struct Model {
    pub things: BTreeMap<Key, Thing>,
    /// What was seen to be gone, for ever.
    pub gone: BTreeSet<Uuid>,
}

impl Model {
    pub fn get(&self, key: &Key) -> Option<&Thing> {
        self.things.get(key)
    }

    fn kept(&self, key: &Key) -> bool {
        self.get(key).is_some_and(|thing| !thing.going)
    }

    /// Whether something uses a network, or may do so still.
    fn used(&self, network: &Key) -> bool {
        self.things.iter().any(|(key, thing)| {
            key.project == network.project && thing.wish.networks().contains(&network.name)
        })
    }

    fn missing_network(&self, project: &Name, wish: &Wish) -> bool {
        wish.networks().iter().any(|name| {
            let network = Key {
                project: project.clone(),
                sort: Sort::Network,
                name: name.clone(),
            };
            !self.kept(&network)
        })
    }

    /// Whether a refusal is right; `away`: not every component has a session.
    fn may_refuse(&self, request: &Request, kind: Kind, away: bool) -> bool {
        let found = self.get(request.key());
        let going = found.is_some_and(|thing| thing.going);
        let project = &request.key().project;
        match (request, kind) {
            (Request::Create(..), Kind::NameTaken) => found.is_some(),
            (Request::Create(_, wish) | Request::Change(_, wish), Kind::Invalid) => {
                self.missing_network(project, wish)
            }
            (Request::Create(..), Kind::NoCapacity) => away,
            (Request::Create(..), _) => false,
            (_, Kind::NotFound) => found.is_none() || going,
            (Request::Change(..) | Request::Reboot(_), Kind::InUse) => going,
            (Request::Delete(key), Kind::InUse) => self.used(key),
            (Request::Reboot(_), Kind::WrongState) => true,
            (Request::Change(..) | Request::Delete(_) | Request::Reboot(_), _) => false,
        }
    }

    /// Whether doing as asked is right.
    fn may_do(&self, request: &Request) -> bool {
        let found = self.get(request.key());
        let project = &request.key().project;
        match request {
            Request::Create(_, wish) => {
                found.is_none_or(|thing| thing.going) && !self.missing_network(project, wish)
            }
            Request::Change(_, wish) => {
                found.is_some_and(|thing| !thing.going) && !self.missing_network(project, wish)
            }
            Request::Delete(key) => found.is_some() && !(self.kept(key) && self.surely_used(key)),
            Request::Reboot(_) => found.is_some_and(|thing| !thing.going),
        }
    }

    /// Whether something that surely is there uses a network.
    fn surely_used(&self, network: &Key) -> bool {
        self.things.iter().any(|(key, thing)| {
            !thing.going
                && key.project == network.project
                && thing.wish.networks().contains(&network.name)
        })
    }

    /// Takes an answer in.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn answered(
        &mut self,
        request: &Request,
        answer: &Answer,
        away: bool,
    ) -> Result<(), String> {
        let key = request.key();
        match answer {
            Err(kind) if self.may_refuse(request, *kind, away) => {
                if *kind == Kind::NotFound {
                    self.see(key, None)?;
                }
                Ok(())
            }
            Err(kind) => Err(format!("{request:?} was refused as {kind:?}")),
            Ok(_) if !self.may_do(request) => Err(format!("{request:?} was done")),
            Ok(seen) => self.done(request, seen.clone()),
        }
    }

    fn done(&mut self, request: &Request, seen: Option<Thing>) -> Result<(), String> {
        let key = request.key();
        match request {
            Request::Create(_, wish) => {
                if let Some(before) = self.things.remove(key) {
                    self.gone.insert(before.id);
                }
                let made = seen.ok_or_else(|| format!("{key} was made and is not there"))?;
                if self.gone.contains(&made.id) {
                    return Err(format!("{key} was gone and is there again"));
                }
                self.things.insert(
                    key.clone(),
                    Thing {
                        wish: wish.clone(),
                        ..made.clone()
                    },
                );
                self.see(key, Some(made))
            }
            Request::Change(_, wish) => {
                if let Some(thing) = self.things.get_mut(key) {
                    thing.wish = wish.clone();
                }
                self.see(key, seen)
            }
            Request::Delete(_) => {
                if let Some(thing) = self.things.get_mut(key) {
                    thing.going = true;
                }
                self.see(key, seen)
            }
            Request::Reboot(_) => Ok(()),
        }
    }

    /// Compares what the operator reads with what is known.
    ///
    /// # Errors
    /// Where that is not so.
    pub fn see(&mut self, key: &Key, seen: Option<Thing>) -> Result<(), String> {
        let Some(known) = self.things.get_mut(key) else {
            return match seen {
                None => Ok(()),
                Some(seen) => Err(format!("{key} is there and nobody wants it: {seen:?}")),
            };
        };
        match seen {
            None if known.going => {
                let id = known.id;
                self.gone.insert(id);
                self.things.remove(key);
                Ok(())
            }
            None => Err(format!("{key} is lost")),
            Some(seen) if seen.id != known.id => Err(format!("{key} is another one: {seen:?}")),
            Some(seen) if seen.generation < known.generation => {
                Err(format!("{key} went back: {known:?}, {seen:?}"))
            }
            Some(seen) if seen.going != known.going => {
                Err(format!("{key} is being deleted: {}", seen.going))
            }
            Some(seen) if !seen.going && seen.wish != known.wish => {
                Err(format!("{key} is not as wanted: {known:?}, {seen:?}"))
            }
            Some(seen) => {
                known.generation = seen.generation;
                Ok(())
            }
        }
    }

    /// What came of a request that was never answered is read afterwards: it was done, or it was not.
    ///
    /// # Errors
    /// Where it is neither.
    pub fn found_out(&mut self, request: &Request, seen: Option<Thing>) -> Result<(), String> {
        let key = request.key();
        let undone = self.get(key).cloned();
        let is_as_before = match (&undone, &seen) {
            (None, None) => true,
            (Some(before), None) => before.going,
            (Some(before), Some(seen)) => {
                before.id == seen.id
                    && before.going == seen.going
                    && (seen.going || before.wish == seen.wish)
            }
            (None, Some(_)) => false,
        };
        if is_as_before {
            return self.see(key, seen);
        }
        if !self.may_do(request) {
            return Err(format!("{request:?} was done, unanswered: {seen:?}"));
        }
        self.done(request, seen)
    }
}
