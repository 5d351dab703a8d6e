use super::*;

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
}

fn simulate(seed: u64, steps: u64) -> Done {
    match runtime().block_on(run(seed, steps, false)) {
        Ok(done) => done,
        Err(found) => panic!("{found}"),
    }
}

/// Other ones each time: what is found says its seed.
#[test]
fn ten_thousand_things_happen_and_everything_is_as_it_was_told() {
    for _ in 0..2 {
        simulate(rand::random(), 5_000);
    }
}

#[test]
fn a_seed_comes_out_the_same_each_time() {
    assert_eq!(simulate(7, 1_000), simulate(7, 1_000));
}

/// Seeds that found a mistake, as long as they would find it again. Each has a test of its own besides.
#[test]
fn what_was_found_once_is_not_found_again() {
    // Three at once. A placement changed while the outcome of its job was still held: the job came again
    // and was answered with what had been so before, and a network was shown with a key that it no longer
    // had. What waited for two things and was refused one waited in silence once it had the other. So did
    // what waited for something that itself waited for what was refused.
    simulate(2, 500);
    // A tunnel's end was changed by what happened on another host, while its own host had refused the segment
    // that it needs: it waited in silence.
    simulate(14_723_129_281_402_542_364, 500);
    // An instance's lease was refused while its host was at it, who then said to try it again later.
    simulate(14_723_129_281_402_542_382, 8_500);
}
