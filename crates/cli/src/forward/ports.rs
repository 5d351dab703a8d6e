//! Ports as they are typed: `8080:80`, `127.0.0.1:8080:80`, `[::1]:8080:80`.

use std::net::{IpAddr, Ipv4Addr};
use std::str::FromStr;

/// A port of this machine; 0 is any free one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Local {
    pub address: IpAddr,
    pub port: u16,
}

/// A port of this machine, and the instance's that it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ports {
    pub local: Local,
    pub remote: u16,
}

impl FromStr for Local {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a port like 8080 or 127.0.0.1:8080");
        let (address, port) = match text.rsplit_once(':') {
            Some((address, port)) => {
                let bare = address
                    .strip_prefix('[')
                    .and_then(|rest| rest.strip_suffix(']'));
                if bare.is_none() && address.contains(':') {
                    return Err(wrong());
                }
                (bare.unwrap_or(address).parse().map_err(|_| wrong())?, port)
            }
            None => (IpAddr::V4(Ipv4Addr::LOCALHOST), text),
        };
        Ok(Self {
            address,
            port: number(port).ok_or_else(wrong)?,
        })
    }
}

impl FromStr for Ports {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is not a pair of ports like 8080:80 or 127.0.0.1:8080:80");
        let (local, remote) = text.rsplit_once(':').ok_or_else(wrong)?;
        let remote = number(remote).filter(|port| *port != 0).ok_or_else(wrong)?;
        Ok(Self {
            local: local.parse().map_err(|_| wrong())?,
            remote,
        })
    }
}

/// A port's number: digits only.
fn number(text: &str) -> Option<u16> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expect: Option<(&str, u16, u16)>) {
        let got = text.parse::<Ports>().ok();
        let got = got.map(|ports| {
            (
                ports.local.address.to_string(),
                ports.local.port,
                ports.remote,
            )
        });
        let expect = expect.map(|(address, local, remote)| (address.to_owned(), local, remote));
        assert_eq!(got, expect, "{text}");
    }

    #[test]
    fn a_pair_of_ports_may_have_an_address() {
        check("8080:80", Some(("127.0.0.1", 8080, 80)));
        check("0:80", Some(("127.0.0.1", 0, 80)));
        check("0.0.0.0:8080:80", Some(("0.0.0.0", 8080, 80)));
        check("[::1]:8080:80", Some(("::1", 8080, 80)));
        for wrong in [
            "80",
            "8080:0",
            "8080:",
            ":80",
            "::1:8080:80",
            "a:80",
            "+1:80",
            "80:65536",
            "h:1:2",
        ] {
            check(wrong, None);
        }
    }
}
