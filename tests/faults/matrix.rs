//! The cases: each step of each list, with all that can go wrong there. A step that is new in a list is
//! here by itself.

use std::fmt;

use rhyzome_component::step::JobStep;
use rhyzome_end_to_end::world::{Kind, Program};
use rhyzome_fault::{Action, Step};

/// One thing that goes wrong once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    pub program: Program,
    pub step: &'static str,
    /// At which time that the step is reached.
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

/// How often a step is passed that is part of each job, or of each commit, so that it is tried in different
/// workflows.
const OF_EACH_JOB: u32 = 8;
const OF_EACH_COMMIT: u32 = 24;

/// Steps that a site with one hypervisor, disks in a folder and images that are in its cache never comes
/// to. They are in the tests of networks that span hosts, and in the drivers' own.
const ELSEWHERE: [&str; 6] = [
    "setting the tunnel to another host",
    "connecting the segment with another host's",
    "disconnecting the segment from another host's",
    "fetching the image",
    "copying the image to the disk",
    "filling the disk with zeros",
];

/// All there are, those of one step after each other.
pub fn all() -> Vec<Case> {
    let mut cases = Vec::new();
    let [libvirt, linux] = Kind::ALL.map(Program::Component);
    of_a_driver::<rhyzome_linux::Step>(&mut cases, linux);
    of_a_driver::<rhyzome_libvirt::step::Step>(&mut cases, libvirt);
    for component in [libvirt, linux] {
        of_jobs(&mut cases, component);
    }
    of_the_core(&mut cases);
    cases
}

fn of_a_driver<S: Step>(cases: &mut Vec<Case>, program: Program) {
    let steps = S::ALL.iter().map(|step| step.as_str());
    for step in steps.filter(|step| !ELSEWHERE.contains(step)) {
        for fault in KILLS.into_iter().chain(FAILURES) {
            cases.push(Case {
                program,
                step,
                time: 1,
                fault,
            });
        }
    }
}

fn of_jobs(cases: &mut Vec<Case>, program: Program) {
    for &step in JobStep::ALL {
        let own: &[Fault] = match step {
            JobStep::Take => &[Fault::Step(Action::Twice)],
            JobStep::Tell => &[Fault::Step(Action::Lose)],
            JobStep::Accept | JobStep::Done | JobStep::Remove | JobStep::Removed => &FAILURES,
        };
        for time in 1..=OF_EACH_JOB {
            for &fault in KILLS.iter().chain(own) {
                cases.push(Case {
                    program,
                    step: step.as_str(),
                    time,
                    fault,
                });
            }
        }
    }
}

fn of_the_core(cases: &mut Vec<Case>) {
    let program = Program::Core;
    let mut push = |step, fault| {
        cases.extend((1..=OF_EACH_COMMIT).map(|time| Case {
            program,
            step,
            time,
            fault,
        }));
    };
    for step in rhyzome_app::step::Step::ALL {
        push(step.as_str(), Fault::Kill(Victims::Core));
        push(step.as_str(), Fault::Kill(Victims::Both));
    }
    for step in rhyzome_api::grpc::step::Step::ALL {
        push(step.as_str(), Fault::Kill(Victims::Core));
        push(step.as_str(), Fault::Step(Action::Lose));
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
        let program = match self.program {
            Program::Core => "core",
            Program::Component(kind) => kind.as_str(),
        };
        let fault = match self.fault {
            Fault::Kill(Victims::Component) => "kill the component",
            Fault::Kill(Victims::Core) => "kill the core",
            Fault::Kill(Victims::Both) => "kill both",
            Fault::Step(action) => action.as_str(),
        };
        write!(f, "{program}: {} ({}): {fault}", self.step, self.time)
    }
}
