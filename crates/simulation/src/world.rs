//! All of it in one process: a core, components, the links between them, and one operator. One thing
//! happens at a time, to its end.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use rhyzome_api::grpc::talk::{End, Talk};
use rhyzome_model::Size;
use rhyzome_model::component::{ComponentKind, HostFacts};
use rhyzome_proto::session::{FromComponent, FromCore, GoodbyeReason};
use tempfile::TempDir;

use crate::chance::Chance;
use crate::check::Seen;
use crate::component::{Component, Session};
use crate::core::{Conversation, Running, Site};
use crate::environment::{Killed, mortal};
use crate::link::{Heard, Link};
use crate::model::{Key, Model, Request};
use crate::operator;
use crate::time::{HostClock, Time};

/// How long the core waits for a silent component, in milliseconds.
const PATIENCE: i64 = 15_000;
/// How long a component waits for a core that does not answer, in milliseconds.
const GIVES_UP: i64 = 20_000;
/// How many of the last actions are told of.
const TOLD: usize = 60;

/// Who there is.
const COMPONENTS: [(&str, ComponentKind); 4] = [
    ("gate-1", ComponentKind::Linux),
    ("gate-2", ComponentKind::Linux),
    ("node-1", ComponentKind::Libvirt),
    ("node-2", ComponentKind::Libvirt),
];

/// The simulated world.
pub struct World {
    pub time: Time,
    pub chance: Chance,
    pub site: Site,
    pub core: Option<Running>,
    pub components: Vec<Component>,
    pub links: BTreeMap<u64, Link>,
    next_link: u64,
    pub model: Model,
    /// How often things go wrong, for a while.
    pub weather: u32,
    /// A request that the core died over.
    pub unanswered: Option<Request>,
    pub seen: Seen,
    pub story: Story,
    _folder: TempDir,
}

/// What happened.
#[derive(Debug, Default)]
pub struct Story {
    last: VecDeque<String>,
    hasher: DefaultHasher,
    /// Everything is printed as it happens.
    pub aloud: bool,
}

impl Story {
    pub fn tell(&mut self, what: String) {
        what.hash(&mut self.hasher);
        if self.aloud {
            println!("{what}");
        }
        if self.last.len() == TOLD {
            self.last.pop_front();
        }
        self.last.push_back(what);
    }

    /// Other for each other story.
    pub fn digest(&self) -> u64 {
        self.hasher.finish()
    }

    pub fn last(&self) -> Vec<String> {
        self.last.iter().cloned().collect()
    }
}

impl World {
    /// A site on which nothing has happened yet but that the components joined.
    pub async fn new(seed: u64) -> Self {
        let folder = folder();
        let time = Time::new();
        let mut chance = Chance::new(seed);
        let site = Site::new(folder.path(), HostClock::new(&time), chance.number()).await;
        let core = site.start().await;
        for project in operator::PROJECTS {
            core.project(&operator::name(project)).await;
        }
        let mut components = Vec::new();
        for (name, kind) in COMPONENTS {
            let name_ = operator::name(name);
            let id = core.join(kind, &name_).await;
            let ledger = folder.path().join(name);
            let mut component = Component::new((name_, id, kind), facts(name), ledger, &time);
            component.start();
            components.push(component);
        }
        Self {
            time,
            chance,
            site,
            core: Some(core),
            components,
            links: BTreeMap::new(),
            next_link: 1,
            model: Model::default(),
            weather: 4,
            unanswered: None,
            seen: Seen::default(),
            story: Story::default(),
            _folder: folder,
        }
    }

    /// Time goes by, and with it patience.
    pub fn pass(&mut self, millis: i64) {
        self.time.pass(millis);
        let now = self.time.passed();
        if let Some(core) = &mut self.core {
            let silent = core.talks.iter().filter(|(_, c)| now - c.heard > PATIENCE);
            for link in silent.map(|(link, _)| *link).collect::<Vec<_>>() {
                core.end(link);
                self.story
                    .tell(format!("the core hears nothing on link {link} and ends it"));
                leave(&mut self.links, link, GoodbyeReason::Failed);
            }
        }
        for which in 0..self.components.len() {
            let component = &self.components[which];
            let session = component.process.as_ref().and_then(|p| p.session.as_ref());
            if let Some(session) = session
                && !session.welcomed
                && now - session.began > GIVES_UP
            {
                self.hang_up(which);
            }
        }
    }

