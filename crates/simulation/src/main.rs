//! `cargo xtask simulate [--seed N] [--steps N]`: lets everything go wrong by chance, in runs of ten thousand
//! steps, each with a seed of its own, and says how to see again what it finds.

use std::process::ExitCode;
use std::time::Instant;

use clap::Parser;

/// How many steps a run has at most: few enough that one is soon seen again.
const RUN: u64 = 10_000;

/// Simulates whole sites on which everything goes wrong.
#[derive(Parser)]
#[command(
    name = "cargo xtask simulate",
    bin_name = "cargo xtask simulate",
    version
)]
struct Arguments {
    /// Of the first run; each further one has the next.
    #[arg(long)]
    seed: Option<u64>,
    /// Of all runs together.
    #[arg(long, default_value_t = RUN)]
    steps: u64,
    /// Tells all that happens, as it happens.
    #[arg(long)]
    aloud: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let first = arguments.seed.unwrap_or_else(rand::random);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let began = Instant::now();
    let mut left = arguments.steps;
    let mut seed = first;
    while left > 0 {
        let steps = left.min(RUN);
        match runtime.block_on(rhyzome_simulation::run(seed, steps, arguments.aloud)) {
            Ok(done) => println!("seed {seed}: {steps} steps, well ({:016x})", done.digest),
            Err(found) => {
                eprintln!("{found}");
                return ExitCode::FAILURE;
            }
        }
        left -= steps;
        seed = seed.wrapping_add(1);
    }
    let seconds = began.elapsed().as_secs_f64();
    let steps = arguments.steps;
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let rate = steps as f64 / seconds;
    println!("{steps} steps in {seconds:.0} s, {rate:.0} a second");
    ExitCode::SUCCESS
}
