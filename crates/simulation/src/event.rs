//! What can happen next, and how often it does.

use rhyzome_component::fake::Fault;
use rhyzome_model::PlacementId;
use rhyzome_model::instance::InstanceState;
use rhyzome_model::job::FailureKind;
use rhyzome_model::placement::Observed;

use crate::environment::{Killed, mortal};
use crate::operator;
use crate::world::World;

/// How much more often than in fair weather things go right.
const CALM: u32 = 4;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    Request,
    Read,
    Pass,
    CoreHears(u64),
    ComponentHears(u64),
    Claim(u64),
    NoteEnd,
    LookForSilent,
    Housekeeping,
    Connect(usize),
    Work(usize),
    Tell(usize),
    TellProgress(usize),
    Heartbeat(usize),
    Look(usize),
    Notice(usize),
    Round(usize),
    Due(usize),
    FailTransiently(usize),
    FailForGood(usize),
    CrashGuest(usize),
    Vanish(usize),
    Flush(usize),
    KillComponent(usize),
    StartComponent(usize),
    KillCore,
    StartCore,
    Cut(u64),
    Repeat(u64),
    CutOff(usize),
    LetThrough(usize),
    HangUp(usize),
    ClockOfCore,
    ClockOf(usize),
}

impl Event {
    /// Whether something goes wrong with it.
    fn is_mishap(self) -> bool {
        matches!(
            self,
            Self::FailTransiently(_)
                | Self::FailForGood(_)
                | Self::CrashGuest(_)
                | Self::Vanish(_)
                | Self::Flush(_)
                | Self::KillComponent(_)
                | Self::KillCore
                | Self::Cut(_)
                | Self::Repeat(_)
                | Self::CutOff(_)
                | Self::HangUp(_)
                | Self::ClockOfCore
                | Self::ClockOf(_)
        )
    }
}

impl World {
    /// What can happen now, with weights.
    pub fn possible(&self) -> Vec<(u32, Event)> {
        let mut all = vec![(3, Event::Pass), (1, Event::ClockOfCore)];
        match &self.core {
            Some(core) => {
                all.extend([
                    (24, Event::Request),
                    (12, Event::Read),
                    (1, Event::KillCore),
                    (2, Event::LookForSilent),
                    (1, Event::Housekeeping),
                ]);
                all.extend(core.talks.keys().map(|link| (6, Event::Claim(*link))));
                if !core.ended.is_empty() {
                    all.push((12, Event::NoteEnd));
                }
            }
            None => all.push((30, Event::StartCore)),
        }
        for (number, link) in &self.links {
            if self.components[link.component].cut_off {
                continue;
            }
            if self.core.is_some() && link.core_can_hear() {
                all.push((30, Event::CoreHears(*number)));
            }
            if link.component_can_hear() {
                all.push((30, Event::ComponentHears(*number)));
            }
            all.extend([(1, Event::Cut(*number)), (1, Event::Repeat(*number))]);
        }
        for which in 0..self.components.len() {
            self.possible_at(which, &mut all);
        }
        all
    }

    fn possible_at(&self, which: usize, all: &mut Vec<(u32, Event)>) {
        let component = &self.components[which];
        if component.host.count() > 0 {
            all.extend([
                (6, Event::CrashGuest(which)),
                (1, Event::Vanish(which)),
                (2, Event::FailTransiently(which)),
                (1, Event::FailForGood(which)),
            ]);
            all.push((1, Event::Flush(which)));
        }
        all.push(match component.cut_off {
            true => (10, Event::LetThrough(which)),
            false => (1, Event::CutOff(which)),
        });
        let Some(process) = &component.process else {
            all.push((20, Event::StartComponent(which)));
            return;
        };
        all.extend([
            (1, Event::KillComponent(which)),
            (1, Event::ClockOf(which)),
            (5, Event::Notice(which)),
            (2, Event::Round(which)),
            (4, Event::Due(which)),
        ]);
        if process.has_work() {
            all.push((30, Event::Work(which)));
        }
        match &process.session {
            Some(_) => all.extend([
                (12, Event::Tell(which)),
                (2, Event::TellProgress(which)),
                (8, Event::Heartbeat(which)),
                // Real hosts take their time for that.
                (3, Event::Look(which)),
                (1, Event::HangUp(which)),
            ]),
            None if self.core.is_some() && !component.cut_off => {
                all.push((20, Event::Connect(which)));
            }
            None => {}
        }
    }

    /// Now and then almost nothing goes wrong for a while, so that what did is not put right by what
    /// goes wrong next; and now and then a lot does.
    pub fn change_weather(&mut self) {
        self.weather = *self.chance.of(&[1, 1, 4, 12]);
    }

    /// Lets something happen.
    ///
    /// # Errors
    /// What is wrong then.
    pub async fn step(&mut self) -> Result<(), String> {
        let passed = self.chance.between(1, 200);
        self.pass(passed);
        let mut all = self.possible();
        for (weight, event) in &mut all {
            *weight *= if event.is_mishap() {
                self.weather
            } else {
                CALM
            };
        }
        let place = self.chance.weighed(all.iter().map(|(weight, _)| *weight));
        let (_, event) = all[place.expect("time can always pass")];
        self.happen(event).await?;
        self.sweep();
        self.check_hosts()
    }

