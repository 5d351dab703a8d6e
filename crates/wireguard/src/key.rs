//! X25519 keys and preshared keys in WireGuard's notation: 32 bytes, in base64 with padding.
//!
//! A private key is overwritten when dropped, never printed by `Debug`, and leaves this module as
//! text only through [`PrivateKey::to_base64`]. A public key of low order is refused: with it the
//! shared secret would be zero whatever our private key is (RFC 7748, section 6.1).

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use x25519_dalek::StaticSecret;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

/// The length of a key in bytes.
pub const KEY_LENGTH: usize = 32;

/// Why a text is not a key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The text is not 44 characters of base64 (RFC 4648, section 4).
    #[error("a key is 44 characters of base64 ending in '=', this is {length} characters long")]
    Length {
        /// How many characters the text has.
        length: usize,
    },
    /// The text has the right length and is not base64 of 32 bytes.
    #[error("a key is base64 of 32 bytes, and this is not base64")]
    NotBase64,
    /// Every byte is zero: a key that was never set.
    #[error("the key is all zeros")]
    Zero,
    /// The public key is a point of low order: no secret can be agreed on with it.
    #[error("the public key is a point of low order, which no private key gives")]
    LowOrder,
}

/// A private X25519 key.
#[derive(Clone)]
pub struct PrivateKey(StaticSecret);

impl PrivateKey {
    /// Makes a new key out of `rng`.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; KEY_LENGTH]);
        rng.fill_bytes(bytes.as_mut());
        Self(StaticSecret::from(*bytes))
    }

    /// The public key that belongs to this private key.
    pub fn public_key(&self) -> PublicKey {
        PublicKey(x25519_dalek::PublicKey::from(&self.0))
    }

    /// The key as text, for the file it is kept in or the device it is shown to.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0.as_bytes()))
    }

    /// The key in the type of the WireGuard implementation.
    pub(crate) fn secret(&self) -> StaticSecret {
        self.0.clone()
    }
}

impl FromStr for PrivateKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = decode(text)?;
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(KeyError::Zero);
        }
        Ok(Self(StaticSecret::from(*bytes)))
    }
}

impl PartialEq for PrivateKey {
    /// Two private keys are the same if their public keys are: nothing secret is compared.
    fn eq(&self, other: &Self) -> bool {
        self.public_key() == other.public_key()
    }
}

impl Eq for PrivateKey {}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PrivateKey(…)")
    }
}

/// A public X25519 key, the name of a peer.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(x25519_dalek::PublicKey);

/// The points that make a shared secret which everybody knows, in every way to write them
/// (<https://cr.yp.to/ecdh.html#validate>). Multiplying shows them too, but takes thousands of times as long,
/// for each key that is read.
const LOW_ORDER: [[u8; KEY_LENGTH]; 7] = [
    little(0, 0, 0),
    little(1, 0, 0),
    [
        0xe0, 0xeb, 0x7a, 0x7c, 0x3b, 0x41, 0xb8, 0xae, 0x16, 0x56, 0xe3, 0xfa, 0xf1, 0x9f, 0xc4,
        0x6a, 0xda, 0x09, 0x8d, 0xeb, 0x9c, 0x32, 0xb1, 0xfd, 0x86, 0x62, 0x05, 0x16, 0x5f, 0x49,
        0xb8, 0x00,
    ],
    [
        0x5f, 0x9c, 0x95, 0xbc, 0xa3, 0x50, 0x8c, 0x24, 0xb1, 0xd0, 0xb1, 0x55, 0x9c, 0x83, 0xef,
        0x5b, 0x04, 0x44, 0x5c, 0xc4, 0x58, 0x1c, 0x8e, 0x86, 0xd8, 0x22, 0x4e, 0xdd, 0xd0, 0x9f,
        0x11, 0x57,
    ],
    little(0xec, 0xff, 0x7f),
    little(0xed, 0xff, 0x7f),
    little(0xee, 0xff, 0x7f),
];

/// The bytes of a number that has one value between its first and its last byte.
const fn little(first: u8, between: u8, last: u8) -> [u8; KEY_LENGTH] {
    let mut bytes = [between; KEY_LENGTH];
    (bytes[0], bytes[KEY_LENGTH - 1]) = (first, last);
    bytes
}

impl PublicKey {
    /// Takes the 32 bytes of a public key.
    ///
    /// # Errors
    /// All zeros, and points of low order.
    pub fn from_bytes(bytes: [u8; KEY_LENGTH]) -> Result<Self, KeyError> {
        if bytes == [0; KEY_LENGTH] {
            return Err(KeyError::Zero);
        }
        // The highest bit counts for nothing (RFC 7748, section 5).
        let mut masked = bytes;
        masked[KEY_LENGTH - 1] &= 0x7f;
        if LOW_ORDER.contains(&masked) {
            return Err(KeyError::LowOrder);
        }
        Ok(Self(x25519_dalek::PublicKey::from(bytes)))
    }

