//! A component's program is replaced while its network goes on: by one that is good, and by all kinds that are not.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rhyzome_component::step::UpgradeStep;
use rhyzome_end_to_end::faults::Program;
use rhyzome_end_to_end::host::Process;
use rhyzome_end_to_end::operator::{READY, STARTED, name};
use rhyzome_end_to_end::world::Kind;
use rhyzome_end_to_end::{Operator, World, programs, wait_for};
use rhyzome_fault::Step as _;
use rhyzome_model::network::NetworkSpec;
use rhyzome_model::resource::Component;
use rhyzome_model::upgrade::{Upgrade, UpgradePhase};
use rhyzome_model::{Digest, Name};
use rhyzome_wire::request::{UpgradeComponent, UpgradeSource};

use crate::kills::outliving;

const ROUTER: Kind = Kind::Linux;
/// How long a program is given to get a session that gets none, and one that does, in seconds.
const SOON: u32 = 5;
const TIME: u32 = 60;
/// How long an upgrade may take, whatever becomes of it.
const ENDED: Duration = Duration::from_secs(90);

pub async fn a_component_gets_another_program_and_goes_back_by_itself(world: &mut World) {
    let built = programs::binary("rhyzome-linux");
    let folder = world.path("host");
    let installed = programs::another(&built, &folder, "installed");
    world.install(ROUTER, installed.clone());
    world.start_core();
    let operator = Operator::of(world).await;
    let gate = operator.add_component(world, ROUTER).await;
    let scope = operator.client().within(&Name::default_project());
    let lab = NetworkSpec::default();
    let made = scope.network().create(&name("lab"), lab, Some(READY)).await;
    made.unwrap();
    let site = Site {
        operator: &operator,
        kind: ROUTER,
        gate: &gate,
    };
    let before = others(world);
    assert!(!before.is_empty(), "a network has processes");
    world.say("a router runs, with a network");

    let [first, second] =
        ["first", "second"].map(|which| programs::another(&built, &folder, which));
    good_ones_run(world, &site, [&installed, &first, &second]).await;
    bad_ones_are_refused(world, &site, &first).await;
    bad_ones_are_given_up(world, &site).await;
    one_without_a_session_is_given_up(world, &site, &second).await;
    killed_at_any_step_it_goes_on(world, &site, &built).await;
    an_installed_one_wins(world, &site, &built).await;

    let after = others(world);
    assert_eq!(before, after, "something was started again");
    world.say("its network has not noticed");
    scope
        .network()
        .delete(&name("lab"), None, Some(READY))
        .await
        .unwrap();
}

/// The same of a hypervisor's, as far as it is the program's own doing.
pub async fn a_hypervisor_gets_another_program_and_goes_back_by_itself(world: &mut World) {
    let kind = Kind::Libvirt;
    let built = programs::binary("rhyzome-libvirt");
    let folder = world.path("host");
    let [installed, good] =
        ["installed", "good"].map(|which| programs::another(&built, &folder, which));
    world.install(kind, installed.clone());
    world.start_core();
    let operator = Operator::of(world).await;
    let gate = &operator.add_component(world, kind).await;
    let operator = &operator;
    let site = Site {
        operator,
        kind,
        gate,
    };
    site.runs(world, &installed).await;
    let words = [
        "component",
        "upgrade",
        gate.as_str(),
        "--program",
        text(&good),
    ];
    let said = operator.rhyzome(&words);
    assert!(said.contains(" runs"), "{said}");
    site.runs(world, &good).await;
    world.say("it runs what was sent");
    bad_ones_are_given_up(world, &site).await;
    site.runs(world, &good).await;
}

/// What runs on the host beside the component, whatever its program is called.
fn others(world: &World) -> BTreeSet<Process> {
    let is_component = |process: &Process| process.arguments.iter().any(|word| word == "run");
    let processes = outliving(world).into_iter();
    processes.filter(|process| !is_component(process)).collect()
}

struct Site<'a> {
    operator: &'a Operator,
    kind: Kind,
    gate: &'a Name,
}

