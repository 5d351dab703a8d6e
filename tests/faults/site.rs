//! A site on which things go wrong: a core, a hypervisor and a router that are killed and started again
//! while somebody asks for something.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rhyzome_client::{Client, Scope};
use rhyzome_end_to_end::faults::Program;
use rhyzome_end_to_end::hypervisor::{Hypervisor, lay_wire};
use rhyzome_end_to_end::newcomer::Doing;
use rhyzome_end_to_end::operator::name;
use rhyzome_end_to_end::world::Kind;
use rhyzome_end_to_end::{Newcomer, Operator, World};
use rhyzome_model::status::{Condition, Phase};

use crate::matrix::{Case, Fault, Victims};
use crate::picture::{Picture, differences, of_host, of_records};
use crate::stage::Stage;

/// How long anything may take to be as it was asked for, whatever goes wrong: less than from one look of a
/// component at everything to the next, so that nothing waits for that.
const CONVERGED: Duration = Duration::from_secs(40);
/// The pause between two looks.
const PAUSE: Duration = Duration::from_millis(20);
/// The line of what goes wrong always, in the file of what goes wrong.
const ALWAYS: usize = 1;
/// How many of the last jobs are looked at.
const JOBS: u32 = 20;
/// How long after all is good a step may still be reached.
const LATE: Duration = Duration::from_millis(300);

pub struct Site<'w> {
    pub world: &'w mut World,
    operator: Operator,
    pub scope: Scope,
    /// How many images were made of bytes of their own.
    pub images: u32,
    /// Another hypervisor, on a machine of its own, as long as the site goes on.
    node: Option<Hypervisor>,
    pub newcomer: Newcomer,
    /// What the newcomer joins with.
    pub token: Option<String>,
    /// The certificate that the newcomer had before it is renewed.
    pub shown: Option<Vec<u8>>,
    /// What goes wrong, until it did.
    fault: Option<(Case, PathBuf)>,
    /// What there is behind each stage where nothing goes wrong.
    usual: BTreeMap<Stage, Picture>,
}

/// How far something is that was asked for.
pub enum Standing {
    Good,
    Waiting,
    /// With what conditions say.
    Refused(String),
}

impl<'w> Site<'w> {
    pub async fn begin(world: &'w mut World) -> Self {
        world.start_core();
        let operator = Operator::of(world).await;
        lay_wire(world);
        for kind in Kind::ALL {
            operator.add_component(world, kind).await;
        }
        let node = Hypervisor::add(world, &operator, 1).await;
        let scope = operator.add_project(&name("faults")).await;
        Self {
            world,
            operator,
            scope,
            images: 0,
            node: Some(node),
            newcomer: Newcomer::default(),
            token: None,
            shown: None,
            fault: None,
            usual: BTreeMap::new(),
        }
    }

    /// Goes through a stage with nothing going wrong.
    pub async fn pass(&mut self, stage: Stage) {
        stage.prepare(self);
        self.arm(stage, None);
        self.go(stage).await;
        self.disarm();
    }

    /// Goes through a stage with nothing going wrong, to know what has to come of it; says which steps
    /// each program reaches.
    pub async fn learn(&mut self, stage: Stage) -> BTreeMap<Program, Vec<String>> {
        for program in Program::ALL {
            let always = stage.always(program).unwrap_or_default();
            self.world.watch(program, &always);
        }
        stage.prepare(self);
        self.go(stage).await;
        let seen = async |this: &Self| {
            let seen = Program::ALL.map(|program| (program, this.world.seen(program)));
            (this.picture().await, BTreeMap::from(seen))
        };
        // Until nothing happens any more.
        let mut last = seen(self).await;
        loop {
            tokio::time::sleep(LATE).await;
            let next = seen(self).await;
            if next == last && next.0.is_some() {
                break;
            }
            last = next;
        }
        self.disarm();
        self.usual.extend(last.0.map(|picture| (stage, picture)));
        last.1
    }

