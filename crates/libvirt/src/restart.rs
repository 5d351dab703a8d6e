//! Whether and when a guest that ended by itself is started again.

use std::time::Duration;

use rhyzome_model::instance::RestartPolicy;

use crate::ending::Outcome;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// A guest that ran so long is not in a loop: the pauses begin anew.
const STEADY: Duration = Duration::from_secs(600);

/// So many times without a steady run a guest may reboot itself at once; a guest that resets for ever is
/// one that crashes.
const REBOOTS: u32 = 3;

/// What is known when a guest has ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub policy: RestartPolicy,
    pub outcome: Outcome,
    /// How often it was started again without having run steadily since.
    pub attempts: u32,
    pub ran: Duration,
}

impl Ended {
    fn attempts(&self) -> u32 {
        if self.ran >= STEADY { 0 } else { self.attempts }
    }

    /// The outcome, in the light of how often it came about lately.
    pub fn verdict(&self) -> Outcome {
        match self.outcome {
            Outcome::Rebooted if self.attempts() >= REBOOTS => Outcome::Crashed,
            outcome => outcome,
        }
    }
}

/// How many attempts count from now on, and how long to wait; none where it stays ended.
///
/// `luck` is from 0 to 1: pauses vary by a fifth, so that guests that died together do not start
/// together.
pub fn pause(ended: Ended, luck: f64) -> Option<(u32, Duration)> {
    let attempts = ended.attempts();
    let again = match (ended.verdict(), ended.policy) {
        (Outcome::Rebooted, _) => return Some((attempts + 1, Duration::ZERO)),
        (_, RestartPolicy::Never) | (Outcome::ShutDown, RestartPolicy::OnFailure) => false,
        (Outcome::Crashed, RestartPolicy::OnFailure) | (_, RestartPolicy::Always) => true,
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

    use Outcome::{Crashed, Rebooted, ShutDown};

    fn check(policy: RestartPolicy, outcome: Outcome, expect: bool) {
        let ended = Ended {
            policy,
            outcome,
            attempts: 0,
            ran: Duration::ZERO,
        };
        assert_eq!(
            pause(ended, 0.5).is_some(),
            expect,
            "{policy:?} {outcome:?}"
        );
    }

    #[test]
    fn a_reboot_is_followed_at_once_and_one_after_the_other_is_a_crash() {
        for policy in [
            RestartPolicy::Never,
            RestartPolicy::OnFailure,
            RestartPolicy::Always,
        ] {
            check(policy, Rebooted, true);
        }
        let after = |policy, attempts, ran| {
            let ended = Ended {
                policy,
                outcome: Rebooted,
                attempts,
                ran,
            };
            (ended.verdict(), pause(ended, 0.5))
        };
        let short = Duration::from_secs(5);
        let at_once = |attempts| (Rebooted, Some((attempts, Duration::ZERO)));
        assert_eq!(after(RestartPolicy::OnFailure, 2, short), at_once(3));
        assert_eq!(
            after(RestartPolicy::OnFailure, 3, short),
            (Crashed, Some((4, Duration::from_secs(8))))
        );
        assert_eq!(after(RestartPolicy::Never, 3, short), (Crashed, None));
        assert_eq!(after(RestartPolicy::Never, 3, STEADY), at_once(1));
    }

    #[test]
    fn the_policy_says_whether_it_starts_again() {
        check(RestartPolicy::Never, Crashed, false);
        check(RestartPolicy::Never, ShutDown, false);
        check(RestartPolicy::OnFailure, Crashed, true);
        check(RestartPolicy::OnFailure, ShutDown, false);
        check(RestartPolicy::Always, Crashed, true);
        check(RestartPolicy::Always, ShutDown, true);
    }

    #[test]
    fn pauses_double_up_to_five_minutes_and_begin_anew_after_a_steady_run() {
        let after = |attempts, ran| {
            let ended = Ended {
                policy: RestartPolicy::Always,
                outcome: Crashed,
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
