//! The steps of workflows, and holding a program or making it fail at any of them.
//!
//! A part of the program declares its steps with [`steps!`], which makes the list of all of them along
//! with the type: there is no way to reach a step that is not in a list, so what goes through the lists
//! (`cargo xtask faults`) meets a new step by itself.
//!
//! What goes wrong is said in the file that the variable [`FAULTS`] of the environment names, and can be
//! changed while the program runs. A line of it is `ACTION STEP` or `ACTION STEP @N`: at the Nth time that
//! the step is reached since the file was changed, by default the first, the action happens, once. A line
//! `watch` has every step noted that is reached; one that begins with `#` only makes a text another one. A
//! release build reads nothing, and reaching a step is free.

use std::collections::HashMap;
use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

/// The variable that names the file with what goes wrong, and where.
pub const FAULTS: &str = "RHYZOME_FAULTS";

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
    static FAULTS_FILE: OnceLock<Option<Faults>> = OnceLock::new();
    let of_environment = || Some(Faults::of(PathBuf::from(std::env::var_os(FAULTS)?)));
    match FAULTS_FILE.get_or_init(of_environment) {
        Some(faults) => faults.reached(step.as_str()),
        None => Ok(()),
    }
}

/// The file that is there once what a line says has happened; lines count from 0. While it is there, it
/// does not happen again, also after a restart.
pub fn note(faults: &Path, line: usize) -> PathBuf {
    with_ending(faults, &line.to_string())
}

/// The file that lets a program go on which is held with this note.
pub fn go(note: &Path) -> PathBuf {
    with_ending(note, "go")
}

/// Where the steps are noted that are reached, a line each.
pub fn seen(faults: &Path) -> PathBuf {
    with_ending(faults, "seen")
}

fn with_ending(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    name.into()
}

/// What is to go wrong, as it was last read.
#[derive(Debug)]
struct Faults {
    file: PathBuf,
    read: Mutex<Read>,
}

#[derive(Debug, Default)]
struct Read {
    text: String,
    /// How often each line's step was passed.
    passed: HashMap<usize, u32>,
}

impl Faults {
    fn of(file: PathBuf) -> Self {
        Self {
            file,
            read: Mutex::default(),
        }
    }

    fn reached(&self, step: &'static str) -> Result<(), Injected> {
        let text = std::fs::read_to_string(&self.file).unwrap_or_default();
        let Some((line, action)) = self.due(text, step) else {
            return Ok(());
        };
        let note = note(&self.file, line);
        // Made anew, so that of two processes, and of two starts, one alone has it go wrong.
        if File::create_new(&note).is_err() {
            return Ok(());
        }
        match action {
            Action::Hold => {
                let go = go(&note);
                while !go.exists() {
                    std::thread::sleep(LOOK);
                }
                Ok(())
            }
            action => Err(Injected { action, step }),
        }
    }

    /// The line whose time has come.
    fn due(&self, text: String, step: &str) -> Option<(usize, Action)> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if read.text != text {
            *read = Read {
                text,
                passed: HashMap::new(),
            };
        }
        let Read { text, passed } = &mut *read;
        let mut due = None;
        for (number, line) in text.lines().enumerate() {
            match line {
                "watch" => self.watch(step),
                comment if comment.starts_with('#') => {}
                line => {
                    let wanted = Wanted::parse(line);
                    let wanted =
                        wanted.unwrap_or_else(|| panic!("{line:?} says nothing that can go wrong"));
                    if wanted.step == step {
                        let times = passed.entry(number).or_default();
                        *times += 1;
                        if *times == wanted.time {
                            due = Some((number, wanted.action));
                        }
                    }
                }
            }
        }
        due
    }

    fn watch(&self, step: &str) {
        let file = File::options()
            .create(true)
            .append(true)
            .open(seen(&self.file));
        let noted = file.and_then(|mut file| file.write_all(format!("{step}\n").as_bytes()));
        noted.expect("the folder of the faults can be written to");
    }
}

/// What a line says.
#[derive(Debug, PartialEq, Eq)]
struct Wanted<'a> {
    action: Action,
    step: &'a str,
    /// At which time that the step is reached.
    time: u32,
}

impl<'a> Wanted<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (action, rest) = line.split_once(' ')?;
        let action = Action::ALL
            .into_iter()
            .find(|known| known.as_str() == action)?;
        let (step, time) = match rest.rsplit_once(" @") {
            Some((step, time)) => (step, time.parse::<u32>().ok()?),
            None => (rest, 1),
        };
        (time > 0).then_some(Self { action, step, time })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(folder: &tempfile::TempDir, text: &str) -> PathBuf {
        let path = folder.path().join("faults");
        std::fs::write(&path, text).expect("the folder is ours");
        path
    }

    #[test]
    fn what_goes_wrong_goes_wrong_once_and_at_its_time() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = file(&folder, "transient writing the rules @2");
        let faults = Faults::of(path.clone());
        assert_eq!(faults.reached("writing the rules"), Ok(()));
        assert_eq!(faults.reached("something else"), Ok(()));
        assert!(!note(&path, 0).exists());
        let failed = faults
            .reached("writing the rules")
            .expect_err("it is the second time");
        assert_eq!(failed.action, Action::Transient);
        assert!(note(&path, 0).exists());
        assert_eq!(faults.reached("writing the rules"), Ok(()));

        // As after a restart.
        let again = Faults::of(path);
        assert_eq!(again.reached("writing the rules"), Ok(()));
        assert_eq!(again.reached("writing the rules"), Ok(()));
    }

    #[test]
    fn what_goes_wrong_can_be_changed_meanwhile_and_be_several_things() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = file(&folder, "");
        let faults = Faults::of(path.clone());
        assert_eq!(faults.reached("looking"), Ok(()));
        file(&folder, "# 1\nlose looking\npermanent writing");
        assert!(faults.reached("looking").is_err());
        assert!(faults.reached("writing").is_err());
        assert!(note(&path, 1).exists() && note(&path, 2).exists());
    }

    #[test]
    fn steps_are_noted_where_somebody_watches() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = file(&folder, "watch");
        let faults = Faults::of(path.clone());
        assert_eq!(faults.reached("looking"), Ok(()));
        assert_eq!(faults.reached("writing"), Ok(()));
        let noted = std::fs::read_to_string(seen(&path)).expect("it was made");
        assert_eq!(noted, "looking\nwriting\n");
    }

    #[test]
    fn what_is_held_goes_on_when_it_may() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = file(&folder, "hold looking");
        let faults = Faults::of(path.clone());
        let note = note(&path, 0);
        std::thread::scope(|scope| {
            let held = scope.spawn(|| faults.reached("looking"));
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
            assert_eq!(Wanted::parse(text), None, "{text}");
        }
    }
}
