//! Services: their processes, and what happens when one ends.
//!
//! ```text
//!   set ──► running ──ended──► waiting 5 s ──► running           with respawn; too short six times: crashed
//!                  └─ended──► ended                              without
//! ```

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitStatus, waitpid};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::super::PATH;
use super::super::log::say;
use super::super::ubus::Status;

/// `procd_set_param respawn`: a process that ran for less than the first ended too early; it waits the second for the
/// next, in seconds; after so many as the third it waits for ever, unless that is 0. Without figures, these.
const RESPAWN: [u64; 3] = [3600, 5, 5];

/// How long a process may take to end when it is asked to.
const TERM: Duration = Duration::from_secs(5);

#[derive(Default)]
pub struct Services {
    state: Mutex<State>,
    /// Held while a service is changed: the real one does one thing after the other.
    changing: Mutex<()>,
}

#[derive(Default)]
struct State {
    services: BTreeMap<String, Service>,
    /// Who waits for the end of a process that is no service.
    waiting: HashMap<i32, Sender<i32>>,
}

struct Service {
    instances: BTreeMap<String, Instance>,
    /// A package, and the command that reloads what depends on it.
    triggers: Vec<(String, String)>,
}

#[derive(Clone)]
struct Instance {
    /// As it was given, with a sum of the files that it depends on.
    given: Value,
    files: Vec<Option<Vec<u8>>>,
    pid: Option<i32>,
    started: Instant,
    early: u64,
    exit_code: Option<i32>,
}

impl Services {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }

    /// Waits for the ends of processes, for ever.
    pub fn reap(self: &Arc<Self>) -> ExitCode {
        loop {
            match waitpid(None, None) {
                Ok(WaitStatus::Exited(pid, code)) => self.ended(pid.as_raw(), code),
                Ok(WaitStatus::Signaled(pid, signal, _)) => {
                    self.ended(pid.as_raw(), 128 + signal as i32);
                }
                // Nobody is there yet.
                _ => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    fn ended(self: &Arc<Self>, pid: i32, code: i32) {
        let mut state = self.lock();
        if let Some(sender) = state.waiting.remove(&pid) {
            let _ = sender.send(code);
            return;
        }
        let mut all = state.services.iter_mut().flat_map(|(name, service)| {
            let instances = service.instances.iter_mut();
            instances.map(move |(key, instance)| (name.clone(), key.clone(), instance))
        });
        let Some((name, key, instance)) = all.find(|(_, _, one)| one.pid == Some(pid)) else {
            return;
        };
        instance.pid = None;
        instance.exit_code = Some(code);
        let Some([threshold, wait, retries]) = instance.respawn() else {
            return;
        };
        if instance.started.elapsed().as_secs() < threshold {
            instance.early += 1;
        } else {
            instance.early = 0;
        }
        if retries > 0 && instance.early > retries {
            say(
                "procd",
                &format!(
                    "Instance {name}::{key} s in a crash loop {} crashes",
                    instance.early
                ),
            );
            return;
        }
        let (services, started) = (Arc::clone(self), instance.started);
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(wait));
            let mut state = services.lock();
            let service = state.services.get_mut(&name);
            let instance = service.and_then(|service| service.instances.get_mut(&key));
            if let Some(instance) = instance
                && instance.started == started
                && instance.pid.is_none()
            {
                instance.start();
            }
        });
    }

    /// Runs a program to its end. Returns what it ended with; nothing where it did not start.
    pub fn run(&self, command: &mut Command) -> Option<i32> {
        let (sender, receiver) = channel();
        {
            let mut state = self.lock();
            let child = command.env("PATH", PATH).spawn().ok()?;
            state.waiting.insert(child.id().cast_signed(), sender);
        }
        receiver.recv().ok()
    }

    pub fn list(&self, name: Option<&str>) -> Value {
        let state = self.lock();
        let services = state.services.iter();
        let services = services.filter(|(one, _)| name.is_none_or(|name| name == *one));
        let said = services.map(|(name, service)| {
            let instances = service.instances.iter();
            let instances: serde_json::Map<String, Value> = instances
                .map(|(key, instance)| (key.clone(), instance.said()))
                .collect();
            let said = match instances.is_empty() {
                true => json!({}),
                false => json!({"instances": instances}),
            };
            (name.clone(), said)
        });
        Value::Object(said.collect())
    }

    /// Makes a service have these instances and no others. One that is the same as before goes on.
    pub fn set(&self, arguments: &Value) -> Result<(), Status> {
        let _changing = self.changing.lock().expect("nobody panics with it");
        let name = arguments["name"].as_str().ok_or(Status::InvalidArgument)?;
        let wanted = arguments["instances"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        let mut before = match self.lock().services.remove(name) {
            Some(service) => service.instances,
            None => BTreeMap::new(),
        };
        let mut instances = BTreeMap::new();
        for (key, given) in wanted {
            let new = Instance::new(given);
            match before.remove(&key) {
                Some(old)
                    if old.given == new.given && old.files == new.files && old.pid.is_some() =>
                {
                    instances.insert(key, old);
                }
                Some(old) => {
                    end(old.pid);
                    instances.insert(key, new);
                }
                None => drop(instances.insert(key, new)),
            }
        }
        for old in before.into_values() {
            end(old.pid);
        }
        let mut state = self.lock();
        for instance in instances.values_mut().filter(|one| one.pid.is_none()) {
            instance.start();
        }
        let triggers = triggers(&arguments["triggers"]);
        let service = Service {
            instances,
            triggers,
        };
        state.services.insert(name.to_owned(), service);
        Ok(())
    }

    pub fn delete(&self, name: &str) -> Result<(), Status> {
        let _changing = self.changing.lock().expect("nobody panics with it");
        let service = self.lock().services.remove(name);
        let service = service.ok_or(Status::NotFound)?;
        for instance in service.instances.into_values() {
            end(instance.pid);
        }
        Ok(())
    }

    pub fn signal(&self, name: &str, signal: Option<i64>) -> Result<(), Status> {
        let signal = signal.unwrap_or(libc::SIGHUP.into());
        let signal = i32::try_from(signal)
            .ok()
            .and_then(|number| Signal::try_from(number).ok());
        let state = self.lock();
        let service = state.services.get(name).ok_or(Status::NotFound)?;
        for pid in service.instances.values().filter_map(|one| one.pid) {
            let _ = kill(Pid::from_raw(pid), signal);
        }
        Ok(())
    }

    /// The commands of those who want to know of a package's change.
    pub fn triggered_by(&self, package: &str) -> Vec<String> {
        let state = self.lock();
        let triggers = state
            .services
            .values()
            .flat_map(|service| &service.triggers);
        triggers
            .filter(|(wanted, _)| wanted == package)
            .map(|(_, command)| command.clone())
            .collect()
    }
}

