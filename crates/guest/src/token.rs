//! Tokens of the metadata service: good for one instance and for a time, and stored nowhere.
//!
//! A token is its end and a keyed hash over the instance and that end (HMAC, RFC 2104). The key is made
//! when the service starts: a restart makes tokens invalid, and clients ask for another.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use rand::RngCore;
use rhyzome_model::InstanceId;
use sha2::Sha256;

/// The longest that a token may be asked for (IMDSv2).
pub(crate) const LONGEST: Duration = Duration::from_secs(21_600);

pub(crate) struct Tokens {
    key: [u8; 32],
}

impl Tokens {
    pub fn new(random: &mut impl RngCore) -> Self {
        let mut key = [0; 32];
        random.fill_bytes(&mut key);
        Self { key }
    }

    pub fn make(&self, instance: InstanceId, good_for: Duration, now: SystemTime) -> String {
        let end = seconds(now)
            .saturating_add(good_for.as_secs())
            .to_be_bytes();
        let hash = self.hash(instance, end).finalize().into_bytes();
        URL_SAFE_NO_PAD.encode([&end[..], &hash].concat())
    }

    pub fn is_good(&self, token: &str, instance: InstanceId, now: SystemTime) -> bool {
        let Ok(bytes) = URL_SAFE_NO_PAD.decode(token) else {
            return false;
        };
        let Some((end, hash)) = bytes.split_first_chunk::<8>() else {
            return false;
        };
        let right = self.hash(instance, *end).verify_slice(hash).is_ok();
        right && seconds(now) < u64::from_be_bytes(*end)
    }

    fn hash(&self, instance: InstanceId, end: [u8; 8]) -> Hmac<Sha256> {
        let mut hash =
            Hmac::<Sha256>::new_from_slice(&self.key).expect("HMAC takes keys of any length");
        hash.update(instance.0.as_bytes());
        hash.update(&end);
        hash
    }
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_token_is_good_for_its_instance_its_time_and_its_service_alone() {
        let tokens = Tokens::new(&mut rand::rng());
        let (own, other) = (
            InstanceId(Uuid::from_u128(1)),
            InstanceId(Uuid::from_u128(2)),
        );
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let minute = Duration::from_secs(60);
        let token = tokens.make(own, minute, now);
        assert!(tokens.is_good(&token, own, now));
        assert!(tokens.is_good(&token, own, now + minute - Duration::from_secs(1)));
        assert!(!tokens.is_good(&token, own, now + minute));
        assert!(!tokens.is_good(&token, other, now));
        assert!(!Tokens::new(&mut rand::rng()).is_good(&token, own, now));
        let longer = tokens.make(own, 2 * minute, now);
        let forged = format!("{}{}", &longer[..11], &token[11..]);
        for wrong in ["", "x", "AAAA", &token[1..], &forged] {
            assert!(!tokens.is_good(wrong, own, now), "{wrong}");
        }
    }
}
