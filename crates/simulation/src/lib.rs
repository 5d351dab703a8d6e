//! A whole site in one process, on which everything goes wrong that can, by chance, from one seed: the
//! real use cases on a real database (SQLite), the real sessions, the real job loop and ledger, around
//! simulated hosts. What should be is kept in a small model beside it and compared all the time.
//!
//! One thing happens at a time: one request, one message, one step of a job, one death. A run is a
//! seed and a number of steps, and comes out the same each time.
//!
//! Left out on purpose: gRPC, TLS and certificates, timers, HTTP, PostgreSQL, images' bytes, consoles.
//! What goes wrong in the middle of a driver's own work is `cargo xtask faults`' business.

mod chance;
mod check;
mod component;
mod core;
mod environment;
mod event;
mod gate;
mod link;
mod model;
mod operator;
mod settle;
mod time;
mod world;

use world::World;

/// How many steps there are between two times that all is brought to rest and compared.
const BETWEEN_RESTS: u64 = 500;

/// A run that came out well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Of all that happened: the same for the same seed.
    pub digest: u64,
}

/// What was found.
#[derive(Debug, thiserror::Error)]
#[error("seed {seed}, step {step}: {what}\nthe last actions:\n{}\nagain: cargo xtask simulate --seed {seed} --steps {step}", last.join("\n"))]
pub struct Found {
    pub seed: u64,
    pub step: u64,
    pub what: String,
    pub last: Vec<String>,
}

/// Lets so many things happen, and brings all to rest at the end; with `aloud`, all that happens is
/// printed.
///
/// # Errors
/// What was found to be wrong.
pub async fn run(seed: u64, steps: u64, aloud: bool) -> Result<Done, Box<Found>> {
    // Whether something is ready is asked without waiting. tokio would say no now and then, of a task that it lets
    // pause; when, follows from how quick other threads are.
    tokio::task::unconstrained(live(seed, steps, aloud)).await
}

async fn live(seed: u64, steps: u64, aloud: bool) -> Result<Done, Box<Found>> {
    let mut world = World::new(seed).await;
    world.story.aloud = aloud;
    for step in 1..=steps {
        let mut went = world.step().await;
        if went.is_ok() && (step % BETWEEN_RESTS == 0 || step == steps) {
            went = world.rest().await;
            world.change_weather();
        }
        if let Err(what) = went {
            let last = world.story.last();
            return Err(Box::new(Found {
                seed,
                step,
                what,
                last,
            }));
        }
    }
    Ok(Done {
        digest: world.story.digest(),
    })
}

#[cfg(test)]
mod tests;
