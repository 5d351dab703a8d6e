//! A router appliance: a VM of libvirt's on a machine of its own, with Debian's kernel and the root file system of an
//! image. Its first network card is on a wire with the core, its second is a trunk.
//!
//! Left out on purpose: what is in the image.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::trunk::{PORTS, Trunk};
use crate::wait::eventually;
use crate::{Place, World, host, process, programs};

/// The MAC addresses of the uplink and the trunk.
pub const MACS: [&str; 2] = ["52:54:00:72:7a:01", "52:54:00:72:7a:02"];

/// The bridge on its machine, where its uplink is.
const WIRE: &str = "wire";

/// How long QEMU may take to be gone after SIGKILL.
const KILLED: Duration = Duration::from_secs(10);

/// A program of libvirt's where nothing is to be seen of KVM: some machines have it and it does not work, and the domain
/// wants none.
const WITHOUT_KVM: &str = r#"
mount --make-rslave /
[ ! -e /dev/kvm ] || mount --bind "$1" /dev/kvm
shift
exec "$@"
"#;

pub struct Appliance {
    folder: PathBuf,
    disk: PathBuf,
    pub trunk: Trunk,
    // Goes last.
    pub place: Place,
}

impl Appliance {
    /// The appliance's machine, on the wire of the core ([`lay_wire`](crate::hypervisor::lay_wire)), with nothing
    /// running on it. Its image is a disk whose second partition is the root.
    ///
    /// # Panics
    /// Where the machine cannot be made.
    pub fn new(world: &World, disk: &Path) -> Self {
        let folder = world.path("appliance");
        let etc = folder.join("libvirt/etc");
        std::fs::create_dir_all(&etc).expect("the folder is ours");
        // There is no virtlogd, and no mount namespaces of guests.
        let settings = "stdio_handler = \"file\"\nremember_owner = 0\nnamespaces = []\n";
        std::fs::write(etc.join("qemu.conf"), settings).expect("the folder is ours");
        std::fs::write(folder.join("nothing"), "").expect("the folder is ours");
        for file in ["vmlinuz", "lab.img"] {
            // QEMU's user may not get to where they were built.
            let copied = std::fs::copy(programs::linux(file), folder.join(file));
            copied.expect("there is room");
        }
        let place = Place::new(format!("{}a", world.core.name()));
        world.core.ip(&format!(
            "link add toappliance type veth peer name tocore netns {}",
            place.name()
        ));
        world.core.ip("link set toappliance master wire up");
        place.ip(&format!("link add {WIRE} type bridge forward_delay 0"));
        place.ip(&format!("link set tocore master {WIRE} up"));
        place.ip(&format!("link set {WIRE} up"));
        Self {
            folder,
            disk: disk.to_owned(),
            trunk: Trunk::open(&place),
            place,
        }
    }

    /// Switches it on.
    ///
    /// # Panics
    /// Where libvirt does not start it.
    pub fn start(&self) {
        let file = self.folder.join("domain.xml");
        std::fs::write(&file, self.domain()).expect("the folder is ours");
        let libvirt = self.folder.join("libvirt");
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-ec", WITHOUT_KVM, "sh"]);
        command.arg(self.folder.join("nothing"));
        command.args(["virsh", "--quiet", "--connect"]);
        command.arg(format!("qemu:///embed?root={}", libvirt.display()));
        command.arg("create").arg(file);
        let started = self.place.run(|| host::finish(command, None));
        started.unwrap_or_else(|error| panic!("libvirt does not start the appliance: it {error}"));
    }

    /// Takes its power away.
    ///
    /// # Panics
    /// Where it is not running.
    pub fn cut_power(&self) {
        let file = self.folder.join("libvirt/run/qemu/appliance.pid");
        let pid = std::fs::read_to_string(&file)
            .and_then(|text| text.trim().parse().map_err(io::Error::other));
        let pid = pid.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it is running");
        let is_gone = || host::processes(|process| process.pid == pid).is_empty();
        assert!(eventually(KILLED, is_gone), "QEMU is still there");
    }

    /// The last that it said, for people who look why something failed.
    pub fn tell(&self) -> String {
        process::tail("the appliance", &self.folder.join("console"))
    }

    fn domain(&self) -> String {
        let [uplink, trunk] = MACS;
        let [switch, qemu] = PORTS;
        let (folder, disk) = (self.folder.display(), self.disk.display());
        format!(
            "<domain type='qemu'>
  <name>appliance</name>
  <memory unit='MiB'>256</memory>
  <os>
    <type arch='x86_64' machine='q35'>hvm</type>
    <kernel>{folder}/vmlinuz</kernel>
    <initrd>{folder}/lab.img</initrd>
    <cmdline>console=ttyS0 quiet panic=-1 root=/dev/vda2 no_timer_check mitigations=off random.trust_cpu=on</cmdline>
  </os>
  <features><acpi/></features>
  <cpu mode='custom'><model>qemu64</model><feature name='rdrand' policy='require'/></cpu>
  <devices>
    <emulator>/usr/bin/qemu-system-x86_64</emulator>
    <disk type='file' device='disk'>
      <driver name='qemu' type='raw'/><source file='{disk}'/><target dev='vda' bus='virtio'/>
    </disk>
    <interface type='bridge'>
      <source bridge='{WIRE}'/><mac address='{uplink}'/><model type='virtio'/>
    </interface>
    <interface type='udp'>
      <source address='127.0.0.1' port='{switch}'><local address='127.0.0.1' port='{qemu}'/></source>
      <mac address='{trunk}'/><model type='virtio'/>
    </interface>
    <rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>
    <serial type='file'><source path='{folder}/console'/></serial>
  </devices>
</domain>
"
        )
    }
}
