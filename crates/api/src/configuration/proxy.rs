//! Proxies of the operator's that people reach the core through.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Proxy {
    /// Where they connect from, as addresses or prefixes: whom they name is believed.
    #[serde(with = "nets")]
    pub trusted: Vec<IpNet>,
    /// The header that they name people in.
    pub header: ProxyHeader,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ProxyHeader {
    #[default]
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
}

/// An address alone is a prefix of its whole length.
mod nets {
    use std::net::IpAddr;

    use ipnet::IpNet;
    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(nets: &[IpNet], to: S) -> Result<S::Ok, S::Error> {
        nets.serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<IpNet>, D::Error> {
        let texts = Vec::<String>::deserialize(from)?;
        let net = |text: &String| {
            let address = text.parse::<IpAddr>().map(IpNet::from).ok();
            address.or_else(|| text.parse().ok()).ok_or_else(|| {
                D::Error::custom(format!(
                    "{text:?} is no address and no prefix; 10.0.0.1 and 10.0.0.0/24 are"
                ))
            })
        };
        texts.iter().map(net).collect()
    }
}
