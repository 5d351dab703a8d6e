//! What the host has to give, and what stands in the way: the facts a component reports, and a look at
//! the machine for its operator.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rhyzome_hostnet::underlay;
use rhyzome_model::Size;
use rhyzome_model::component::HostFacts;
use rhyzome_model::instance::Firmware;

use crate::accelerator::{self, Choice, Evidence};
use crate::hypervisor::{Hypervisor, HypervisorError};
use crate::settings::Settings;
use crate::uefi::{self, Ovmf};

/// The largest IP packet on a segment of one host, which is Ethernet's.
const MTU: u16 = 1500;
/// What the host keeps for itself at least.
const RESERVE: u64 = 512 << 20;

/// Looks at processor, device and libvirt, and chooses.
pub async fn choose_accelerator(
    settings: &Settings,
    hypervisor: &Hypervisor,
) -> Result<Choice, HypervisorError> {
    let mut evidence = Evidence::of_host();
    let choice = accelerator::choose(settings.accelerator, &evidence);
    // libvirt is asked only where the answer counts: asking makes it probe.
    if choice.accelerator == accelerator::Accelerator::Kvm {
        evidence.libvirt = hypervisor.supports("kvm").await?;
        return Ok(accelerator::choose(settings.accelerator, &evidence));
    }
    Ok(choice)
}

/// The facts of a hypervisor.
pub async fn facts(
    settings: &Settings,
    hypervisor: &Hypervisor,
    choice: &Choice,
    (tunnel, disks): (&underlay::Found, String),
) -> Result<HostFacts, HypervisorError> {
    let versions = hypervisor.versions().await?;
    let mut firmware = vec![Firmware::Bios];
    let mut details = BTreeMap::from([
        (
            "accelerator".to_owned(),
            choice.accelerator.as_str().to_owned(),
        ),
        ("accelerator_reason".to_owned(), choice.why.clone()),
        ("disks".to_owned(), disks),
        ("libvirt".to_owned(), versions.libvirt),
        ("qemu".to_owned(), versions.qemu),
        ("tunnel".to_owned(), tunnel.said.clone()),
        ("uri".to_owned(), hypervisor.uri().to_owned()),
    ]);
    match Ovmf::find() {
        Some(_) => firmware.push(Firmware::Uefi),
        None => drop(details.insert("uefi".to_owned(), uefi::MISSING.to_owned())),
    }
    let processors = std::thread::available_parallelism().map_or(1, |count| count.get() as u32);
    // libvirt's own figure can be too small by far where the host is a guest itself.
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let hostname = nix::unistd::gethostname().unwrap_or_default();
    Ok(HostFacts {
        hostname: hostname.to_string_lossy().into_owned(),
        host: underlay::host_id(),
        cpus: settings.cpus.unwrap_or(processors),
        memory: settings.memory.unwrap_or_else(|| for_instances(&meminfo)),
        public_address: None,
        endpoint_ports: None,
        mtu: Some(tunnel.mtu.unwrap_or(MTU)),
        tunnel_address: tunnel.address,
        tunnel_address_guessed: tunnel.guessed,
        firmware,
        bridges: settings.bridges.keys().cloned().collect(),
        details,
    })
}

/// What instances may take in sum: all but a tenth, and at least half a GiB less; in whole MiB.
fn for_instances(meminfo: &str) -> Size {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| {
        line.trim()
            .trim_end_matches("kB")
            .trim()
            .parse::<u64>()
            .ok()
    });
    let total = kib.unwrap_or(0) << 10;
    Size::mib(total.saturating_sub((total / 10).max(RESERVE)) >> 20)
}

/// Something about the machine that an operator should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Whether instances can be made all the same.
    pub fine: bool,
    /// What was found, in a sentence, with what to do where there is something to do.
    pub text: String,
}

/// Looks at a machine as a hypervisor, without starting anything.
pub async fn examine(
    settings: &Settings,
    opened: Result<&Hypervisor, &HypervisorError>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    match opened {
        Ok(hypervisor) => {
            findings.extend(versions(hypervisor).await);
            if let Ok(choice) = choose_accelerator(settings, hypervisor).await {
                let text = format!(
                    "guests run on {}: {}",
                    choice.accelerator.as_str(),
                    choice.why
                );
                findings.push(Finding { fine: true, text });
            }
        }
        Err(error) => findings.push(Finding {
            fine: false,
            text: hint(error),
        }),
    }
    if let Some(folder) = impassable(&settings.state) {
        let text = format!(
            "QEMU's user cannot pass through {}: chmod o+x it, or put the state elsewhere",
            folder.display()
        );
        findings.push(Finding { fine: false, text });
    }
    if settings
        .state
        .to_string_lossy()
        .contains(|c: char| c == ' ' || c == ',' || c.is_control())
    {
        let text = format!(
            "the path {} has a space or a comma, which guests cannot be given",
            settings.state.display()
        );
        findings.push(Finding { fine: false, text });
    }
    findings.extend(
        rhyzome_hostnet::host_warnings()
            .await
            .into_iter()
            .map(|text| Finding { fine: true, text }),
    );
    findings
}

async fn versions(hypervisor: &Hypervisor) -> Option<Finding> {
    let versions = hypervisor.versions().await.ok()?;
    let text = format!("libvirt {} with QEMU {}", versions.libvirt, versions.qemu);
    Some(Finding { fine: true, text })
}

/// What libvirt said, with what helps where that is known.
pub fn hint(error: &HypervisorError) -> String {
    let mut text = error.to_string();
    let mut next = std::error::Error::source(error);
    while let Some(source) = next {
        text = format!("{text}: {source}");
        next = source.source();
    }
    let help = if text.contains("Failed to parse user") || text.contains("Failed to parse group") {
        "the user that libvirt runs guests as is missing: install libvirt-daemon-system, or make that user and group"
    } else if text.contains("driver.pid") {
        "another process has this state directory's libvirt open: the component runs already"
    } else if text.contains("libvirt-sock") {
        "libvirtd does not run, or this user may not use it"
    } else if text.contains("keepalive timeout") {
        "libvirtd hangs; restarting it stops no guest"
    } else if text.contains("socket is closed") || text.contains("End of file") {
        "libvirtd was stopped or restarted, or hung"
    } else {
        return text;
    };
    format!("{text} ({help})")
}

/// The first folder above a path that others cannot pass through.
pub(crate) fn impassable(path: &Path) -> Option<&Path> {
    let mut above: Vec<&Path> = path.ancestors().collect();
    above.reverse();
    above.into_iter().find(|folder| {
        std::fs::metadata(folder).is_ok_and(|metadata| metadata.permissions().mode() & 0o001 == 0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_keeps_a_tenth_and_at_least_half_a_gibibyte() {
        assert_eq!(
            for_instances("MemTotal:       25165824 kB\nMemFree: 1 kB\n"),
            Size::mib(22118)
        );
        assert_eq!(
            for_instances("MemTotal:       1048576 kB\n"),
            Size::mib(512)
        );
        assert_eq!(for_instances("MemTotal:       1024 kB\n"), Size::bytes(0));
        assert_eq!(for_instances(""), Size::bytes(0));
    }

    #[test]
    fn a_folder_that_is_closed_to_others_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        std::fs::create_dir(&inner).unwrap();
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(impassable(&inner), Some(folder.path()));
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o711)).unwrap();
        assert_eq!(impassable(&inner), None);
    }
}