impl Site<'_> {
    async fn component(&self) -> Component {
        let components = self.operator.client().component();
        components.get(self.gate).await.unwrap()
    }

    /// Sends a program and asks for it, without looking at it first as the command line does.
    async fn ask(&self, program: &Path, within: u32) {
        let bytes = std::fs::read(program).unwrap();
        let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
        let project = Name::default_project();
        let blobs = self.operator.client().within(&project).blob();
        let sent = blobs.upload(&digest, size, std::io::Cursor::new(bytes), |_| {});
        sent.await.unwrap();
        let to = UpgradeSource::Program { project, digest };
        let request = UpgradeComponent { to, within };
        let components = self.operator.client().component();
        components.upgrade(self.gate, &request).await.unwrap();
    }

    /// Waits until an upgrade has ended and the component is connected; it is supervised meanwhile.
    async fn ended(&self, world: &mut World) -> Upgrade {
        wait_for("an upgrade has ended", ENDED, async || {
            world.keep_component(self.kind);
            let component = self.component().await;
            let upgrade = component.upgrade?;
            (component.connected && upgrade.phase.ended()).then_some(upgrade)
        })
        .await
    }

    async fn reason(&self, world: &mut World) -> String {
        let ended = self.ended(world).await;
        assert_eq!(ended.phase, UpgradePhase::Failed);
        ended.reason.unwrap()
    }

    /// Waits until the component says that it runs a program.
    async fn runs(&self, world: &mut World, program: &Path) {
        let digest = Digest::of(&std::fs::read(program).unwrap());
        wait_for(
            &format!("{} runs", program.display()),
            STARTED,
            async || {
                world.keep_component(self.kind);
                let component = self.component().await;
                let runs = component.program?.digest == digest;
                (component.connected && runs).then_some(())
            },
        )
        .await;
    }
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

async fn good_ones_run(world: &mut World, site: &Site<'_>, programs: [&PathBuf; 3]) {
    let [installed, first, second] = programs;
    site.runs(world, installed).await;
    let pid = world.component(ROUTER).pid();
    let gate = site.gate.as_str();
    for program in [first, second] {
        let words = ["component", "upgrade", gate, "--program", text(program)];
        let said = site.operator.rhyzome(&words);
        assert!(said.contains(" runs"), "{said}");
        site.runs(world, program).await;
    }
    let back = ["component", "upgrade", gate, "--back"];
    let said = site.operator.rhyzome(&back);
    assert!(said.contains("the program from before runs"), "{said}");
    site.runs(world, first).await;
    assert_eq!(
        world.component(ROUTER).pid(),
        pid,
        "it is one process all along"
    );

    world.kill_component(ROUTER);
    site.runs(world, first).await;
    let shown = site.operator.rhyzome(&["component", "show", gate]);
    let digest = Digest::of(&std::fs::read(first).unwrap()).to_string();
    assert!(shown.contains(&digest), "{shown}");
    assert_eq!(sent(world).len(), 2, "of three one is not needed");
    world.say("it runs what was sent, goes back when asked, and is that after a kill");
}

/// The programs that the component keeps.
fn sent(world: &World) -> Vec<String> {
    let entries = std::fs::read_dir(world.state(ROUTER).join("program")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name != "record.json").collect()
}