    /// The core is given a request by the operator.
    pub async fn request(&mut self, request: Request) -> Result<(), String> {
        let Some(core) = &self.core else {
            return Ok(());
        };
        let away = core.talks.len() < self.components.len();
        match mortal(operator::put(&core.core, &request)).await {
            Ok(answer) => {
                let word = match &answer {
                    Ok(_) => "done".to_owned(),
                    Err(kind) => format!("refused, {kind:?}"),
                };
                self.story.tell(format!("{request:?}: {word}"));
                self.model.answered(&request, &answer, away)
            }
            Err(Killed) => {
                self.story.tell(format!("the core dies over {request:?}"));
                self.unanswered = Some(request);
                self.core_is_dead();
                Ok(())
            }
        }
    }

    /// The operator reads something.
    pub async fn read(&mut self, key: &Key) -> Result<(), String> {
        let Some(core) = &self.core else {
            return Ok(());
        };
        match mortal(operator::read(&core.core, key)).await {
            Ok(seen) => self.model.see(key, seen?.map(|shown| shown.thing)),
            Err(Killed) => {
                self.story.tell("the core dies".to_owned());
                self.core_is_dead();
                Ok(())
            }
        }
    }

    /// The core dies, with all that is in memory.
    pub fn core_is_dead(&mut self) {
        let Some(core) = self.core.take() else {
            return;
        };
        drop(core);
        self.site.environment.let_live();
        for link in self.links.values_mut() {
            link.core_dies(&mut self.chance);
        }
    }

    /// The core is started again, and the operator finds out what came of the last request.
    pub async fn start_core(&mut self) -> Result<(), String> {
        if self.core.is_some() {
            return Ok(());
        }
        let core = self.site.start().await;
        self.story.tell("the core starts".to_owned());
        if let Some(request) = self.unanswered.take() {
            let seen = operator::read(&core.core, request.key()).await?;
            self.model
                .found_out(&request, seen.map(|shown| shown.thing))?;
        }
        self.core = Some(core);
        Ok(())
    }

    /// A component opens a link, where it can.
    pub fn connect(&mut self, which: usize) {
        let component = &mut self.components[which];
        let hello = component.hello(facts(component.name.as_str()));
        let (Some(process), Some(_)) = (&mut component.process, &self.core) else {
            return;
        };
        let link = self.next_link;
        self.next_link += 1;
        process.session = Some(Session::new(link, self.time.passed()));
        let mut opened = Link::new(which);
        opened.say_up(hello);
        self.links.insert(link, opened);
        self.story
            .tell(format!("{} opens link {link}", component.name));
    }

    /// A component closes its end.
    pub fn hang_up(&mut self, which: usize) {
        let component = &mut self.components[which];
        let session = component.process.as_mut().and_then(|p| p.session.take());
        if let Some(session) = session {
            self.story
                .tell(format!("{} leaves link {}", component.name, session.link));
            if let Some(link) = self.links.get_mut(&session.link) {
                link.component_leaves();
            }
        }
    }

    /// A component's process dies; its host does not notice.
    pub fn kill_component(&mut self, which: usize) {
        let component = &mut self.components[which];
        if let Some(process) = component.process.take() {
            self.story.tell(format!("{} dies", component.name));
            let link = process.session.as_ref().map(|session| session.link);
            if let Some(link) = link.and_then(|link| self.links.get_mut(&link)) {
                link.component_dies(&mut self.chance);
            }
        }
    }

    /// The core hears the next message of a link, or its end.
    pub async fn core_hears(&mut self, number: u64) {
        let now = self.time.passed();
        let (Some(core), Some(link)) = (&mut self.core, self.links.get_mut(&number)) else {
            return;
        };
        let message = match link.core_hears() {
            Heard::Message(message) => message,
            Heard::End => {
                core.end(number);
                link.core_leaves();
                return;
            }
        };
        let component = &self.components[link.component];
        let message = FromComponent::try_from(message).expect("a component makes sense");
        self.story
            .tell(format!("the core hears {}: {message:?}", component.name));
        let done = match core.talks.get_mut(&number) {
            Some(conversation) => {
                conversation.heard = now;
                mortal(hear(&mut conversation.talk, message)).await
            }
            None => {
                for replaced in core.replace(component.id) {
                    leave(&mut self.links, replaced, GoodbyeReason::Replaced);
                }
                let FromComponent::Hello(hello) = message else {
                    return;
                };
                let gateway = Arc::clone(&core.gateway);
                let from = IpAddr::V4(Ipv4Addr::LOCALHOST);
                match mortal(Talk::begin(gateway, component.id, from, *hello)).await {
                    Ok(Ok(talk)) => {
                        let welcome = talk.welcome();
                        let conversation = Conversation { talk, heard: now };
                        core.talks.insert(number, conversation);
                        Ok(Ok(vec![welcome]))
                    }
                    Ok(Err(end)) => Ok(Err(end)),
                    Err(killed) => Err(killed),
                }
            }
        };
        self.said(number, done);
    }

