//! `cargo xtask faults`: every step of every workflow, and all that can go wrong there, on the real
//! programs with real libvirt, namespaces and WireGuard. Needs root.
//!
//! A case lets one thing go wrong at one step, while somebody makes a network, an instance and a peer,
//! changes and deletes them. It is good if what was asked for comes to be nevertheless, or is refused with
//! the reason; if the host then has exactly what it has without any fault; and if nothing is left of it all
//! in the end, on the host and in the database.

mod host;
mod matrix;
mod tour;

use std::panic::AssertUnwindSafe;
use std::process::ExitCode;
use std::sync::Mutex;
use std::time::Instant;

use clap::Parser;
use futures::FutureExt as _;
use rhyzome_end_to_end::world::{INTERRUPTED, Kind};
use rhyzome_end_to_end::{Operator, World};

use matrix::Case;

/// Lets everything go wrong, one after the other.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask faults", version)]
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
    let cases = wanted(&arguments);
    if arguments.list {
        cases.iter().for_each(|case| println!("{case}"));
        return ExitCode::SUCCESS;
    }
    if cases.is_empty() {
        eprintln!("faults: there is no such case; --list says which there are");
        return ExitCode::from(2);
    }
    let began = Instant::now();
    let queue = Queue {
        left: Mutex::new(cases.clone().into_iter().rev().collect()),
        failed: Mutex::default(),
    };
    std::thread::scope(|scope| {
        for _ in 0..arguments.sites.clamp(1, cases.len()) {
            scope.spawn(|| work(&queue));
        }
    });
    let failed = queue.failed.into_inner().expect("no panic is let through");
    for (case, why) in &failed {
        println!("FAILED  {case}: {why}");
    }
    let seconds = began.elapsed().as_secs();
    println!(
        "faults: {} cases, {} failed, {seconds} s",
        cases.len(),
        failed.len()
    );
    match failed.is_empty() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn wanted(arguments: &Arguments) -> Vec<Case> {
    let all = matrix::all().into_iter();
    let named = all.filter(|case| match &arguments.only {
        Some(text) => case.to_string().contains(text),
        None => true,
    });
    let (number, of) = arguments.part.unwrap_or((1, 1));
    named.skip(number - 1).step_by(of).collect()
}

/// What is still to be tried, and what did not pass.
struct Queue {
    left: Mutex<Vec<Case>>,
    failed: Mutex<Vec<(Case, String)>>,
}

impl Queue {
    fn next(&self) -> Option<Case> {
        self.left.lock().expect("no panic is let through").pop()
    }

    /// Nothing more is tried.
    fn give_up(&self) {
        self.left.lock().expect("no panic is let through").clear();
    }

    fn fail(&self, case: Case, why: String) {
        self.failed
            .lock()
            .expect("no panic is let through")
            .push((case, why));
    }
}

/// Tries cases on one site after the other: one on which something failed is given up.
fn work(queue: &Queue) {
    while let Some(case) = queue.next() {
        let given_up = std::panic::catch_unwind(AssertUnwindSafe(|| {
            World::run(async |world| on_a_site(world, queue, case).await);
        }));
        if let Err(panic) = given_up {
            let why = said(&*panic);
            if why == INTERRUPTED {
                queue.give_up();
            }
            queue.fail(case, format!("the site was given up: {why}"));
        }
    }
}

async fn on_a_site(world: &mut World, queue: &Queue, first: Case) {
    world.start_core();
    let operator = Operator::of(world).await;
    for kind in Kind::ALL {
        operator.add_component(world, kind).await;
    }
    let scope = operator
        .add_project(&rhyzome_end_to_end::operator::name("faults"))
        .await;
    let usual = tour::without_faults(world, &scope).await;
    let mut next = Some(first);
    while let Some(case) = next {
        let began = Instant::now();
        let tried = AssertUnwindSafe(tour::with(world, &operator, &scope, case, &usual))
            .catch_unwind()
            .await;
        let seconds = began.elapsed().as_secs_f32();
        match tried {
            Ok(true) => println!("good    {seconds:5.1} s  {case}"),
            Ok(false) => println!("passed  {seconds:5.1} s  {case}: it is not passed so often"),
            Err(panic) => {
                let why = said(&*panic);
                println!("FAILED  {seconds:5.1} s  {case}: {why}");
                queue.fail(case, why);
                return tour::recover(world);
            }
        }
        next = queue.next();
    }
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("it panicked").to_owned()
}
