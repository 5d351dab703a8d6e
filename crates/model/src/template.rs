//! The placeholders of a kernel's command line: `{{ip}}` and its like.
//!
//! A word stands for something of the first interface, or with an index behind it (`{{ip.1}}`) of another.
//! `{{network_settings}}` stands for all settings of all interfaces, as the image's family wants them said.

mod settings;

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::image::ImageFormat;
use crate::{MacAddr, Name};

/// What a command line's placeholders are filled in from: the core's allocation.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    pub hostname: Name,
    /// In the order of the instance's networks.
    pub interfaces: Vec<InterfaceValues>,
    /// What the command line is for, which says how network settings are written.
    pub format: &'a ImageFormat,
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
    /// The network's DNS domain.
    pub domain: String,
}

/// The words that stand for something of an interface.
pub const WORDS: [&str; 12] = [
    "ip", "prefix", "netmask", "gateway", "dns", "mac", "ip6", "prefix6", "gateway6", "network",
    "domain", "fqdn",
];
const HOSTNAME: &str = "hostname";
const NETWORK_SETTINGS: &str = "network_settings";

/// The longest command line, in bytes, filled in or not (x86's `COMMAND_LINE_SIZE` in Linux).
pub const MAX_COMMAND_LINE: usize = 2048;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTemplate {
    #[error("the command line has an unknown word {{{{{0}}}}}; known are {HOSTNAME}, {NETWORK_SETTINGS} and, of the first interface or with an index as in {{{{ip.1}}}}, {known}", known = WORDS.join(", "))]
    Unknown(String),
    #[error("the command line has a {{{{ that is not closed by }}}}")]
    Open,
    #[error("the command line is {0} bytes long; at most {MAX_COMMAND_LINE} are possible")]
    TooLong(usize),
    #[error("the command line has a control character at byte {0}")]
    Control(usize),
    #[error("the command line uses {{{{{word}}}}}, but {have}", have = have(*.networks))]
    NoInterface { word: String, networks: usize },
    #[error(
        "the command line uses {{{{{NETWORK_SETTINGS}}}}}, but {family} images have no syntax of their own for it: write it as the image wants it, as in ip={{{{ip}}}}/{{{{prefix}}}}"
    )]
    NoSettings { family: &'static str },
    #[error(
        "the image is a disk ({family}), whose boot loader has a command line of its own: leave this away, and put it into the image"
    )]
    Disk { family: &'static str },
}

fn have(networks: usize) -> String {
    match networks {
        0 => "the instance has no network".to_owned(),
        1 => "the instance has one network, whose index is 0".to_owned(),
        networks => format!("the instance has {networks} networks, counted from 0"),
    }
}

/// A word in double braces.
enum Word<'a> {
    Hostname,
    NetworkSettings,
    OfInterface { word: &'a str, index: usize },
}

impl<'a> Word<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (word, index) = match text.split_once('.') {
            Some((word, index)) => (word, Some(index.parse::<u8>().ok()?)),
            None => (text, None),
        };
        match (word, index) {
            (HOSTNAME, None) => Some(Self::Hostname),
            (NETWORK_SETTINGS, None) => Some(Self::NetworkSettings),
            _ if WORDS.contains(&word) => {
                let index = usize::from(index.unwrap_or(0));
                Some(Self::OfInterface { word, index })
            }
            _ => None,
        }
    }
}

/// Checks a template without values.
pub fn check(template: &str) -> Result<(), InvalidTemplate> {
    walk(template, |_, _| Ok(String::new())).map(drop)
}

/// Checks a template without values, for an image of a format.
pub fn check_for(template: &str, format: &ImageFormat) -> Result<(), InvalidTemplate> {
    check_boot(template, format)?;
    let checked = walk(template, |word, _| match word {
        Word::NetworkSettings => settings::check(format).map(|()| String::new()),
        Word::Hostname | Word::OfInterface { .. } => Ok(String::new()),
    });
    checked.map(drop)
}

/// Fills a template in.
pub fn fill(template: &str, values: &Values<'_>) -> Result<String, InvalidTemplate> {
    check_boot(template, values.format)?;
    walk(template, |word, rest| match word {
        Word::Hostname => Ok(values.hostname.to_string()),
        Word::NetworkSettings => settings::of(values, rest),
        Word::OfInterface { word, index } => {
            let interface = values.interfaces.get(index);
            let missing = || InvalidTemplate::NoInterface {
                word: match index {
                    0 => word.to_owned(),
                    index => format!("{word}.{index}"),
                },
                networks: values.interfaces.len(),
            };
            let interface = interface.ok_or_else(missing)?;
            Ok(interface.get(word, &values.hostname))
        }
    })
}

/// Whether anybody would read the command line.
fn check_boot(template: &str, format: &ImageFormat) -> Result<(), InvalidTemplate> {
    match format {
        ImageFormat::Disk { .. } if !template.is_empty() => Err(InvalidTemplate::Disk {
            family: format.as_str(),
        }),
        _ => Ok(()),
    }
}

/// The command line of an instance that gives none and whose image has none: its network settings, where
/// the family takes them that way and no other.
pub fn default_for(format: &ImageFormat, networks: usize) -> &'static str {
    match format {
        ImageFormat::Solo5 { .. } | ImageFormat::Unikraft { parameters: true } if networks > 0 => {
            "{{network_settings}}"
        }
        _ => "",
    }
}

impl InterfaceValues {
    fn get(&self, word: &str, hostname: &Name) -> String {
        match word {
            "ip" => self.ipv4.to_string(),
            "prefix" => self.prefix4.to_string(),
            "netmask" => self.netmask().to_string(),
            "gateway" | "dns" => self.gateway4.to_string(),
            "mac" => self.mac.to_string(),
            "ip6" => self.ipv6.to_string(),
            "prefix6" => self.prefix6.to_string(),
            "gateway6" => self.gateway6.to_string(),
            "network" => self.network.to_string(),
            "domain" => self.domain.clone(),
            "fqdn" => format!("{hostname}.{}", self.domain),
            _ => String::new(),
        }
    }

    fn netmask(&self) -> Ipv4Addr {
        let host = 32_u32.saturating_sub(self.prefix4.into());
        Ipv4Addr::from(u32::MAX.checked_shl(host).unwrap_or(0))
    }
}

/// Puts a value for each word, which is given what comes behind it too.
fn walk(
    template: &str,
    mut value: impl FnMut(Word<'_>, &str) -> Result<String, InvalidTemplate>,
) -> Result<String, InvalidTemplate> {
    if let Some(at) = template.bytes().position(|b| b.is_ascii_control()) {
        return Err(InvalidTemplate::Control(at));
    }
    let mut filled = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, behind)) = rest.split_once("{{") {
        let (text, after) = behind.split_once("}}").ok_or(InvalidTemplate::Open)?;
        let text = text.trim();
        let word = Word::parse(text).ok_or_else(|| InvalidTemplate::Unknown(text.to_owned()))?;
        filled.push_str(before);
        filled.push_str(&value(word, after)?);
        rest = after;
    }
    filled.push_str(rest);
    if filled.len().max(template.len()) > MAX_COMMAND_LINE {
        return Err(InvalidTemplate::TooLong(filled.len().max(template.len())));
    }
    Ok(filled)
}

#[cfg(test)]
mod tests;
