//! The cases: each stage, each step of each list that a program reaches in it, with all that can go wrong
//! there. A step that is new in a list is here by itself, or fails all where no stage comes to it.

use std::collections::BTreeMap;
use std::fmt;

use rhyzome_component::step::{IdentityStep, JobStep};
use rhyzome_end_to_end::faults::Program;
use rhyzome_end_to_end::world::Kind;
use rhyzome_fault::{Action, Step};
use rhyzome_libvirt::step::Step as Driver;

use crate::stage::Stage;

/// One thing that goes wrong once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    pub stage: Stage,
    pub program: Program,
    pub step: &'static str,
    /// At which time that the step is reached in the stage.
    pub time: u32,
    pub fault: Fault,
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The programs are killed (SIGKILL) while one of them is at the step, and started again.
    Kill(Victims),
    /// The step itself goes wrong.
    Step(Action),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victims {
    Component,
    Core,
    Both,
}

/// Steps that a site with disks in a folder never comes to. They are in the driver's own tests.
const ELSEWHERE: [&str; 2] = [
    "copying the image to the disk",
    "filling the disk with zeros",
];

/// The steps that each program reached in each stage, in their order.
pub type Seen = BTreeMap<Stage, BTreeMap<Program, Vec<String>>>;

/// A list of steps of a program, and what can go wrong at each.
struct List {
    program: Program,
    /// With how often each is tried in a stage.
    steps: Vec<(&'static str, u32, Vec<Fault>)>,
}

/// All there are, by stage; and the steps that no stage comes to.
pub fn all(seen: &Seen) -> (Vec<Case>, Vec<&'static str>) {
    let lists = lists();
    let mut cases = Vec::new();
    for (stage, programs) in seen {
        for list in &lists {
            let reached = programs.get(&list.program).map_or(&[][..], Vec::as_slice);
            for (step, most, faults) in &list.steps {
                let times = reached.iter().filter(|text| text == step).count();
                let times = u32::try_from(times).unwrap_or(u32::MAX).min(*most);
                for time in 1..=times {
                    cases.extend(faults.iter().map(|fault| Case {
                        stage: *stage,
                        program: list.program,
                        step,
                        time,
                        fault: *fault,
                    }));
                }
            }
        }
    }
    let steps = lists.iter().flat_map(|list| &list.steps);
    let never = steps
        .filter(|(_, _, faults)| !faults.is_empty())
        .map(|(step, ..)| *step)
        .filter(|step| !ELSEWHERE.contains(step) && cases.iter().all(|case| case.step != *step))
        .collect();
    (cases, never)
}

fn lists() -> Vec<List> {
    let [libvirt, linux] = Kind::ALL.map(Program::Component);
    vec![
        of_a_driver::<rhyzome_linux::Step>(linux),
        of_a_driver::<Driver>(libvirt),
        of_the_node(),
        of_jobs(linux),
        of_jobs(libvirt),
        of_the_newcomer(),
        of_the_core(),
    ]
}

/// A driver's steps are tried once in each stage: what comes again there is the same again.
fn of_a_driver<S: Step>(program: Program) -> List {
    let faults = || KILLS.into_iter().chain(FAILURES).collect();
    let steps = S::ALL.iter().map(|step| (step.as_str(), 1, faults()));
    List {
        program,
        steps: steps.collect(),
    }
}

/// What the other hypervisor does because of another host; all else is what the first one does too.
fn of_the_node() -> List {
    let mut list = of_a_driver::<Driver>(Program::Node);
    let own = [Driver::Connect, Driver::Disconnect].map(Driver::as_str);
    list.steps.retain(|(step, ..)| own.contains(step));
    list
}

fn of_jobs(program: Program) -> List {
    let faults = |step: &JobStep| {
        let own: &[Fault] = match step {
            JobStep::Take => &[Fault::Step(Action::Twice)],
            JobStep::Tell => &[Fault::Step(Action::Lose)],
            JobStep::Accept | JobStep::Done | JobStep::Remove | JobStep::Removed => &FAILURES,
        };
        KILLS.iter().chain(own).copied().collect()
    };
    let steps = JobStep::ALL
        .iter()
        .map(|step| (step.as_str(), u32::MAX, faults(step)));
    List {
        program,
        steps: steps.collect(),
    }
}

fn of_the_newcomer() -> List {
    let faults = |step: &IdentityStep| {
        let own: &[Fault] = match step {
            // A look that changes nothing.
            IdentityStep::Look => return Vec::new(),
            IdentityStep::Switch => &[],
            IdentityStep::Key
            | IdentityStep::Join
            | IdentityStep::Joined
            | IdentityStep::Renew
            | IdentityStep::Renewed => &FAILURES[..1],
        };
        KILLS.iter().chain(own).copied().collect()
    };
    let steps = IdentityStep::ALL.iter();
    let steps = steps.map(|step| (step.as_str(), u32::MAX, faults(step)));
    List {
        program: Program::Newcomer,
        steps: steps.collect(),
    }
}

fn of_the_core() -> List {
    let kills = || vec![Fault::Kill(Victims::Core), Fault::Kill(Victims::Both)];
    let said = || vec![Fault::Kill(Victims::Core), Fault::Step(Action::Lose)];
    let changes = rhyzome_app::step::Step::ALL.iter();
    let changes = changes.map(|step| (step.as_str(), u32::MAX, kills()));
    let uploads = rhyzome_app::step::UploadStep::ALL.iter();
    let uploads = uploads.map(|step| (step.as_str(), u32::MAX, kills()));
    let talk = rhyzome_api::grpc::step::Step::ALL.iter();
    let talk = talk.map(|step| (step.as_str(), u32::MAX, said()));
    List {
        program: Program::Core,
        steps: changes.chain(uploads).chain(talk).collect(),
    }
}

const KILLS: [Fault; 3] = [
    Fault::Kill(Victims::Component),
    Fault::Kill(Victims::Core),
    Fault::Kill(Victims::Both),
];
const FAILURES: [Fault; 2] = [
    Fault::Step(Action::Transient),
    Fault::Step(Action::Permanent),
];

impl Case {
    /// As the program is told.
    pub fn told(&self) -> String {
        let action = match self.fault {
            Fault::Kill(_) => Action::Hold,
            Fault::Step(action) => action,
        };
        format!("{} {} @{}", action.as_str(), self.step, self.time)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (stage, program) = (self.stage, self.program.as_str());
        let fault = match self.fault {
            Fault::Kill(Victims::Component) => "kill the component",
            Fault::Kill(Victims::Core) => "kill the core",
            Fault::Kill(Victims::Both) => "kill both",
            Fault::Step(action) => action.as_str(),
        };
        let (step, time) = (self.step, self.time);
        write!(f, "{stage}: {program}: {step} ({time}): {fault}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    /// Where all steps of a list are gone through: the file with the list, its name, and a file with the words in it
    /// that go through it.
    const LISTS: [(&str, &str, &str, &[&str]); 9] = [
        ("app", "Step", HERE, &["rhyzome_app::step::Step::ALL"]),
        ("app", "UploadStep", HERE, &["step::UploadStep::ALL"]),
        ("api", "Step", HERE, &["grpc::step::Step::ALL"]),
        (
            "linux",
            "Step",
            HERE,
            &["of_a_driver::<rhyzome_linux::Step>"],
        ),
        ("libvirt", "Step", HERE, &["of_a_driver::<Driver>(libvirt)"]),
        ("component", "JobStep", HERE, &["JobStep::ALL"]),
        ("component", "IdentityStep", HERE, &["IdentityStep::ALL"]),
        // On a host that is upgraded, which no stage here is.
        (
            "component",
            "UpgradeStep",
            "tests/end_to_end/upgrade.rs",
            &["UpgradeStep::ALL.iter()", "UpgradeStep::GiveUp]"],
        ),
        // On a router of its own; that these two are all of them is a test beside them.
        (
            "openwrt",
            "Step",
            "crates/openwrt/tests/openwrt/kills.rs",
            &["for step in Step::CHANGE", "for step in Step::BACK"],
        ),
    ];
    const HERE: &str = "tests/faults/matrix.rs";

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    /// The crates and names of all lists that are declared below a folder.
    fn declared(folder: &Path, krate: &str, found: &mut BTreeSet<(String, String)>) {
        for entry in std::fs::read_dir(folder).expect("a folder of sources") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                declared(&path, krate, found);
            } else if path.extension().is_some_and(|end| end == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source");
                let code = text
                    .lines()
                    .filter(|line| !line.trim_start().starts_with("//"));
                let code: Vec<&str> = code.collect();
                let code = code.join("\n");
                for list in code.split("rhyzome_fault::steps! {").skip(1) {
                    let name = list
                        .split_whitespace()
                        .skip_while(|word| *word != "enum")
                        .nth(1);
                    let name = name.expect("a list has a name").to_owned();
                    found.insert((krate.to_owned(), name));
                }
            }
        }
    }

    #[test]
    fn every_list_of_steps_is_gone_through_here_or_where_it_is_said() {
        let mut found = BTreeSet::new();
        for entry in std::fs::read_dir(root().join("crates")).expect("crates") {
            let entry = entry.expect("an entry");
            let krate = entry.file_name().into_string().expect("a name");
            let sources = entry.path().join("src");
            if sources.is_dir() {
                declared(&sources, &krate, &mut found);
            }
        }
        let known = LISTS.map(|(krate, name, ..)| (krate.to_owned(), name.to_owned()));
        assert_eq!(
            found,
            BTreeSet::from(known),
            "a list is gone through nowhere"
        );
        for (krate, name, file, words) in LISTS {
            let text = std::fs::read_to_string(root().join(file)).expect("it is there");
            // Not what stands in this table.
            let text = text.split("mod tests {").next().expect("a beginning");
            for words in words {
                assert!(
                    text.contains(words),
                    "{krate}: {name}: {file} has no {words}"
                );
            }
        }
    }
}