    /// The core looks for jobs for a component.
    pub async fn claim(&mut self, number: u64) {
        let Some(core) = &mut self.core else {
            return;
        };
        if let Some(conversation) = core.talks.get_mut(&number) {
            let done = mortal(conversation.talk.claim()).await;
            self.said(number, done);
        }
    }

    /// What the core has to say goes on its way, with the session or without.
    fn said(&mut self, number: u64, done: Result<Result<Vec<FromCore>, End>, Killed>) {
        match done {
            Ok(Ok(messages)) => {
                for message in messages {
                    self.story
                        .tell(format!("the core says on link {number}: {message:?}"));
                    if let Some(link) = self.links.get_mut(&number) {
                        link.say_down(message);
                    }
                }
            }
            Ok(Err(end)) => {
                self.story
                    .tell(format!("the core ends link {number}: {end:?}"));
                if let Some(core) = &mut self.core {
                    core.end(number);
                }
                let reason = match end {
                    End::Goodbye(reason, _) => reason,
                    End::Gone => GoodbyeReason::Failed,
                };
                leave(&mut self.links, number, reason);
            }
            Err(Killed) => {
                self.story.tell("the core dies".to_owned());
                self.core_is_dead();
            }
        }
    }

    /// A component hears the next message of its link, or its end.
    pub async fn component_hears(&mut self, number: u64) {
        let Some(link) = self.links.get_mut(&number) else {
            return;
        };
        let component = &mut self.components[link.component];
        let Some(process) = &mut component.process else {
            return;
        };
        let over = match link.component_hears() {
            Heard::End => true,
            Heard::Message(message) => {
                let message = FromCore::try_from(message).expect("the core makes sense");
                self.story
                    .tell(format!("{} hears {message:?}", component.name));
                !process.hear(message).await
            }
        };
        if over {
            process.session = None;
            link.component_leaves();
        }
    }

    /// A component says something.
    pub fn say(&mut self, which: usize, messages: Vec<FromComponent>) -> bool {
        let process = self.components[which].process.as_ref();
        let session = process.and_then(|process| process.session.as_ref());
        let link = session.and_then(|session| self.links.get_mut(&session.link));
        let said = !messages.is_empty();
        if let Some(link) = link {
            for message in messages {
                link.say_up(message);
            }
        }
        said
    }

    /// Forgets links that have no ends any more.
    pub fn sweep(&mut self) {
        self.links.retain(|_, link| !link.is_over());
    }
}

/// What is heard, and what is possible behind it.
async fn hear(talk: &mut Talk, message: FromComponent) -> Result<Vec<FromCore>, End> {
    let makes_room = Talk::makes_room(&message);
    let mut answers = talk.hear(message).await?;
    if makes_room {
        answers.extend(talk.claim().await?);
    }
    Ok(answers)
}

/// The core says goodbye, and closes its end.
fn leave(links: &mut BTreeMap<u64, Link>, number: u64, reason: GoodbyeReason) {
    if let Some(link) = links.get_mut(&number) {
        link.say_down(FromCore::Goodbye {
            reason,
            message: String::new(),
        });
        link.core_leaves();
    }
}

/// What a component says of its host. One router shares its machine with a hypervisor, the others are
/// on machines of their own.
pub fn facts(name: &str) -> HostFacts {
    let router = name.starts_with("gate");
    let (machine, number) = match name {
        "gate-1" | "node-1" => ("one", 1),
        "gate-2" => ("two", 2),
        _ => ("three", 3),
    };
    HostFacts {
        hostname: name.to_owned(),
        host: machine.to_owned(),
        cpus: if router { 0 } else { 16 },
        memory: Size::mib(if router { 0 } else { 64 << 10 }),
        public_address: Some(format!("192.0.2.{number}")),
        endpoint_ports: Some((51_820, 52_819)),
        tunnel_address: Some(IpAddr::V4(Ipv4Addr::new(198, 51, 100, number))),
        ..HostFacts::default()
    }
}

/// In memory, where there is such a place: what is written there many times a second is of no worth.
fn folder() -> TempDir {
    tempfile::tempdir_in("/dev/shm")
        .or_else(|_| tempfile::tempdir())
        .expect("a folder")
}
