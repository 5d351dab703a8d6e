//! The guide, on machines of the test's own: every command as it stands there.

use std::path::Path;
use std::time::{Duration, Instant};

use rhyzome_end_to_end::guide::{self, Step};
use rhyzome_end_to_end::{Machine, Place, programs};

/// How long what is said to be printed may take to be true: nobody waits for a component to connect.
const PATIENCE: Duration = Duration::from_secs(60);

/// The guide's machines, with their addresses on the wire between them and on the members' side.
const MACHINES: [(&str, Option<&str>, Option<&str>); 5] = [
    ("core", Some("192.0.2.10"), Some("198.51.100.10")),
    ("host1", Some("192.0.2.11"), None),
    ("host2", Some("192.0.2.12"), None),
    ("router", Some("192.0.2.13"), Some("198.51.100.13")),
    ("laptop", None, Some("198.51.100.20")),
];

struct Site {
    // In the order in which they go.
    machines: Vec<Machine>,
    _wires: [Place; 2],
}

impl Site {
    fn new(folder: &Path) -> Self {
        let name = format!("rzg{}", std::process::id());
        let wires = ["w", "m"].map(|wire| Place::new(format!("{name}{wire}")));
        for wire in &wires {
            wire.ip("link add wire type bridge");
            wire.ip("link set wire up");
        }
        let machines = MACHINES.map(|(machine, inside, outside)| {
            let place = Place::new(format!("{name}{machine}"));
            for (link, address, wire) in [("lan", inside, &wires[0]), ("wan", outside, &wires[1])] {
                let Some(address) = address else { continue };
                wire.ip(&format!(
                    "link add {machine} type veth peer name {link} netns {}",
                    place.name()
                ));
                wire.ip(&format!("link set {machine} master wire up"));
                place.ip(&format!("address add {address}/24 dev {link}"));
                place.ip(&format!("link set {link} up"));
            }
            let machine = Machine::new(machine, place, folder);
            install(&machine);
            machine
        });
        Self {
            machines: machines.into(),
            _wires: wires,
        }
    }

    fn machine(&self, name: &str) -> &Machine {
        let found = self.machines.iter().find(|machine| machine.name() == name);
        found.unwrap_or_else(|| panic!("the guide has no machine {name}"))
    }

    /// Runs a step; what the one before it printed stands for its placeholders. What it is said to print
    /// may take its time, as it does for a reader.
    fn run(&self, step: &Step, before: &str) -> String {
        let command = step.command.replace("TOKEN", before.trim());
        let command = command.replace("OUTPUT", before.trim_end());
        let until = Instant::now() + PATIENCE;
        loop {
            let printed = self.machine(&step.machine).run(&command);
            let printed = printed.unwrap_or_else(|error| panic!("{step}\n{error}"));
            let Some(line) = guide::missing(&step.prints, &printed) else {
                return printed;
            };
            assert!(
                Instant::now() < until,
                "{step}\nprints no {line:?}:\n{printed}"
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    }
}

/// What the packages bring, as they do.
fn install(machine: &Machine) {
    for program in ["rhyzome", "rhyzome-api", "rhyzome-libvirt", "rhyzome-linux"] {
        machine.copy(&programs::binary(program), &format!("/usr/bin/{program}"));
    }
    machine.run("mkdir -p /etc/rhyzome").expect("it is root");
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd");
    // Nothing of a package is on the second host but the programs: `join --install` has to do.
    let packaged = match machine.name() {
        "host2" => &["rhyzome-api"][..],
        _ => &["rhyzome-api", "rhyzome-libvirt", "rhyzome-linux"],
    };
    for program in packaged {
        let unit = format!("{program}.service");
        machine.copy(
            &units.join(&unit),
            &format!("/usr/lib/systemd/system/{unit}"),
        );
    }
    machine.copy(&programs::hello(), "/root/hello.elf");
}

/// What `join --install` puts on a machine.
fn files_of_ours(machine: &Machine) -> Vec<String> {
    let command =
        "find /etc/systemd/system /etc/sysusers.d /usr/local/share -name '*rhyzome*' -type f";
    let found = machine.run(&format!("{command} 2>/dev/null || true"));
    let found = found.expect("find is everywhere");
    found.lines().map(str::to_owned).collect()
}

/// The package's unit is used where it is; elsewhere there is the same one.
fn installed_what_was_missing(machine: &Machine) {
    let files = files_of_ours(machine);
    if machine.name() != "host2" {
        assert!(files.is_empty(), "beside the package: {files:?}");
        return;
    }
    for path in [
        "/etc/systemd/system/rhyzome-libvirt.service",
        "/etc/sysusers.d/rhyzome-libvirt.conf",
        "/usr/local/share/man/man8/rhyzome-libvirt.8",
        "/usr/local/share/bash-completion/completions/rhyzome-libvirt",
    ] {
        assert!(files.iter().any(|file| file == path), "{path}: {files:?}");
    }
    let verify = "systemd-analyze verify /etc/systemd/system/rhyzome-libvirt.service";
    machine.run(verify).expect("the unit is right");
    let user = machine.run("getent passwd libvirt-qemu");
    user.expect("the user that QEMU runs as");
}

pub fn every_command_of_the_guide_does_what_it_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/guide.md");
    let text = std::fs::read_to_string(path).expect("the guide");
    let folder = tempfile::Builder::new().prefix("rzg").tempdir();
    let folder = folder.expect("a folder for what is temporary");
    let site = Site::new(folder.path());
    let began = Instant::now();
    let mut printed = String::new();
    for step in guide::steps(&text) {
        println!("{:6.1} s  {step}", began.elapsed().as_secs_f32());
        printed = site.run(&step, &printed);
        if step.command.contains("--install") {
            installed_what_was_missing(site.machine(&step.machine));
        }
    }
    for host in ["host1", "host2"] {
        let left = files_of_ours(site.machine(host));
        assert!(left.is_empty(), "left on {host}: {left:?}");
    }
}