    /// Goes through a stage while something goes wrong; says whether it came to that.
    ///
    /// # Panics
    /// With what is not as it has to be.
    pub async fn endure(&mut self, stage: Stage, case: Option<Case>) -> bool {
        stage.prepare(self);
        self.arm(stage, case);
        self.go(stage).await;
        self.same(stage).await;
        // Some steps come behind all that is to be seen.
        let until = Instant::now() + LATE;
        while self.fault.is_some() && Instant::now() < until {
            tokio::time::sleep(PAUSE).await;
            if self.strike() {
                self.reached(stage).await;
                self.same(stage).await;
            }
        }
        let reached = self.fault.take().is_none();
        self.disarm();
        if let Some(case) = case {
            // How often a step is passed depends on what is done at once; the first time has to be.
            assert!(reached || case.time > 1, "the step was never reached");
        }
        reached
    }

    fn arm(&mut self, stage: Stage, case: Option<Case>) {
        for program in Program::ALL {
            let own = case.filter(|case| case.program == program);
            let always = stage.always(program);
            if own.is_none() && always.is_none() {
                continue;
            }
            let first = own.map_or_else(|| "# nothing".to_owned(), |case| case.told());
            let text = format!("{first}\n{}", always.unwrap_or_default());
            let note = self.world.arm(program, &text);
            if let Some(case) = own {
                self.fault = Some((case, note));
            }
        }
    }

    fn disarm(&mut self) {
        for program in Program::ALL {
            self.world.disarm(program);
        }
    }

    /// Takes down what is not the world's, also behind a case that failed.
    ///
    /// # Panics
    /// Where that leaves anything.
    pub fn end(&mut self) {
        self.disarm();
        self.newcomer.end(self.world);
        if let Some(node) = self.node.take() {
            node.end();
        }
    }

    pub fn node(&self) -> &Hypervisor {
        self.node.as_ref().expect("it is there until the end")
    }

    pub fn client(&self) -> &Client {
        self.operator.client()
    }

    async fn go(&mut self, stage: Stage) {
        self.until(&stage.to_string(), async |site| {
            match stage.ask(site).await {
                Ok(done) => done.then_some(()),
                // It was made, or deleted, at an earlier try whose answer got lost.
                Err(error) if matches!(error.code(), Some("name_taken" | "not_found")) => Some(()),
                Err(error) => {
                    // What goes wrong meanwhile may be that no hypervisor is connected.
                    let gone = matches!(
                        error.code(),
                        None | Some("changed" | "unavailable" | "no_capacity")
                    );
                    assert!(gone, "{stage}: {error}");
                    None
                }
            }
        })
        .await;
        self.reached(stage).await;
    }

    /// Waits until it is as it was asked for. What was refused is to say what was made to go wrong, and is
    /// asked for again.
    async fn reached(&mut self, stage: Stage) {
        self.until(
            &format!("{stage}, and all is good"),
            async |site| match stage.standing(site).await? {
                Standing::Good => Some(()),
                Standing::Waiting => None,
                Standing::Refused(why) => {
                    assert!(
                        why.contains("this was made to fail"),
                        "refused, and not by the fault: {why}"
                    );
                    Stage::ask_again(site).await?;
                    None
                }
            },
        )
        .await;
    }

