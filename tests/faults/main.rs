//! `cargo xtask faults`: every step of every workflow, and all that can go wrong there, on the real
//! programs with real libvirt, namespaces and WireGuard. Needs root.
//!
//! A site goes through stages: a network is made, an instance is started in it, and so on. A case lets one
//! thing go wrong at one step of one stage. It is good if what was asked for comes to be nevertheless, or is
//! refused with the reason; and if host and database then have exactly what they have behind that stage
//! where nothing goes wrong. Which steps belong to a stage is seen by going through it first.

mod life;
mod matrix;
mod newcomer;
mod picture;
mod site;
mod stage;

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use clap::Parser;
use futures::FutureExt as _;
use rhyzome_end_to_end::World;
use rhyzome_end_to_end::world::INTERRUPTED;

use matrix::{Case, Seen};
use site::Site;
use stage::Stage;

/// Lets everything go wrong, one after the other.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask faults", bin_name = "cargo xtask faults", version)]
struct Arguments {
    /// Only a part of the cases, as in 1/12: each part has some of every kind.
    #[arg(long, value_name = "N/M", value_parser = part)]
    part: Option<(usize, usize)>,
    /// Only the cases whose description has this in it.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Say which cases there are, and do nothing.
    #[arg(long)]
    list: bool,
    /// How many sites are tried on at once.
    #[arg(long, default_value_t = 2)]
    sites: usize,
}

fn part(text: &str) -> Result<(usize, usize), String> {
    let parsed = text
        .split_once('/')
        .and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
    match parsed {
        Some((number, of)) if (1..=of).contains(&number) => Ok((number, of)),
        _ => Err("a part is as 1/12".to_owned()),
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let began = Instant::now();
    let queue = Queue {
        arguments,
        cases: Mutex::default(),
        failed: Mutex::default(),
    };
    std::thread::scope(|scope| {
        for _ in 0..queue.arguments.sites.max(1) {
            scope.spawn(|| work(&queue));
        }
    });
    let failed = queue.failed.into_inner().expect("no panic is let through");
    for failure in &failed {
        println!("FAILED  {failure}");
    }
    let cases = queue.cases.into_inner().expect("no panic is let through");
    let tried = cases.map_or(0, |cases| cases.tried);
    let seconds = began.elapsed().as_secs();
    println!(
        "faults: {tried} cases, {} failed, {seconds} s",
        failed.len()
    );
    match failed.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

/// What is still to be tried, and what did not pass.
struct Queue {
    arguments: Arguments,
    /// None until it is known which there are.
    cases: Mutex<Option<Cases>>,
    failed: Mutex<Vec<String>>,
}

#[derive(Default)]
struct Cases {
    left: VecDeque<Case>,
    tried: usize,
}

impl Queue {
    /// With what one site has seen, the cases are known for all of them.
    fn fill(&self, seen: &Seen) {
        let mut cases = self.cases.lock().expect("no panic is let through");
        if cases.is_some() {
            return;
        }
        let (all, never) = matrix::all(seen);
        for step in never {
            self.fail(format!("no stage comes to the step {step:?}"));
        }
        let named = all.into_iter().filter(|case| match &self.arguments.only {
            Some(text) => case.to_string().contains(text),
            None => true,
        });
        let (number, of) = self.arguments.part.unwrap_or((1, 1));
        let wanted: Vec<Case> = named.skip(number - 1).step_by(of).collect();
        if wanted.is_empty() {
            self.fail("there is no such case; --list says which there are".to_owned());
        }
        let left = match self.arguments.list {
            true => {
                wanted.iter().for_each(|case| println!("{case}"));
                VecDeque::new()
            }
            false => wanted.into(),
        };
        *cases = Some(Cases { left, tried: 0 });
    }

    fn take(&self, stage: Stage) -> Option<Case> {
        let mut cases = self.cases.lock().expect("no panic is let through");
        let cases = cases.as_mut()?;
        let number = cases.left.iter().position(|case| case.stage == stage)?;
        cases.tried += 1;
        cases.left.remove(number)
    }

    /// The stages of a round through which some of what is left can be tried.
    fn round(&self) -> Vec<Stage> {
        let cases = self.cases.lock().expect("no panic is let through");
        let left = cases.as_ref().map(|cases| &cases.left);
        life::round(life::ALL, &|stage| {
            left.is_some_and(|left| left.iter().any(|case| case.stage == stage))
        })
    }

    fn is_done(&self) -> bool {
        let cases = self.cases.lock().expect("no panic is let through");
        cases.as_ref().is_some_and(|cases| cases.left.is_empty())
    }

    /// Nothing more is tried.
    fn give_up(&self) {
        let mut cases = self.cases.lock().expect("no panic is let through");
        cases.get_or_insert_default().left.clear();
    }

    fn fail(&self, why: String) {
        self.failed
            .lock()
            .expect("no panic is let through")
            .push(why);
    }
}

/// Tries cases on one site after the other: one on which something failed is given up.
fn work(queue: &Queue) {
    while !queue.is_done() {
        let given_up = std::panic::catch_unwind(AssertUnwindSafe(|| {
            World::run(async |world| on_a_site(&mut Site::begin(world).await, queue).await);
        }));
        if let Err(panic) = given_up {
            let why = said(&*panic);
            queue.fail(format!("a site was given up: {why}"));
            // What comes before all cases goes wrong again on the next site.
            if why == INTERRUPTED || queue.cases.lock().is_ok_and(|cases| cases.is_none()) {
                queue.give_up();
            }
        }
    }
}

async fn on_a_site(site: &mut Site<'_>, queue: &Queue) {
    // What a host keeps once it had something to do is there from the second round on.
    for stage in life::round(life::ALL, &|_| true) {
        site.pass(stage).await;
    }
    let mut seen = Seen::new();
    for stage in life::round(life::ALL, &|_| true) {
        seen.insert(stage, site.learn(stage).await);
    }
    queue.fill(&seen);
    while !queue.is_done() {
        for stage in queue.round() {
            let case = queue.take(stage);
            let began = Instant::now();
            let tried = AssertUnwindSafe(site.endure(stage, case))
                .catch_unwind()
                .await;
            let seconds = began.elapsed().as_secs_f32();
            let what = case.map_or_else(|| stage.to_string(), |case| case.to_string());
            match tried {
                Ok(_) if case.is_none() => println!("usual   {seconds:5.1} s  {what}"),
                Ok(true) => println!("good    {seconds:5.1} s  {what}"),
                Ok(false) => println!("passed  {seconds:5.1} s  {what}: not reached so often"),
                Err(panic) => {
                    let why = said(&*panic);
                    println!("FAILED  {seconds:5.1} s  {what}: {why}");
                    site.world.tell();
                    queue.fail(format!("{what}: {why}"));
                    return site.end();
                }
            }
        }
    }
    site.end();
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}
