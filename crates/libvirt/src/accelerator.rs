//! Which accelerator guests get: KVM where a guest really can run on it, else QEMU's own translation.
//!
//! That `/dev/kvm` opens and libvirt lists the domain type says too little: on hosts that are guests
//! themselves both happen where the processor shows no virtualization, and guests then hang at their
//! first instruction.

use std::os::unix::fs::PermissionsExt as _;

use serde::{Deserialize, Serialize};

const DEVICE: &str = "/dev/kvm";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accelerator {
    Kvm,
    Qemu,
}

impl Accelerator {
    /// The domain type of libvirt.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Qemu => "qemu",
        }
    }
}

/// What the operator wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// KVM where it works.
    #[default]
    Auto,
    Kvm,
    Qemu,
}

/// What was found out about the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// Whether `/dev/kvm` opens for reading and writing, or why not.
    pub device: Result<(), String>,
    /// `vmx` or `svm`, where the processor has it.
    pub processor_flag: Option<&'static str>,
    /// Whether others than root may use the device, which guests do not run as; or what to do.
    pub permission: Result<(), String>,
    /// Whether libvirt has domains of type `kvm`, or what it says.
    pub libvirt: Result<(), String>,
}

/// What was chosen, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub accelerator: Accelerator,
    /// A sentence for the operator.
    pub why: String,
}

/// Chooses by the evidence; what the operator wants comes first.
pub fn choose(wanted: Wanted, evidence: &Evidence) -> Choice {
    let chosen = |accelerator, why: String| Choice { accelerator, why };
    match wanted {
        Wanted::Kvm => chosen(Accelerator::Kvm, "the settings say so".to_owned()),
        Wanted::Qemu => chosen(Accelerator::Qemu, "the settings say so".to_owned()),
        Wanted::Auto => match obstacle(evidence) {
            Some(obstacle) => chosen(Accelerator::Qemu, obstacle),
            None => {
                let flag = evidence.processor_flag.unwrap_or_default();
                chosen(
                    Accelerator::Kvm,
                    format!("/dev/kvm opens, and the processor has {flag}"),
                )
            }
        },
    }
}

fn obstacle(evidence: &Evidence) -> Option<String> {
    if let Err(why) = &evidence.device {
        return Some(format!("/dev/kvm cannot be used: {why}"));
    }
    if evidence.processor_flag.is_none() {
        return Some(
            "/dev/kvm opens, but the processor shows neither vmx nor svm: guests would not run on it"
                .to_owned(),
        );
    }
    if let Err(why) = &evidence.permission {
        return Some(why.clone());
    }
    match &evidence.libvirt {
        Ok(()) => None,
        Err(why) => Some(format!("libvirt has no domains of type kvm: {why}")),
    }
}

/// The processor's flag for virtualization out of the text of `/proc/cpuinfo`.
pub fn processor_flag(cpuinfo: &str) -> Option<&'static str> {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"))?;
    ["vmx", "svm"]
        .into_iter()
        .find(|flag| flags.split_whitespace().any(|word| word == *flag))
}

impl Evidence {
    /// What the host itself shows, without asking libvirt and without starting anything.
    pub fn of_host() -> Self {
        let device = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(DEVICE)
            .map_err(|error| error.to_string());
        let mode = std::fs::metadata(DEVICE).map_or(0, |metadata| metadata.permissions().mode());
        let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Self {
            device: device.map(drop),
            processor_flag: processor_flag(&cpuinfo),
            permission: permission(mode),
            libvirt: Ok(()),
        }
    }
}

/// Guests run as a user whose group may use the device, which the host's udev sees to.
fn permission(mode: u32) -> Result<(), String> {
    if mode & 0o060 == 0o060 || mode & 0o006 == 0o006 {
        return Ok(());
    }
    let help = "chgrp kvm /dev/kvm && chmod 660 /dev/kvm";
    Err(format!(
        "only root may use /dev/kvm, and guests do not run as root: {help}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(wanted: Wanted, device: bool, flag: bool, libvirt: bool, expect: (Accelerator, &str)) {
        let evidence = Evidence {
            device: if device {
                Ok(())
            } else {
                Err("no such file".to_owned())
            },
            processor_flag: flag.then_some("svm"),
            permission: Ok(()),
            libvirt: if libvirt {
                Ok(())
            } else {
                Err("unsupported".to_owned())
            },
        };
        let choice = choose(wanted, &evidence);
        assert_eq!((choice.accelerator, choice.why.as_str()), expect);
    }

    #[test]
    fn kvm_is_chosen_only_where_a_guest_can_run_on_it() {
        use Accelerator::{Kvm, Qemu};
        let good = (Kvm, "/dev/kvm opens, and the processor has svm");
        check(Wanted::Auto, true, true, true, good);
        check(
            Wanted::Auto,
            false,
            true,
            true,
            (Qemu, "/dev/kvm cannot be used: no such file"),
        );
        let trap = "/dev/kvm opens, but the processor shows neither vmx nor svm: guests would not run on it";
        check(Wanted::Auto, true, false, true, (Qemu, trap));
        check(
            Wanted::Auto,
            true,
            true,
            false,
            (Qemu, "libvirt has no domains of type kvm: unsupported"),
        );
        check(
            Wanted::Kvm,
            false,
            false,
            false,
            (Kvm, "the settings say so"),
        );
        check(
            Wanted::Qemu,
            true,
            true,
            true,
            (Qemu, "the settings say so"),
        );
    }

    #[test]
    fn the_flag_is_a_whole_word_of_the_flags_line() {
        assert_eq!(processor_flag("flags\t\t: fpu vmx sse\n"), Some("vmx"));
        assert_eq!(
            processor_flag("flags\t\t: fpu svm_lock sse\nbugs: svm\n"),
            None
        );
    }

    #[test]
    fn a_device_for_root_alone_is_of_no_use_to_guests() {
        assert_eq!(permission(0o20_660), Ok(()));
        assert_eq!(permission(0o20_666), Ok(()));
        let evidence = Evidence {
            device: Ok(()),
            processor_flag: Some("vmx"),
            permission: permission(0o20_600),
            libvirt: Ok(()),
        };
        let choice = choose(Wanted::Auto, &evidence);
        assert_eq!(choice.accelerator, Accelerator::Qemu);
        assert!(choice.why.contains("chmod 660"), "{choice:?}");
    }
}
