//! A further component beside the core, which joins, has its certificate renewed, is revoked and forgotten.

use std::path::PathBuf;
use std::process::Command;

use crate::faults::Program;
use crate::process::Running;
use crate::world::{CORE, CORE_PORT, World};
use crate::{host, programs};

/// A router that nothing is ever placed on.
#[derive(Default)]
pub struct Newcomer {
    /// With whether it is joining, or doing its work.
    process: Option<(Doing, Running)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    Joining,
    Working,
}

impl Newcomer {
    pub fn state(world: &World) -> PathBuf {
        world.path("newcomer")
    }

    /// The certificate that it shows, if it has joined.
    pub fn certificate(world: &World) -> Option<Vec<u8>> {
        std::fs::read(Self::state(world).join("identity/current/cert.pem")).ok()
    }

    pub fn log(world: &World) -> PathBuf {
        world.path("newcomer.log")
    }

    fn command(world: &World) -> Command {
        let file = world.path("newcomer.toml");
        let state = Self::state(world);
        let text = format!(
            "component.state_dir = \"{}\"\npublic_address = \"{CORE}\"\n",
            state.display()
        );
        std::fs::write(&file, text).expect("the folder is ours");
        let mut command = Command::new(programs::binary("rhyzome-linux"));
        command.arg("--config").arg(file);
        world.environment(Program::Newcomer, &mut command);
        command
    }

    /// Starts what joins; it ends by itself.
    pub fn join(&mut self, world: &World, token: &str) {
        let mut command = Self::command(world);
        command
            .arg("join")
            .arg(format!("https://{CORE}:{CORE_PORT}"));
        command.env("RHYZOME_JOIN_TOKEN", token);
        // What it says is this try's alone.
        let _none = std::fs::remove_file(Self::log(world));
        let running = Running::start(&world.core, command, &Self::log(world));
        self.process = Some((Doing::Joining, running));
    }

    pub fn work(&mut self, world: &World) {
        let mut command = Self::command(world);
        command.arg("run");
        let running = Running::start(&world.core, command, &Self::log(world));
        self.process = Some((Doing::Working, running));
    }

    pub fn doing(&self) -> Option<Doing> {
        self.process.as_ref().map(|(doing, _)| *doing)
    }

    /// Whether what joins has ended, with all that it said; none while it goes on.
    pub fn joined(&mut self) -> Option<Result<(), String>> {
        let (_, running) = self.process.as_mut()?;
        let status = running.ended()?;
        let said = running.output();
        self.process = None;
        Some(match status.success() {
            true => Ok(()),
            false => Err(said),
        })
    }

    /// Ends it as SIGKILL does; says what it did.
    pub fn kill(&mut self) -> Option<Doing> {
        let (doing, running) = self.process.take()?;
        running.kill_hard();
        Some(doing)
    }

    /// Takes it off the machine.
    ///
    /// # Panics
    /// Where that is not possible.
    pub fn end(&mut self, world: &World) {
        self.kill();
        if !Self::state(world).exists() {
            return;
        }
        let mut down = Self::command(world);
        down.args(["down", "--purge"]);
        let done = world.core.run(|| host::finish(down, None));
        done.unwrap_or_else(|error| panic!("the newcomer's down {error}"));
    }
}
