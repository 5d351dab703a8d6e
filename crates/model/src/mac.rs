//! Ethernet addresses.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A unicast Ethernet address (IEEE 802), written as `52:54:00:12:34:56`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(try_from = "String", into = "String")]
#[schema(value_type = String, example = "52:54:00:12:34:56")]
pub struct MacAddr([u8; 6]);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a unicast Ethernet address like 52:54:00:12:34:56")]
pub struct InvalidMac(pub String);

impl MacAddr {
    pub fn octets(&self) -> [u8; 6] {
        self.0
    }

    /// A locally administered address, `02:…`.
    pub fn local(last: [u8; 5]) -> Self {
        let [b, c, d, e, f] = last;
        Self([0x02, b, c, d, e, f])
    }

    /// An address under the prefix `52:54:00` that QEMU's guests use by custom (locally administered).
    pub fn qemu(last: [u8; 3]) -> Self {
        Self([0x52, 0x54, 0, last[0], last[1], last[2]])
    }
}

impl FromStr for MacAddr {
    type Err = InvalidMac;
    fn from_str(text: &str) -> Result<Self, InvalidMac> {
        let invalid = || InvalidMac(text.to_owned());
        let mut octets = [0u8; 6];
        let mut parts = text.split(':');
        for octet in &mut octets {
            let part = parts.next().ok_or_else(invalid)?;
            if part.len() != 2 || !part.bytes().all(|b| b.is_ascii_hexdigit()) {
                return Err(invalid());
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| invalid())?;
        }
        let multicast = octets[0] & 1 == 1;
        if parts.next().is_some() || multicast || octets == [0; 6] {
            return Err(invalid());
        }
        Ok(Self(octets))
    }
}

impl TryFrom<String> for MacAddr {
    type Error = InvalidMac;
    fn try_from(text: String) -> Result<Self, InvalidMac> {
        text.parse()
    }
}

impl From<MacAddr> for String {
    fn from(mac: MacAddr) -> String {
        mac.to_string()
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