/// `[{"package": …, "command": …}]`.
fn triggers(given: &Value) -> Vec<(String, String)> {
    let given = given.as_array().into_iter().flatten();
    let pairs = given.filter_map(|one| {
        let text = |key: &str| one[key].as_str().map(str::to_owned);
        Some((text("package")?, text("command")?))
    });
    pairs.collect()
}

/// Ends a process, with patience, and then without.
fn end(pid: Option<i32>) {
    let Some(pid) = pid else { return };
    let process = Pid::from_raw(pid);
    let _ = kill(process, Signal::SIGTERM);
    let begin = Instant::now();
    while kill(process, None).is_ok() {
        if begin.elapsed() > TERM {
            let _ = kill(process, Signal::SIGKILL);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn words<'a>(given: &'a Value, key: &str) -> Vec<&'a str> {
    let words = given[key].as_array().into_iter().flatten();
    words.filter_map(Value::as_str).collect()
}

impl Instance {
    fn new(given: Value) -> Self {
        let files = words(&given, "file").into_iter();
        Self {
            files: files.map(|path| fs::read(path).ok()).collect(),
            given,
            pid: None,
            started: Instant::now(),
            early: 0,
            exit_code: None,
        }
    }

    fn start(&mut self) {
        self.started = Instant::now();
        let command = words(&self.given, "command");
        let Some((program, arguments)) = command.split_first() else {
            return;
        };
        if !Path::new(program).exists() {
            self.exit_code = Some(127);
            return;
        }
        let environment = self.given["env"].as_object().into_iter().flatten();
        let environment = environment.filter_map(|(key, value)| Some((key, value.as_str()?)));
        let started = Command::new(program)
            .args(arguments)
            .env("PATH", PATH)
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        match started {
            Ok(child) => self.pid = Some(child.id().cast_signed()),
            Err(error) => say("procd", &format!("cannot start {program}: {error}")),
        }
    }

    /// Whether and how it is started again.
    fn respawn(&self) -> Option<[u64; 3]> {
        let given = self.given.get("respawn")?.as_array()?;
        let mut figures = RESPAWN;
        for (figure, said) in figures.iter_mut().zip(given) {
            let number = said.as_str().and_then(|text| text.parse().ok());
            *figure = number.or_else(|| said.as_u64()).unwrap_or(*figure);
        }
        Some(figures)
    }

    fn said(&self) -> Value {
        let mut said = json!({
            "running": self.pid.is_some(),
            "command": self.given["command"],
            "term_timeout": TERM.as_secs(),
        });
        if let Some(pid) = self.pid {
            said["pid"] = json!(pid);
        }
        if let Some(code) = self.exit_code.filter(|_| self.pid.is_none()) {
            said["exit_code"] = json!(code);
        }
        if let Some([threshold, timeout, retry]) = self.respawn() {
            said["respawn"] = json!({"threshold": threshold, "timeout": timeout, "retry": retry});
        }
        said
    }
}
