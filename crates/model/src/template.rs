//! The placeholders of a kernel's command line: `{{ip}}` and its like.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::{MacAddr, Name};

/// What a command line's placeholders are filled in from: the core's allocation.
#[derive(Clone, Debug)]
pub struct Values {
    pub hostname: Name,
    /// None for an instance without an interface; using any of its words is then an error.
    pub interface: Option<InterfaceValues>,
}

#[derive(Clone, Debug)]
pub struct InterfaceValues {
    pub network: Name,
    pub mac: MacAddr,
    pub ipv4: Ipv4Addr,
    pub prefix4: u8,
    pub gateway4: Ipv4Addr,
    pub ipv6: Ipv6Addr,
    pub prefix6: u8,
    pub gateway6: Ipv6Addr,
}

/// The known words.
pub const WORDS: [&str; 10] = [
    "ip", "prefix", "gateway", "dns", "mac", "hostname", "ip6", "prefix6", "gateway6", "network",
];

/// The longest command line, in bytes, filled in or not (x86's `COMMAND_LINE_SIZE` in Linux).
pub const MAX_COMMAND_LINE: usize = 2048;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    #[error("the command line has an unknown word {{{{{0}}}}}; known are {known}", known = WORDS.join(", "))]
    Unknown(String),
    #[error("the command line has a {{{{ that is not closed by }}}}")]
    Open,
    #[error("the command line is {0} bytes long; at most {MAX_COMMAND_LINE} are possible")]
    TooLong(usize),
    #[error("the command line has a control character at byte {0}")]
    Control(usize),
    #[error("the command line uses {{{{{0}}}}}, but the instance has no network")]
    NoInterface(String),
}

/// Checks a template without values.
pub fn check(template: &str) -> Result<(), InvalidTemplate> {
    walk(template, |word| {
        if WORDS.contains(&word) {
            Ok(String::new())
        } else {
            Err(InvalidTemplate::Unknown(word.to_owned()))
        }
    })
    .map(drop)
}

/// Fills a template in.
pub fn fill(template: &str, values: &Values) -> Result<String, InvalidTemplate> {
    walk(template, |word| match (word, &values.interface) {
        ("hostname", _) => Ok(values.hostname.to_string()),
        (_, Some(interface)) => interface
            .get(word)
            .ok_or_else(|| InvalidTemplate::Unknown(word.to_owned())),
        (word, None) if WORDS.contains(&word) => Err(InvalidTemplate::NoInterface(word.to_owned())),
        (word, None) => Err(InvalidTemplate::Unknown(word.to_owned())),
    })
}

impl InterfaceValues {
    fn get(&self, word: &str) -> Option<String> {
        Some(match word {
            "ip" => self.ipv4.to_string(),
            "prefix" => self.prefix4.to_string(),
            "gateway" | "dns" => self.gateway4.to_string(),
            "mac" => self.mac.to_string(),
            "ip6" => self.ipv6.to_string(),
            "prefix6" => self.prefix6.to_string(),
            "gateway6" => self.gateway6.to_string(),
            "network" => self.network.to_string(),
            _ => return None,
        })
    }
}

fn walk(
    template: &str,
    mut value: impl FnMut(&str) -> Result<String, InvalidTemplate>,
) -> Result<String, InvalidTemplate> {
    if let Some(at) = template.bytes().position(|b| b.is_ascii_control()) {
        return Err(InvalidTemplate::Control(at));
    }
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once("{{") {
        let (word, after) = behind.split_once("}}").ok_or(InvalidTemplate::Open)?;
        filled.push_str(before);
        filled.push_str(&value(word.trim())?);
        rest = after;
    }
    filled.push_str(rest);
    if filled.len().max(template.len()) > MAX_COMMAND_LINE {
        return Err(InvalidTemplate::TooLong(filled.len().max(template.len())));
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> Values {
        Values {
            hostname: "web".parse().expect("a name"),
            interface: Some(InterfaceValues {
                network: "lab".parse().expect("a name"),
                mac: MacAddr::qemu([1, 2, 3]),
                ipv4: Ipv4Addr::new(10, 0, 0, 7),
                prefix4: 24,
                gateway4: Ipv4Addr::new(10, 0, 0, 1),
                ipv6: "fd00::7".parse().expect("an address"),
                prefix6: 64,
                gateway6: "fd00::1".parse().expect("an address"),
            }),
        }
    }

    #[test]
    fn every_known_word_is_filled_in() {
        let all: String = WORDS
            .iter()
            .map(|word| format!("{{{{{word}}}}} "))
            .collect();
        assert_eq!(check(&all), Ok(()));
        assert_eq!(
            fill(&all, &values()).as_deref(),
            Ok("10.0.0.7 24 10.0.0.1 10.0.0.1 52:54:00:01:02:03 web fd00::7 64 fd00::1 lab ")
        );
    }

    #[test]
    fn what_cannot_be_filled_in_is_named() {
        let bare = Values {
            interface: None,
            ..values()
        };
        assert_eq!(
            check("a={{ipv4}}"),
            Err(InvalidTemplate::Unknown("ipv4".to_owned()))
        );
        assert_eq!(
            fill("a={{ip}}", &bare),
            Err(InvalidTemplate::NoInterface("ip".to_owned()))
        );
        assert_eq!(check("a={{ip"), Err(InvalidTemplate::Open));
        assert_eq!(check("a\nb"), Err(InvalidTemplate::Control(1)));
        assert_eq!(
            check(&"x".repeat(2049)),
            Err(InvalidTemplate::TooLong(2049))
        );
    }
}
