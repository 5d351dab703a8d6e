//! A QEMU with the kernel in it: emulated, on a network of its own with one port forwarded from loopback.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// For anything that a machine does here. Under load, emulation is slow.
const BOUND: Duration = Duration::from_secs(30);
/// Where the guest is on QEMU's user network.
pub const STATIC: &str = "ip=10.0.2.15/24 gw=10.0.2.2 dns=10.0.2.3";

/// The NIC as QEMU's command line has it, on the network that `Machine::start` makes.
pub const PLAIN: &[&str] = &["-device", "virtio-net-pci,netdev=n"];
/// As libvirt puts it on q35: behind a root port, without the legacy interface.
pub const BEHIND_A_ROOT_PORT: &[&str] = &[
    "-device",
    "pcie-root-port,id=rp1,chassis=1",
    "-device",
    "virtio-net-pci,netdev=n,bus=rp1,disable-legacy=on",
];

pub struct Machine {
    child: Child,
    qmp: BufReader<UnixStream>,
    log: PathBuf,
    folder: PathBuf,
    pub port: u16,
    pub started: Instant,
}

/// The kernel, built by its own script once a test run.
fn kernel() -> &'static Path {
    static KERNEL: OnceLock<PathBuf> = OnceLock::new();
    KERNEL.get_or_init(|| {
        let out = Path::new(env!("CARGO_TARGET_TMPDIR")).join("hello.elf");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("build");
        let status = Command::new(script)
            .arg(&out)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "the kernel does not build: {status}");
        out
    })
}

impl Machine {
    /// Starts a machine of a type with 16 MiB, a command line and devices.
    pub fn start(machine: &str, command_line: &str, devices: &[&str]) -> Self {
        Self::start_with(machine, 16, command_line, devices)
    }

    pub fn start_with(machine: &str, mebibytes: u32, command_line: &str, devices: &[&str]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let kernel = kernel();
        // Short, because the path of a socket may have 107 bytes.
        let folder =
            std::env::temp_dir().join(format!("rhyzome-hello-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (log, socket) = (folder.join("console"), folder.join("qmp"));
        let started = Instant::now();
        let child = Command::new("qemu-system-x86_64")
            .args([
                "-accel",
                "tcg",
                "-machine",
                machine,
                "-m",
                &mebibytes.to_string(),
            ])
            .args(["-nodefaults", "-display", "none", "-no-reboot"])
            .args(["-netdev", "user,id=n,hostfwd=tcp:127.0.0.1:0-:80"])
            .args(["-append", command_line, "-kernel"])
            .arg(kernel)
            .args(["-serial", &format!("file:{}", log.display())])
            .args(["-qmp", &format!("unix:{},server,nowait", socket.display())])
            .args(devices)
            .stdin(Stdio::null())
            .spawn()
            .expect("qemu-system-x86_64 is installed");
        let mut child = Guard(Some(child));
        let stream = wait_for("QEMU's control socket", || {
            UnixStream::connect(&socket).ok()
        });
        stream.set_read_timeout(Some(BOUND)).unwrap();
        let mut qmp = BufReader::new(stream);
        qmp.read_line(&mut String::new()).unwrap();
        let child = child.0.take().expect("put in above");
        let mut machine = Self {
            child,
            qmp,
            log,
            folder,
            port: 0,
            started,
        };
        machine.command("{\"execute\":\"qmp_capabilities\"}");
        machine.port = machine.forwarded_port();
        machine
    }

    /// Sends a control command, and returns QEMU's answer.
    fn command(&mut self, command: &str) -> String {
        self.qmp.get_mut().write_all(command.as_bytes()).unwrap();
        loop {
            let line = self.line();
            if !line.contains("\"event\"") {
                assert!(line.contains("\"return\""), "{command} got {line}");
                return line;
            }
        }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.qmp.read_line(&mut line).unwrap();
        assert!(!line.is_empty(), "QEMU has closed its control socket");
        line
    }

    /// The port that QEMU chose on loopback.
    fn forwarded_port(&mut self) -> u16 {
        let answer = self.command(
            "{\"execute\":\"human-monitor-command\",\"arguments\":{\"command-line\":\"info usernet\"}}",
        );
        let words: Vec<_> = answer.split_whitespace().collect();
        let at = words
            .iter()
            .position(|word| *word == "TCP[HOST_FORWARD]" || word.ends_with("TCP[HOST_FORWARD]"));
        words[at.unwrap() + 3].parse().unwrap()
    }

    /// Waits until the console has a line with this text, and returns the console so far.
    pub fn wait_for_line(&self, text: &str) -> String {
        wait_for(text, || {
            let log = self.console();
            log.lines().any(|line| line.contains(text)).then_some(log)
        })
    }

    pub fn console(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// A connection to the web server.
    pub fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.set_read_timeout(Some(BOUND)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Sends bytes and returns all that comes until the server closes.
    pub fn exchange(&self, request: &str) -> String {
        let mut stream = self.connect();
        stream.write_all(request.as_bytes()).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        response
    }

    pub fn get(&self, path: &str) -> String {
        self.exchange(&format!(
            "GET {path} HTTP/1.1\r\nHost: hello\r\nConnection: close\r\n\r\n"
        ))
    }

    /// Presses the power button, and waits for the machine's end. Returns how QEMU ended, the console, and the time.
    pub fn press_power_button(mut self) -> (ExitStatus, String, Duration) {
        let pressed = Instant::now();
        self.command("{\"execute\":\"system_powerdown\"}");
        let status = self.wait_for_end();
        (status, self.console(), pressed.elapsed())
    }

    pub fn wait_for_end(&mut self) -> ExitStatus {
        wait_for("the end of QEMU", || self.child.try_wait().unwrap())
    }

    /// How long QEMU has used a processor: proc_pid_stat(5), in hundredths of a second.
    pub fn processor_time(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
        let ticks: u64 = fields
            .skip(11)
            .take(2)
            .map(|field| field.parse::<u64>().unwrap())
            .sum();
        Duration::from_millis(ticks * 10)
    }

    /// Lets the machine be until a moment.
    pub fn wait_until(&self, moment: Instant) {
        wait_for("a moment", || (Instant::now() >= moment).then_some(()));
    }

    /// Waits for an event of QEMU.
    pub fn wait_for_event(&mut self, name: &str) {
        while !self.line().contains(&format!("\"{name}\"")) {}
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("console:\n{}", self.console());
        }
        end(&mut self.child);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Ends QEMU where a test fails before there is a machine.
struct Guard(Option<Child>);

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(child) = &mut self.0 {
            end(child);
        }
    }
}

fn end(child: &mut Child) {
    // It may have ended by itself.
    let _ = child.kill();
    let _ = child.wait();
}

/// Asks until there is an answer, within a bound.
fn wait_for<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + BOUND;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "waited {BOUND:?} in vain for: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}