    /// Waits until host and records have what they have to have.
    async fn same(&mut self, stage: Stage) {
        let wanted = self.usual.get(&stage).expect("it was learnt").clone();
        let until = Instant::now() + CONVERGED;
        loop {
            self.strike();
            let note = self.note();
            let found = tokio::select! {
                found = self.picture() => found,
                () = noted(note) => None,
            };
            let differs = found.map(|found| differences(&wanted, &found));
            if differs.as_ref().is_some_and(Vec::is_empty) {
                return;
            }
            assert!(Instant::now() < until, "something differs: {differs:#?}");
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// What there is on the host and in the database; none where nobody answers.
    async fn picture(&self) -> Option<Picture> {
        let mut picture = of_records(self.operator.client(), &self.scope).await?;
        picture.extend(of_host(self.world.left()));
        let node = self.node().left().into_iter();
        picture.extend(of_host(
            node.map(|thing| format!("node: {thing}")).collect(),
        ));
        Some(picture)
    }

    /// How far all is that there is.
    pub async fn standing(&self) -> Option<Standing> {
        let jobs = self.scope.job().list(JOBS, None).await.ok()?.items;
        let open = jobs.iter().any(|job| !job.state.ended());
        let mut all = Vec::new();
        for network in self.scope.network().all().await.ok()? {
            let network = self.scope.network().get(&network.meta.name).await.ok()?;
            all.push((network.status.phase, said(&network.status.conditions)));
        }
        for instance in self.scope.instance().all().await.ok()? {
            let instance = self.scope.instance().get(&instance.meta.name).await.ok()?;
            all.push((instance.status.phase, said(&instance.status.conditions)));
        }
        for peer in self.scope.peer().all().await.ok()? {
            let peer = self.scope.peer().get(&peer.meta.name).await.ok()?;
            all.push((peer.status.phase, said(&peer.status.conditions)));
        }
        let refused = all.iter().find(|(phase, _)| *phase == Phase::Failed);
        Some(match refused {
            Some((_, why)) => Standing::Refused(why.clone()),
            None if !open && all.iter().all(|(phase, _)| *phase == Phase::Ready) => Standing::Good,
            None => Standing::Waiting,
        })
    }

    /// Takes from the hypervisor what it has of images.
    pub fn forget_images(&mut self) {
        let folder = self.world.state(Kind::Libvirt).join("images");
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            std::fs::remove_file(entry.path()).expect("the folder is ours");
        }
    }

    /// Looks until there is something, and lets go wrong what is to go wrong meanwhile.
    async fn until(&mut self, what: &str, look: impl AsyncFn(&mut Self) -> Option<()>) {
        let until = Instant::now() + CONVERGED;
        loop {
            self.strike();
            // A program that is held does not answer.
            let note = self.note();
            let looked = tokio::select! {
                looked = look(self) => looked,
                () = noted(note) => None,
            };
            if looked.is_some() {
                return;
            }
            let waited = CONVERGED.as_secs();
            assert!(
                Instant::now() < until,
                "waited {waited} s in vain until {what}"
            );
            tokio::time::sleep(PAUSE).await;
        }
    }

    fn note(&self) -> Option<PathBuf> {
        self.fault.as_ref().map(|(_, note)| note.clone())
    }

    /// Kills who is to be killed, once the step is reached; says whether it is now.
    fn strike(&mut self) -> bool {
        let Some((case, note)) = self.fault.take_if(|(_, note)| note.exists()) else {
            return false;
        };
        let Fault::Kill(victims) = case.fault else {
            return true;
        };
        let core = matches!(victims, Victims::Core | Victims::Both);
        let components: &[Kind] = match (victims, case.program) {
            (Victims::Core, _) => &[],
            (_, Program::Component(Kind::Libvirt)) => &[Kind::Libvirt],
            (_, Program::Component(Kind::Linux)) => &[Kind::Linux],
            (_, Program::Newcomer | Program::Node) => &[],
            // Where it is the core that is at the step, all of them go with it.
            (_, Program::Core) => &Kind::ALL,
        };
        let newcomer = matches!(
            (victims, case.program),
            (Victims::Component | Victims::Both, Program::Newcomer)
                | (Victims::Both, Program::Core)
        );
        if core {
            self.world.kill_core();
        }
        for kind in components {
            self.world.kill_component(*kind);
        }
        let node = matches!(
            (victims, case.program),
            (Victims::Component | Victims::Both, Program::Node) | (Victims::Both, Program::Core)
        );
        if node && let Some(node) = &mut self.node {
            node.kill();
        }
        let worked = newcomer && self.newcomer.kill() == Some(Doing::Working);
        // What is held and lives goes on.
        std::fs::write(rhyzome_fault::go(&note), "").expect("the folder is ours");
        if core {
            self.world.start_core();
        }
        for kind in components {
            self.world.start_component(*kind);
        }
        if node && let Some(node) = &mut self.node {
            node.start();
        }
        // One that was joining is let join again by who does that.
        if worked {
            self.world.arm_again(Program::Newcomer, ALWAYS);
            self.newcomer.work(self.world);
        }
        true
    }
}

/// Waits until something goes wrong.
async fn noted(note: Option<PathBuf>) {
    let Some(note) = note else {
        return std::future::pending().await;
    };
    while !note.exists() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// All that conditions say.
fn said(conditions: &[Condition]) -> String {
    let messages = conditions
        .iter()
        .map(|condition| condition.message.as_str());
    messages.collect::<Vec<_>>().join("; ")
}
