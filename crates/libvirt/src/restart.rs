//! Whether and when a guest that ended by itself is started again.

use std::time::Duration;

use rhyzome_model::instance::RestartPolicy;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// A guest that ran so long is not in a loop: the pauses begin anew.
const STEADY: Duration = Duration::from_secs(600);

/// What is known when a guest has ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub policy: RestartPolicy,
    pub crashed: bool,
    /// How often it was started again without having run steadily since.
    pub attempts: u32,
    pub ran: Duration,
}

/// How many attempts count from now on, and how long to wait; none where it stays ended.
///
/// `luck` is from 0 to 1: pauses vary by a fifth, so that guests that died together do not start
/// together.
pub fn pause(ended: Ended, luck: f64) -> Option<(u32, Duration)> {
    let again = match ended.policy {
        RestartPolicy::Never => false,
        RestartPolicy::OnFailure => ended.crashed,
        RestartPolicy::Always => true,
    };
    let attempts = if ended.ran >= STEADY {
        0
    } else {
        ended.attempts
    };
    let doubled = FIRST.saturating_mul(1_u32.checked_shl(attempts.min(16)).unwrap_or(u32::MAX));
    let pause = doubled
        .min(LONGEST)
        .mul_f64(0.8 + 0.4 * luck.clamp(0.0, 1.0));
    again.then_some((attempts + 1, pause))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(policy: RestartPolicy, crashed: bool, expect: bool) {
        let ended = Ended {
            policy,
            crashed,
            attempts: 0,
            ran: Duration::ZERO,
        };
        assert_eq!(pause(ended, 0.5).is_some(), expect, "{policy:?} {crashed}");
    }

    #[test]
    fn the_policy_says_whether_it_starts_again() {
        check(RestartPolicy::Never, true, false);
        check(RestartPolicy::Never, false, false);
        check(RestartPolicy::OnFailure, true, true);
        check(RestartPolicy::OnFailure, false, false);
        check(RestartPolicy::Always, true, true);
        check(RestartPolicy::Always, false, true);
    }

    #[test]
    fn pauses_double_up_to_five_minutes_and_begin_anew_after_a_steady_run() {
        let after = |attempts, ran| {
            let ended = Ended {
                policy: RestartPolicy::Always,
                crashed: true,
                attempts,
                ran,
            };
            pause(ended, 0.5).unwrap()
        };
        assert_eq!(after(0, Duration::ZERO), (1, Duration::from_secs(1)));
        assert_eq!(after(3, Duration::ZERO), (4, Duration::from_secs(8)));
        assert_eq!(after(40, Duration::ZERO), (41, LONGEST));
        assert_eq!(after(40, STEADY), (1, Duration::from_secs(1)));
    }
}
