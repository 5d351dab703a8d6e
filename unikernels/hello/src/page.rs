//! What is served: the page about this machine, the same as JSON, and the health check.

use core::fmt::{self, Display, Write};
use core::net::IpAddr;

use crate::http::{Method, Request, Status};
use crate::text::{Html, Json};

const STYLE: &str = include_str!("page/style.css");
const PICTURE: &str = include_str!("page/picture.svg");

/// No body is longer, whatever the facts.
pub const LONGEST: usize = 8192;

/// What a machine says about itself.
pub struct Facts<'a> {
    /// Its name.
    pub hostname: &'a str,
    /// The network that it is in, if it was told.
    pub network: Option<&'a str>,
    /// Its addresses and their prefix lengths.
    pub addresses: &'a [(IpAddr, u8)],
    /// Its ways out.
    pub gateways: &'a [IpAddr],
    /// The name servers that it was told.
    pub dns: &'a [IpAddr],
    /// Its card's address.
    pub mac: [u8; 6],
    /// Whether the IPv4 address came by DHCP.
    pub dhcp: bool,
    /// Bytes of RAM.
    pub memory: u64,
    /// Bytes of the kernel in RAM.
    pub kernel: u64,
    /// Time since boot.
    pub uptime_micros: u64,
    /// Requests answered, with this one.
    pub requests: u64,
}

/// Something that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// `/`
    Page,
    /// `/json`
    Json,
    /// `/healthz`
    Health,
    /// What a request gets that cannot have anything else.
    Refusal(Status),
}

impl Resource {
    /// What a request asks for.
    pub fn find(request: &Request<'_>) -> Self {
        if request.method == Method::Other {
            return Self::Refusal(Status::MethodNotAllowed);
        }
        match request.path {
            "/" | "/index.html" => Self::Page,
            "/json" => Self::Json,
            "/healthz" => Self::Health,
            _ => Self::Refusal(Status::NotFound),
        }
    }

    /// How a response with this begins.
    pub fn status(self) -> Status {
        match self {
            Self::Page | Self::Json | Self::Health => Status::Ok,
            Self::Refusal(status) => status,
        }
    }

    /// The media type of what `write` writes.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Page => "text/html; charset=utf-8",
            Self::Json => "application/json",
            Self::Health | Self::Refusal(_) => "text/plain; charset=utf-8",
        }
    }

    /// Writes the body. Fails only where `into` does.
    pub fn write(self, facts: &Facts<'_>, into: &mut dyn Write) -> fmt::Result {
        match self {
            Self::Page => page(facts, into),
            Self::Json => json(facts, into),
            Self::Health => into.write_str("ok\n"),
            Self::Refusal(status) => writeln!(into, "{}", status.line()),
        }
    }
}

fn page(facts: &Facts<'_>, into: &mut dyn Write) -> fmt::Result {
    let hostname = Html(facts.hostname);
    write!(
        into,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <link rel=\"icon\" href=\"data:,\"><title>{hostname} · Rhyzome</title>\n<style>{STYLE}</style></head>\n\
         <body><main><header>{PICTURE}<p>Rhyzome</p></header>\n<h1>{hostname}</h1>\n\
         <p class=\"lead\">A unikernel: one program with a network card, and no operating system under it.</p>\n<dl>\n"
    )?;
    for (address, prefix) in facts.addresses {
        row(
            into,
            if address.is_ipv4() { "IPv4" } else { "IPv6" },
            format_args!("<code>{address}/{prefix}</code>"),
        )?;
    }
    if let Some(network) = facts.network {
        row(into, "Network", Html(network))?;
    }
    for gateway in facts.gateways {
        row(into, "Gateway", format_args!("<code>{gateway}</code>"))?;
    }
    for server in facts.dns {
        row(into, "Name server", format_args!("<code>{server}</code>"))?;
    }
    row(
        into,
        "Card",
        format_args!("<code>{}</code>", Mac(facts.mac)),
    )?;
    row(
        into,
        "Memory",
        format_args!(
            "{}, of which the kernel takes {}",
            Size(facts.memory),
            Size(facts.kernel)
        ),
    )?;
    row(into, "Up for", Duration(facts.uptime_micros))?;
    row(into, "Requests", facts.requests)?;
    into.write_str(
        "</dl>\n<footer><a href=\"/json\">the same as JSON</a> · <a href=\"/healthz\">health</a></footer>\n\
         </main></body></html>\n",
    )
}

fn row(into: &mut dyn Write, name: &str, value: impl Display) -> fmt::Result {
    writeln!(into, "<div><dt>{name}</dt><dd>{value}</dd></div>")
}

fn json(facts: &Facts<'_>, into: &mut dyn Write) -> fmt::Result {
    write!(
        into,
        "{{\"hostname\":\"{}\",\"network\":",
        Json(facts.hostname)
    )?;
    match facts.network {
        Some(network) => write!(into, "\"{}\"", Json(network))?,
        None => into.write_str("null")?,
    }
    into.write_str(",\"addresses\":[")?;
    list(
        into,
        facts
            .addresses
            .iter()
            .map(|(address, prefix)| Address(*address, *prefix)),
    )?;
    into.write_str("],\"gateways\":[")?;
    list(into, facts.gateways.iter())?;
    into.write_str("],\"dns\":[")?;
    list(into, facts.dns.iter())?;
    let Facts {
        dhcp,
        memory,
        kernel,
        uptime_micros,
        requests,
        ..
    } = facts;
    writeln!(
        into,
        "],\"dhcp\":{dhcp},\"mac\":\"{}\",\"memory_bytes\":{memory},\"kernel_bytes\":{kernel},\
         \"uptime_ms\":{},\"requests\":{requests}}}",
        Mac(facts.mac),
        uptime_micros / 1000,
    )
}

fn list(into: &mut dyn Write, items: impl Iterator<Item = impl Display>) -> fmt::Result {
    for (index, item) in items.enumerate() {
        write!(into, "{}\"{item}\"", if index == 0 { "" } else { "," })?;
    }
    Ok(())
}

struct Address(IpAddr, u8);

impl Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.0, self.1)
    }
}

/// A hardware address, as `52:54:00:12:34:56`.
pub struct Mac(pub [u8; 6]);

impl Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

/// Bytes, as people say them.
pub struct Size(pub u64);

impl Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const KIB: u64 = 1 << 10;
        const MIB: u64 = 1 << 20;
        // Rounded: firmware keeps a few KiB of the whole number that a machine was given.
        if self.0 < MIB {
            return write!(f, "{} KiB", (self.0 + KIB / 2) / KIB);
        }
        match (self.0 * 10 + MIB / 2) / MIB {
            tenths if tenths < 100 => write!(f, "{}.{} MiB", tenths / 10, tenths % 10),
            _ => write!(f, "{} MiB", (self.0 + MIB / 2) / MIB),
        }
    }
}

/// Microseconds, as people say them: the two largest units.
struct Duration(u64);

impl Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0 / 1000;
        let seconds = millis / 1000;
        let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
        if days > 0 {
            write!(f, "{days} d {} h", hours % 24)
        } else if hours > 0 {
            write!(f, "{hours} h {} min", minutes % 60)
        } else if minutes > 0 {
            write!(f, "{minutes} min {} s", seconds % 60)
        } else if seconds > 0 {
            write!(f, "{seconds}.{} s", millis % 1000 / 100)
        } else {
            write!(f, "{millis} ms")
        }
    }
}

#[cfg(test)]
mod tests;
