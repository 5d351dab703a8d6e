//! One guest for all tests of a program that want one, in which the program is run again for each of them.

use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::{Luggage, Machine};

/// Set where a test runs in the guest.
const INSIDE: &str = "RHYZOME_LAB";

/// How long one test may take inside.
const BOUND: Duration = Duration::from_secs(300);

/// The guest of a test program: a static of it. It boots when the first test asks for it, and is killed when the
/// program ends.
pub struct Lab {
    programs: &'static [&'static str],
    files: fn() -> Vec<PathBuf>,
    machine: Mutex<Option<Machine>>,
}

impl Lab {
    /// A guest with these programs of this machine.
    pub const fn with(programs: &'static [&'static str]) -> Self {
        Self::with_files(programs, Vec::new)
    }

    /// A guest with these programs, and files at the same paths as here.
    pub const fn with_files(
        programs: &'static [&'static str],
        files: fn() -> Vec<PathBuf>,
    ) -> Self {
        Self {
            programs,
            files,
            machine: Mutex::new(None),
        }
    }

    /// Runs a test in the guest: as the last thing of a test's function, which is called there again. One test runs
    /// at a time.
    ///
    /// # Panics
    /// With what the test said, where it failed; where there is no guest.
    pub fn run<F: FnOnce()>(&self, test: F) {
        if std::env::var_os(INSIDE).is_some() {
            return test();
        }
        let name = name_of::<F>();
        // A test that failed has left no machine, or a good one.
        let mut machine = self.machine.lock().unwrap_or_else(PoisonError::into_inner);
        let mut running = machine
            .take()
            .unwrap_or_else(|| Machine::boot(&self.luggage()));
        let program = own_program();
        let script = format!(
            "cd /tmp && export {INSIDE}=1 && exec '{}' --exact '{name}' --nocapture",
            program.display()
        );
        let output = running.run(&script, BOUND);
        *machine = Some(running);
        drop(machine);
        let text = output.text;
        assert!(output.status == 0, "{name} failed in the guest:\n{text}");
        assert!(
            text.contains("test result: ok. 1 passed"),
            "{name} is no test:\n{text}"
        );
        println!("{text}");
    }

    fn luggage(&self) -> Luggage {
        let mut luggage = Luggage::new();
        luggage.file(&own_program());
        for program in self.programs {
            luggage.program(program);
        }
        for file in (self.files)() {
            luggage.file(&file);
        }
        luggage
    }
}

fn own_program() -> PathBuf {
    std::env::current_exe().expect("a process has a program")
}

/// The name of the test whose closure this is, as the test program knows it: the closure's path without the crate in
/// front and the closure behind.
fn name_of<F>() -> &'static str {
    let path = std::any::type_name::<F>();
    let path = path.trim_end_matches("::{{closure}}");
    path.split_once("::").map_or(path, |(_, rest)| rest)
}