async fn bad_ones_are_refused(world: &mut World, site: &Site<'_>, runs: &Path) {
    let folder = world.path("host");
    let gate = site.gate.as_str();
    let mut bytes = std::fs::read(runs).unwrap();
    let half = folder.join("half");
    std::fs::write(&half, &bytes[..bytes.len() / 2]).unwrap();
    let other = folder.join("other");
    bytes[18] = if bytes[18] == 183 { 62 } else { 183 };
    std::fs::write(&other, &bytes).unwrap();

    // The command line sees these itself, and sends nothing.
    for (program, why) in [(&half, "it is cut off"), (&other, "it is built for")] {
        let words = ["component", "upgrade", gate, "--program", text(program)];
        let refused = site.operator.attempt(&words).unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
    let wrong = programs::binary("rhyzome-libvirt");
    let words = ["component", "upgrade", gate, "--program", text(&wrong)];
    let refused = site.operator.attempt(&words).unwrap_err();
    assert!(refused.contains("it is not rhyzome-linux"), "{refused}");
    assert!(refused.contains("exit status: 1"), "{refused}");

    let mute = programs::stand_in(&folder, "mute", "rhyzome-linux");
    for (program, why) in [
        (half, "it is cut off"),
        (other, "it is built for"),
        (mute, "it did not say within"),
    ] {
        site.ask(&program, TIME).await;
        let reason = site.reason(world).await;
        assert!(reason.contains(why), "{reason}");
    }
    site.runs(world, runs).await;
    assert_eq!(sent(world).len(), 2, "what was refused is gone");
    world.say("what is no program for it is refused, and why is said");
}

async fn bad_ones_are_given_up(world: &mut World, site: &Site<'_>) {
    let folder = world.path("host");
    for (does, why) in [
        ("exit", "it ended 3 times before it had a settled session"),
        ("hang", "it had no settled session with the core within 5 s"),
    ] {
        let program = format!("rhyzome-{}", site.kind.as_str());
        let bad = programs::stand_in(&folder, does, &program);
        site.ask(&bad, SOON).await;
        let reason = site.reason(world).await;
        assert!(reason.contains(why), "{reason}");
    }
    world.say("one that ends and one that hangs are given up");
}

/// The core goes away as soon as the program is tried.
async fn one_without_a_session_is_given_up(world: &mut World, site: &Site<'_>, program: &Path) {
    let [step, given_up] = [UpgradeStep::Start, UpgradeStep::GiveUp].map(UpgradeStep::as_str);
    let held = format!("hold {step}\nhold {given_up}");
    let note = world.arm(Program::Component(ROUTER), &held);
    site.ask(program, SOON).await;
    wait_for("it is about to be tried", ENDED, async || {
        note.exists().then_some(())
    })
    .await;
    world.kill_core();
    std::fs::write(rhyzome_fault::go(&note), "").unwrap();
    let second = note.with_extension("1");
    wait_for("it is given up", ENDED, async || {
        second.exists().then_some(())
    })
    .await;
    world.kill_component(ROUTER);
    world.disarm(Program::Component(ROUTER));
    world.start_core();
    let reason = site.reason(world).await;
    assert!(
        reason.contains("it had no settled session with the core within 5 s"),
        "{reason}"
    );

    let note = world.arm(Program::Component(ROUTER), &format!("hold {step}"));
    site.ask(program, SOON).await;
    wait_for("it is about to be tried", ENDED, async || {
        note.exists().then_some(())
    })
    .await;
    world.kill_core();
    world.disarm(Program::Component(ROUTER));
    let log = world.component(ROUTER).output().len();
    wait_for("it is given up", ENDED, async || {
        let output = world.component(ROUTER).output();
        output[log..]
            .contains("this program is given up")
            .then_some(())
    })
    .await;
    world.start_core();
    let reason = site.reason(world).await;
    assert!(reason.contains("could not be reached"), "{reason}");
    world.say("one that has no session is given up, and why it had none is said");
}

async fn killed_at_any_step_it_goes_on(world: &mut World, site: &Site<'_>, built: &Path) {
    // Given up is what has no session, which was killed there before.
    let steps = UpgradeStep::ALL.iter().map(|step| step.as_str());
    let steps = steps.filter(|step| *step != UpgradeStep::GiveUp.as_str());
    for (number, step) in steps.enumerate() {
        let program = programs::another(built, &world.path("host"), &format!("killed-{number}"));
        let note = world.arm(Program::Component(ROUTER), &format!("hold {step}"));
        site.ask(&program, TIME).await;
        wait_for(step, ENDED, async || note.exists().then_some(())).await;
        world.kill_component(ROUTER);
        world.disarm(Program::Component(ROUTER));
        let ended = site.ended(world).await;
        let reason = ended.reason;
        assert_eq!(ended.phase, UpgradePhase::Done, "{step}: {reason:?}");
        site.runs(world, &program).await;
        assert!(sent(world).len() <= 2, "{step}: {:?}", sent(world));
        std::fs::remove_file(&program).unwrap();
        world.say(&format!("killed while {step}, it goes on"));
    }
}

async fn an_installed_one_wins(world: &mut World, site: &Site<'_>, built: &Path) {
    let package = programs::another(built, &world.path("host"), "package");
    world.install(ROUTER, package.clone());
    world.kill_component(ROUTER);
    site.runs(world, &package).await;
    assert_eq!(sent(world), [""; 0], "what was sent is gone");
    let refused = site
        .operator
        .attempt(&["component", "upgrade", site.gate.as_str(), "--back"]);
    assert!(
        refused
            .unwrap_err()
            .contains("no program that it could go back to")
    );
    world.say("what is installed anew runs, whatever was sent before");
}