    async fn happen(&mut self, event: Event) -> Result<(), String> {
        match event {
            Event::Request => {
                let request = operator::make_up(&self.model, &mut self.chance);
                self.request(request).await?;
            }
            Event::Read => {
                let key = operator::choose(&mut self.chance);
                self.read(&key).await?;
            }
            Event::Pass => {
                let most = *self.chance.of(&[2_000, 2_000, 10_000, 40_000]);
                let passed = self.chance.between(1, most);
                self.pass(passed);
                self.story.tell(format!("{passed} ms pass"));
            }
            Event::CoreHears(link) => self.core_hears(link).await,
            Event::ComponentHears(link) => self.component_hears(link).await,
            Event::Claim(link) => self.claim(link).await,
            Event::NoteEnd | Event::LookForSilent | Event::Housekeeping => {
                self.keep_house(event).await;
            }
            Event::KillCore => {
                let questions = self.chance.between(0, 30);
                self.site.environment.kill_after(questions.unsigned_abs());
                self.story
                    .tell(format!("the core is to die after {questions}"));
            }
            Event::StartCore => self.start_core().await?,
            Event::ClockOfCore => {
                let off = self.chance.between(-90_000, 90_000);
                self.site.clock.set_off(off);
                self.story
                    .tell(format!("the core's clock is off by {off} ms"));
            }
            Event::Cut(number) => {
                if let Some(link) = self.links.get_mut(&number) {
                    link.cut(&mut self.chance);
                    self.story.tell(format!("link {number} is cut"));
                }
            }
            Event::Repeat(number) => {
                let from_core = self.chance.once_in(2);
                if let Some(link) = self.links.get_mut(&number)
                    && link.repeat(from_core)
                {
                    self.story
                        .tell(format!("a message comes twice on link {number}"));
                }
            }
            event => self.happen_at(event).await,
        }
        Ok(())
    }

    /// What the core does from time to time.
    async fn keep_house(&mut self, event: Event) {
        let Some(core) = &mut self.core else {
            return;
        };
        let done = match event {
            Event::NoteEnd => mortal(core.note_end()).await,
            Event::LookForSilent => {
                let looked = mortal(rhyzome_app::gone::once(&core.core)).await;
                looked.map(|looked| looked.expect("silent components are found"))
            }
            _ => {
                let kept = mortal(rhyzome_app::housekeeping::once(&core.core)).await;
                kept.map(|kept| kept.expect("house is kept"))
            }
        };
        self.story.tell(format!("{event:?}"));
        if let Err(Killed) = done {
            self.story.tell("the core dies".to_owned());
            self.core_is_dead();
        }
    }

    async fn happen_at(&mut self, event: Event) {
        let now = self.time.passed();
        match event {
            Event::Connect(which) => self.connect(which),
            Event::HangUp(which) => self.hang_up(which),
            Event::KillComponent(which) => self.kill_component(which),
            Event::StartComponent(which) => {
                self.components[which].start();
                self.story
                    .tell(format!("{} starts", self.components[which].name));
            }
            Event::Work(which) => {
                if self.components[which].work_on(&mut self.chance).await {
                    self.story
                        .tell(format!("{} works on", self.components[which].name));
                }
            }
            Event::Look(which) => {
                let (messages, _) = self.components[which].look(&mut self.chance).await;
                self.say(which, messages);
            }
            Event::Tell(which) => self.with_process(which, |process| process.tell()),
            Event::TellProgress(which) => self.with_process(which, |p| p.tell_progress()),
            Event::Heartbeat(which) => {
                self.with_process(which, |p| p.heartbeat(now).into_iter().collect());
            }
            Event::Notice(which) => {
                if self.components[which].notice() {
                    self.story
                        .tell(format!("{} notices", self.components[which].name));
                }
            }
            Event::Round(which) => {
                if let Some(process) = &mut self.components[which].process {
                    process.round(now);
                }
            }
            Event::Due(which) => {
                if let Some(process) = &mut self.components[which].process {
                    process.put_due(&self.time);
                }
            }
            event => self.go_wrong(event),
        }
    }

    fn with_process(
        &mut self,
        which: usize,
        says: impl FnOnce(&mut crate::component::Process) -> Vec<rhyzome_proto::session::FromComponent>,
    ) {
        if let Some(process) = &mut self.components[which].process {
            let messages = says(process);
            self.say(which, messages);
        }
    }

    /// What goes wrong on a host or on the way to it.
    fn go_wrong(&mut self, event: Event) {
        let (Event::CutOff(which)
        | Event::LetThrough(which)
        | Event::FailTransiently(which)
        | Event::FailForGood(which)
        | Event::CrashGuest(which)
        | Event::Vanish(which)
        | Event::Flush(which)
        | Event::ClockOf(which)) = event
        else {
            return;
        };
        let component = &mut self.components[which];
        self.story.tell(format!("{event:?}, {}", component.name));
        let contents = component.host.contents();
        match event {
            Event::CutOff(_) => component.cut_off = true,
            Event::LetThrough(_) => component.cut_off = false,
            Event::FailTransiently(_) => {
                let fault = Fault::Fail(FailureKind::Transient, "made to fail".to_owned());
                component.host.faults().next(fault);
            }
            Event::FailForGood(_) => {
                let fault = Fault::Fail(FailureKind::Permanent, "made to fail".to_owned());
                component.host.faults().next(fault);
            }
            Event::CrashGuest(_) => {
                let running = contents.iter().filter(|(_, observed)| {
                    matches!(observed, Observed::Instance(now) if now.state == InstanceState::Running)
                });
                let running: Vec<PlacementId> = running.map(|(made, _)| made.id).collect();
                if !running.is_empty() {
                    component.host.crash(*self.chance.of(&running));
                }
            }
            Event::Vanish(_) => {
                let (placement, _) = self.chance.of(&contents);
                component.disturbed = true;
                component.host.vanish(placement.id);
            }
            Event::Flush(_) => {
                component.disturbed = true;
                component.host.flush();
            }
            Event::ClockOf(_) => {
                let off = self.chance.between(-90_000, 90_000);
                component.clock.set_off(off);
            }
            _ => {}
        }
    }
}
