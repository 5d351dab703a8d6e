//! The steps of workflows, and holding a program or making it fail at any of them.
//!
//! A part of the program declares its steps with [`steps!`], which makes the list of all of them along
//! with the type: there is no way to reach a step that is not in a list, so what goes through the lists
//! (`cargo xtask faults`) meets a new step by itself.
//!
//! What goes wrong is said by two variables of the environment. [`FAULT`] is `ACTION STEP` or
//! `ACTION STEP @N`: at the Nth time that the step is reached, by default the first, the action happens,
//! once. [`NOTE`] names a file that is made when it does, and not before; while it is there, nothing
//! happens any more, also after a restart. A release build reads neither, and reaching a step is free.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The variable with what goes wrong, and where.
pub const FAULT: &str = "RHYZOME_FAULT";
/// The variable with the file that says that it did.
pub const NOTE: &str = "RHYZOME_FAULT_NOTE";

/// How often it is looked whether what is held may go on.
const LOOK: Duration = Duration::from_millis(2);

/// A step of a workflow, as [`steps!`] declares it.
pub trait Step: Copy + 'static {
    /// All of them, in the order in which they were declared.
    const ALL: &'static [Self];

    /// What is about to be done, as in "writing the firewall": unlike any other step's of the program.
    fn as_str(self) -> &'static str;
}

/// Declares a type of steps with a text for each:
///
/// ```
/// rhyzome_fault::steps! {
///     /// Of making tea.
///     pub enum Tea {
///         Boil = "boiling the water",
///         Pour = "pouring it on the leaves",
///     }
/// }
/// use rhyzome_fault::Step;
/// assert_eq!(Tea::ALL.len(), 2);
/// assert_eq!(Tea::Pour.as_str(), "pouring it on the leaves");
/// ```
#[macro_export]
macro_rules! steps {
    (
        $(#[$meta:meta])*
        $visibility:vis enum $name:ident {
            $( $(#[$of_step:meta])* $step:ident = $text:literal, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        $visibility enum $name {
            $( $(#[$of_step])* $step, )*
        }

        impl $name {
            /// What is about to be done.
            $visibility const fn as_str(self) -> &'static str {
                match self {
                    $( Self::$step => $text, )*
                }
            }
        }

        impl $crate::Step for $name {
            const ALL: &'static [Self] = &[ $( Self::$step, )* ];

            fn as_str(self) -> &'static str {
                Self::as_str(self)
            }
        }
    };
}

/// What can go wrong at a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The program waits there until a file is made that is called as the note with `.go` behind it.
    Hold,
    /// The step fails as if the next try could succeed.
    Transient,
    /// The step fails as if no try could.
    Permanent,
    /// What is said there is lost on its way, and the connection with it.
    Lose,
    /// What is said there is said twice.
    Twice,
}

impl Action {
    pub const ALL: [Self; 5] = [
        Self::Hold,
        Self::Transient,
        Self::Permanent,
        Self::Lose,
        Self::Twice,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::Transient => "transient",
            Self::Permanent => "permanent",
            Self::Lose => "lose",
            Self::Twice => "twice",
        }
    }
}

/// That something was made to go wrong, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injected {
    pub action: Action,
    pub step: &'static str,
}

impl std::fmt::Display for Injected {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "this was made to fail at {:?}", self.step)
    }
}

impl std::error::Error for Injected {}

/// Reaches a step: waits where the program is to be held there.
///
/// # Errors
/// What is to go wrong there, where it is not only to be held.
pub fn reach(step: impl Step) -> Result<(), Injected> {
    if !cfg!(debug_assertions) {
        return Ok(());
    }
    static WANTED: OnceLock<Option<Wanted>> = OnceLock::new();
    match WANTED.get_or_init(Wanted::of_environment) {
        Some(wanted) => wanted.reached(step.as_str()),
        None => Ok(()),
    }
}

/// What is to go wrong.
#[derive(Debug)]
struct Wanted {
    action: Action,
    step: String,
    /// How often the step is passed before.
    left: AtomicU32,
    note: PathBuf,
}

impl Wanted {
    fn of_environment() -> Option<Self> {
        let (fault, note) = (std::env::var(FAULT).ok()?, std::env::var_os(NOTE)?);
        let wanted = Self::parse(&fault, Path::new(&note));
        assert!(
            wanted.is_some(),
            "{FAULT}={fault:?} says nothing that can go wrong"
        );
        wanted
    }

    fn parse(fault: &str, note: &Path) -> Option<Self> {
        let (action, rest) = fault.split_once(' ')?;
        let action = Action::ALL
            .into_iter()
            .find(|known| known.as_str() == action)?;
        let (step, time) = match rest.rsplit_once(" @") {
            Some((step, time)) => (step, time.parse::<u32>().ok()?),
            None => (rest, 1),
        };
        Some(Self {
            action,
            step: step.to_owned(),
            left: AtomicU32::new(time.checked_sub(1)?),
            note: note.to_owned(),
        })
    }

    fn reached(&self, step: &'static str) -> Result<(), Injected> {
        if step != self.step {
            return Ok(());
        }
        let less = |left: u32| left.checked_sub(1);
        let passed = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, less);
        // Made anew, so that of two processes, and of two starts, one alone has it go wrong.
        if passed.is_ok() || File::create_new(&self.note).is_err() {
            return Ok(());
        }
        match self.action {
            Action::Hold => {
                let go = go(&self.note);
                while !go.exists() {
                    std::thread::sleep(LOOK);
                }
                Ok(())
            }
            action => Err(Injected { action, step }),
        }
    }
}

/// The file that lets a program go on which is held with this note.
pub fn go(note: &Path) -> PathBuf {
    let mut name = note.as_os_str().to_owned();
    name.push(".go");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_wrong_goes_wrong_once_and_at_its_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let note = folder.path().join("note");
        let wanted = Wanted::parse("transient writing the rules @2", &note).expect("it is one");
        assert_eq!(wanted.reached("something else"), Ok(()));
        assert_eq!(wanted.reached("writing the rules"), Ok(()));
        assert!(!note.exists());
        let failed = wanted
            .reached("writing the rules")
            .expect_err("it is the second time");
        assert_eq!(failed.action, Action::Transient);
        assert!(note.exists());
        assert_eq!(wanted.reached("writing the rules"), Ok(()));

        // As after a restart.
        let again = Wanted::parse("transient writing the rules", &note).expect("it is one");
        assert_eq!(again.reached("writing the rules"), Ok(()));
    }

    #[test]
    fn what_is_held_goes_on_when_it_may() {
        let folder = tempfile::tempdir().expect("a folder");
        let note = folder.path().join("note");
        let wanted = Wanted::parse("hold looking", &note).expect("it is one");
        std::thread::scope(|scope| {
            let held = scope.spawn(|| wanted.reached("looking"));
            while !note.exists() {
                std::thread::yield_now();
            }
            assert!(!held.is_finished());
            File::create_new(go(&note)).expect("the folder is ours");
            assert_eq!(held.join().expect("no panic"), Ok(()));
        });
    }

    #[test]
    fn what_says_nothing_is_nothing() {
        for text in ["", "hold", "explode here", "hold here @0", "hold here @x"] {
            assert!(
                Wanted::parse(text, Path::new("/nowhere")).is_none(),
                "{text}"
            );
        }
    }
}
