//! Letting something go wrong in the programs of a world, and noting which steps they reach (see
//! `rhyzome_fault`).

use std::path::PathBuf;

use crate::world::{Kind, World};

/// The programs that a step can be in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Program {
    Core,
    Component(Kind),
    /// See [`crate::Newcomer`].
    Newcomer,
    /// See [`crate::hypervisor`].
    Node,
}

impl Program {
    pub const ALL: [Self; 5] = [
        Self::Core,
        Self::Component(Kind::Libvirt),
        Self::Component(Kind::Linux),
        Self::Newcomer,
        Self::Node,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Core => "core",
            Self::Component(kind) => kind.as_str(),
            Self::Newcomer => "newcomer",
            Self::Node => "node",
        }
    }
}

impl World {
    /// Lets something go wrong once in a program, from now on, a thing a line (see `rhyzome_fault`); returns
    /// the file that says that the first one did.
    pub fn arm(&mut self, program: Program, faults: &str) -> PathBuf {
        let file = self.faults(program);
        let note = rhyzome_fault::note(&file, 0);
        for old in [
            &note,
            &rhyzome_fault::note(&file, 1),
            &rhyzome_fault::go(&note),
        ] {
            // There is one only where there was a fault before.
            let _none = std::fs::remove_file(old);
        }
        self.armed += 1;
        // No two are the same text, so that a program counts anew; and what reads meanwhile reads the one or
        // the other.
        let text = format!("{}\n# {}\n", faults.trim_end(), self.armed);
        let new = self.path("faults");
        std::fs::write(&new, text).expect("the folder is ours");
        std::fs::rename(new, file).expect("the folder is ours");
        note
    }

    /// From now on nothing goes wrong in a program; what is held goes on.
    pub fn disarm(&mut self, program: Program) {
        let file = self.faults(program);
        let note = rhyzome_fault::note(&file, 0);
        std::fs::write(rhyzome_fault::go(&note), "").expect("the folder is ours");
        // There is none where nothing went wrong before.
        let _none = std::fs::remove_file(file);
    }

    /// Begins to note the steps that a program reaches, while these things go wrong.
    pub fn watch(&mut self, program: Program, faults: &str) {
        let seen = rhyzome_fault::seen(&self.faults(program));
        let _none = std::fs::remove_file(seen);
        self.arm(program, &format!("watch\n{faults}"));
    }

    /// Lets what a line says go wrong in a program once more.
    pub fn arm_again(&self, program: Program, line: usize) {
        // There is none where it did not come to it.
        let _none = std::fs::remove_file(rhyzome_fault::note(&self.faults(program), line));
    }

    /// The steps that a program has reached since it is watched, in their order.
    pub fn seen(&self, program: Program) -> Vec<String> {
        let seen = std::fs::read_to_string(rhyzome_fault::seen(&self.faults(program)));
        seen.unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect()
    }

    /// The file with what goes wrong in a program.
    pub(crate) fn faults(&self, program: Program) -> PathBuf {
        self.path(&format!("faults-{}", program.as_str()))
    }
}