    /// The 32 bytes of the key.
    pub fn as_bytes(&self) -> &[u8; KEY_LENGTH] {
        self.0.as_bytes()
    }

    /// The key in the type of the WireGuard implementation.
    pub(crate) fn point(&self) -> x25519_dalek::PublicKey {
        self.0
    }
}

impl FromStr for PublicKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        Self::from_bytes(*decode(text)?)
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

impl PartialOrd for PublicKey {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for PublicKey {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A secret that two peers share besides their key pairs.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct PresharedKey([u8; KEY_LENGTH]);

impl PresharedKey {
    /// Makes a new key out of `rng`.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; KEY_LENGTH]);
        rng.fill_bytes(bytes.as_mut());
        Self(*bytes)
    }

    /// The key as text, for the configuration it is written to.
    pub fn to_base64(&self) -> Zeroizing<String> {
        Zeroizing::new(STANDARD.encode(self.0))
    }

    /// The bytes, for the WireGuard implementation.
    pub(crate) fn bytes(&self) -> [u8; KEY_LENGTH] {
        self.0
    }
}

impl FromStr for PresharedKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<Self, KeyError> {
        let bytes = decode(text)?;
        if bytes.iter().all(|byte| *byte == 0) {
            return Err(KeyError::Zero);
        }
        Ok(Self(*bytes))
    }
}

impl fmt::Debug for PresharedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PresharedKey(…)")
    }
}

impl Serialize for PresharedKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.to_base64())
    }
}

impl<'de> Deserialize<'de> for PresharedKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        text.parse().map_err(serde::de::Error::custom)
    }
}

fn decode(text: &str) -> Result<Zeroizing<[u8; KEY_LENGTH]>, KeyError> {
    if text.chars().count() != 44 {
        return Err(KeyError::Length {
            length: text.chars().count(),
        });
    }
    let decoded = Zeroizing::new(STANDARD.decode(text).map_err(|_| KeyError::NotBase64)?);
    let bytes: [u8; KEY_LENGTH] = decoded
        .as_slice()
        .try_into()
        .map_err(|_| KeyError::NotBase64)?;
    Ok(Zeroizing::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    #[test]
    fn a_known_private_key_gives_its_known_public_key() {
        // RFC 7748, section 6.1: Alice's pair.
        let private = "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=";
        let public = "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=";
        let key: PrivateKey = private.parse().unwrap();
        assert_eq!(key.public_key().to_string(), public);
        assert_eq!(key.to_base64().as_str(), private);
    }

    #[test]
    fn a_generated_key_survives_its_own_text() {
        let mut rng = StdRng::seed_from_u64(7);
        let key = PrivateKey::generate(&mut rng);
        let again: PrivateKey = key.to_base64().parse().unwrap();
        assert_eq!(again, key);
        assert_ne!(PrivateKey::generate(&mut rng), key);
    }

    #[test]
    fn a_private_key_is_not_printed() {
        let key = PrivateKey::generate(&mut StdRng::seed_from_u64(1));
        assert_eq!(format!("{key:?}"), "PrivateKey(…)");
        let shared = PresharedKey::generate(&mut StdRng::seed_from_u64(1));
        assert_eq!(format!("{shared:?}"), "PresharedKey(…)");
    }

    #[test]
    fn what_is_no_key_is_refused_and_says_why() {
        let check = |text: &str, expected: KeyError| {
            assert_eq!(text.parse::<PublicKey>(), Err(expected), "{text}");
        };
        check("", KeyError::Length { length: 0 });
        check("short", KeyError::Length { length: 5 });
        check(&"é".repeat(44), KeyError::NotBase64);
        check(&"A".repeat(44), KeyError::NotBase64);
        check(&format!("{}=", "A".repeat(43)), KeyError::Zero);
        let key: Result<PrivateKey, _> = format!("{}=", "A".repeat(43)).parse();
        assert_eq!(key, Err(KeyError::Zero));
    }

    #[test]
    fn points_of_low_order_are_refused_and_no_others() {
        // Every private key is a multiple of the cofactor, so any one of them shows a low order.
        let any = StaticSecret::from([1; KEY_LENGTH]);
        let is_low = |bytes| {
            let point = x25519_dalek::PublicKey::from(bytes);
            !any.diffie_hellman(&point).was_contributory()
        };
        for point in LOW_ORDER {
            let mut high = point;
            high[KEY_LENGTH - 1] |= 0x80;
            for bytes in [point, high] {
                assert!(is_low(bytes), "{bytes:?}");
                assert!(PublicKey::from_bytes(bytes).is_err(), "{bytes:?}");
            }
            // Its neighbours, and those of its other bytes.
            for index in 0..KEY_LENGTH {
                let mut other = point;
                other[index] ^= 2;
                assert_eq!(
                    PublicKey::from_bytes(other).is_err(),
                    is_low(other),
                    "{other:?}"
                );
            }
        }
    }
}
