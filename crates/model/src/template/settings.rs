//! Network settings as each family wants them said on its command line.

use super::{InterfaceValues, InvalidTemplate, Values};
use crate::image::ImageFormat;

/// What MirageOS calls a network that its application has only one of, whose options carry no name.
const DEFAULT_DEVICE: &str = "service";

/// Whether a family has a syntax of its own.
pub fn check(format: &ImageFormat) -> Result<(), InvalidTemplate> {
    match format {
        ImageFormat::Pvh | ImageFormat::Multiboot | ImageFormat::Disk { .. } => {
            Err(InvalidTemplate::NoSettings {
                family: format.as_str(),
            })
        }
        ImageFormat::Solo5 { .. }
        | ImageFormat::Unikraft { .. }
        | ImageFormat::Linux
        | ImageFormat::Hermit
        | ImageFormat::Osv => Ok(()),
    }
}

/// The settings of all interfaces; nothing where there are none. `rest` is what comes behind them.
pub fn of(values: &Values<'_>, rest: &str) -> Result<String, InvalidTemplate> {
    check(values.format)?;
    Ok(match values.format {
        ImageFormat::Solo5 { .. } => mirage(values),
        ImageFormat::Unikraft { .. } => unikraft(values, rest),
        ImageFormat::Linux => linux(values),
        ImageFormat::Hermit => hermit(values),
        ImageFormat::Osv => osv(values),
        ImageFormat::Pvh | ImageFormat::Multiboot | ImageFormat::Disk { .. } => String::new(),
    })
}

fn joined(
    interfaces: &[InterfaceValues],
    one: impl Fn(usize, &InterfaceValues) -> String,
) -> String {
    let all: Vec<String> = interfaces
        .iter()
        .enumerate()
        .map(|(index, interface)| one(index, interface))
        .collect();
    all.join(" ")
}

/// MirageOS's runtime arguments (lib_runtime/mirage_runtime_network.ml): those of a second network carry
/// its group, which is called like the device. IPv6 is left out, because an application with a stack for
/// IPv4 alone ends at an option that it does not know.
fn mirage(values: &Values<'_>) -> String {
    let several = values.interfaces.len() > 1;
    joined(&values.interfaces, |index, interface| {
        let device = values.format.network_device(index);
        let group = device
            .filter(|device| several && *device != DEFAULT_DEVICE)
            .map_or_else(String::new, |device| format!("{device}-"));
        let (ip, prefix) = (interface.ipv4, interface.prefix4);
        let gateway = interface.gateway4;
        format!("--{group}ipv4={ip}/{prefix} --{group}ipv4-gateway={gateway}")
    })
}

/// The parameter of Unikraft's network devices (lib/uknetdev/netdev.c), once for each in order. What
/// comes before `--` is for Unikraft, what comes behind it for the application; without one, Unikraft
/// takes nothing (lib/ukboot).
fn unikraft(values: &Values<'_>, rest: &str) -> String {
    let mut written = joined(&values.interfaces, |index, interface| {
        let (ip, prefix) = (interface.ipv4, interface.prefix4);
        match index {
            0 => {
                let (gateway, host, domain) =
                    (interface.gateway4, &values.hostname, &interface.domain);
                format!("netdev.ip={ip}/{prefix}:{gateway}:{gateway}::{host}:{domain}")
            }
            _ => format!("netdev.ip={ip}/{prefix}"),
        }
    });
    let is_separated = rest.split_whitespace().any(|word| word == "--");
    if !written.is_empty() && !is_separated {
        written.push_str(" --");
    }
    written
}

/// Linux's `ip=` (Documentation/admin-guide/nfs/nfsroot.rst), which its kernel and the initial RAM disks
/// of distributions read: client, server, gateway, netmask, host name, device, method, DNS server.
fn linux(values: &Values<'_>) -> String {
    let host = &values.hostname;
    joined(&values.interfaces, |index, interface| {
        let (ip, netmask) = (interface.ipv4, interface.netmask());
        match index {
            0 => {
                let gateway = interface.gateway4;
                format!("ip={ip}::{gateway}:{netmask}:{host}:eth0:off:{gateway}")
            }
            index => format!("ip={ip}:::{netmask}:{host}:eth{index}:off"),
        }
    })
}

/// Hermit's options (src/env of its kernel), of its one interface.
fn hermit(values: &Values<'_>) -> String {
    joined(values.interfaces.get(..1).unwrap_or(&[]), |_, interface| {
        let (ip, netmask) = (interface.ipv4, interface.netmask());
        format!("-ip {ip} -mask {netmask} -gateway {}", interface.gateway4)
    })
}

/// OSv's options (loader.cc).
fn osv(values: &Values<'_>) -> String {
    let mut written = joined(&values.interfaces, |index, interface| {
        let (ip, netmask) = (interface.ipv4, interface.netmask());
        format!("--ip=eth{index},{ip},{netmask}")
    });
    if let Some(first) = values.interfaces.first() {
        let gateway = first.gateway4;
        written.push_str(&format!(" --defaultgw={gateway} --nameserver={gateway}"));
    }
    written
}
