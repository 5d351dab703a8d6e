//! What instances need: an accelerator, QEMU, libvirt.

use std::fs;
use std::process::{Command, Stdio};

use super::Check;
use crate::site::join::has_tool;

const INSTALL: &str = "`scripts/install-packages` installs it";

pub fn checks() -> Vec<Check> {
    let device = fs::OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/kvm");
    let device = device.map(drop).map_err(|e| e.to_string());
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    vec![
        accelerator(device, flag(&cpuinfo)),
        program(
            "QEMU",
            "qemu-system-x86_64",
            version_of("qemu-system-x86_64", "--version"),
        ),
        libvirt(),
    ]
}

/// Which accelerator guests get. The device alone says too little: on a machine that is a guest itself
/// it may open and no guest runs on it.
fn accelerator(device: Result<(), String>, flag: Option<&str>) -> Check {
    const NAME: &str = "accelerator";
    const SLOW: &str =
        "guests run on QEMU's own translation (TCG): all works, some ten times slower";
    match (device, flag) {
        (Ok(()), Some(flag)) => Check::ok(
            NAME,
            format!("kvm: /dev/kvm opens, and the processor has {flag}"),
        ),
        (Ok(()), None) => Check::warn(
            NAME,
            "qemu: /dev/kvm opens, but the processor shows neither vmx nor svm: guests would not run on it",
            format!(
                "{SLOW}; where this is a virtual machine, switch on nested virtualization on its host"
            ),
        ),
        (Err(why), Some(flag)) => Check::warn(
            NAME,
            format!("qemu: the processor has {flag}, but /dev/kvm cannot be used: {why}"),
            format!(
                "{SLOW}; load the module kvm_intel or kvm_amd, run as root, switch it on in the firmware"
            ),
        ),
        (Err(why), None) => Check::warn(
            NAME,
            format!("qemu: no vmx or svm, and /dev/kvm cannot be used: {why}"),
            format!("{SLOW}; look for virtualization in the firmware's settings"),
        ),
    }
}

/// `vmx` or `svm` out of the flags.
fn flag(cpuinfo: &str) -> Option<&'static str> {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"))?;
    ["vmx", "svm"]
        .into_iter()
        .find(|flag| flags.split_whitespace().any(|word| word == *flag))
}

fn libvirt() -> Check {
    const NAME: &str = "libvirt";
    let folders = [
        "/usr/lib/x86_64-linux-gnu",
        "/usr/lib/aarch64-linux-gnu",
        "/usr/lib64",
        "/usr/lib",
    ];
    let driver = folders
        .iter()
        .map(|folder| format!("{folder}/libvirt/connection-driver/libvirt_driver_qemu.so"))
        .any(|path| fs::metadata(path).is_ok());
    let version = ["libvirtd", "virtqemud"]
        .iter()
        .find_map(|daemon| version_of(daemon, "--version"));
    match (driver, version) {
        (true, Some(version)) => Check::ok(NAME, version),
        (true, None) => Check::ok(NAME, "its driver for QEMU is here"),
        (false, _) => Check::fail(NAME, "its driver for QEMU is missing", INSTALL),
    }
}

fn program(name: &'static str, program: &str, version: Option<String>) -> Check {
    match version {
        Some(version) => Check::ok(name, version),
        None if has_tool(program) => Check::fail(
            name,
            format!("{program} is here and does not start"),
            INSTALL,
        ),
        None => Check::fail(name, format!("{program} is missing"), INSTALL),
    }
}

/// The first line of what a program says of its version.
pub fn version_of(program: &str, option: &str) -> Option<String> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    let output = Command::new("/usr/bin/env")
        .arg(format!("PATH={path}"))
        .args([program, option])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next().filter(|_| output.status.success())?;
    Some(line.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::site::doctor::Level;

    #[test]
    fn an_open_device_on_a_processor_without_virtualization_is_not_trusted() {
        let check = |device: Result<(), String>, flag, level, begins: &str| {
            let check = accelerator(device, flag);
            assert_eq!(check.level, level);
            assert!(check.found.starts_with(begins), "{}", check.found);
        };
        check(Ok(()), Some("svm"), Level::Ok, "kvm: ");
        check(Ok(()), None, Level::Warn, "qemu: /dev/kvm opens, but");
        check(
            Err("gone".to_owned()),
            Some("vmx"),
            Level::Warn,
            "qemu: the processor has vmx",
        );
        check(Err("gone".to_owned()), None, Level::Warn, "qemu: no vmx");
    }

    #[test]
    fn a_flag_is_a_whole_word() {
        assert_eq!(flag("flags\t: fpu vmx\n"), Some("vmx"));
        assert_eq!(flag("flags\t: fpu svm_lock\nbugs: svm\n"), None);
    }
}
