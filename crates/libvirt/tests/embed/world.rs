//! What a test has on its host: instances to ask for, and looks at what is there.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rhyzome_component::driver::{Blobs, Driver};
use rhyzome_component::{DriverError, Progress};
use rhyzome_hostnet::{Port, Ports};
use rhyzome_libvirt::{LibvirtDriver, Settings};
use rhyzome_model::image::recognise::recognise;
use rhyzome_model::instance::{
    BlobPin, Disk, Firmware, Guest, ImagePin, InstanceObserved, InstancePlacement, Interface,
    MetadataAccess, Power, RestartPolicy,
};
use rhyzome_model::job::Action;
use rhyzome_model::network::{SegmentPlacement, tap_name};
use rhyzome_model::placement::{Observed, Placement, PlacementSpec};
use rhyzome_model::segment::Segment;
use rhyzome_model::{Digest, InstanceId, NetworkId, PlacementId, Size};
use uuid::Uuid;

use crate::disk_guest;
use crate::guest::{self, End};
use crate::isolated::{SECOND, again};

pub struct World {
    pub settings: Settings,
    /// Its name.
    pub test: &'static str,
    /// The unikernel's file.
    pub hello: PathBuf,
}

/// Waits with a bound until something is there.
pub async fn wait_for<T>(
    what: &str,
    bound: Duration,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let limit = Instant::now() + bound;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < limit, "waited {bound:?} for {what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// `ip`, in the namespace of the test.
pub fn ip(arguments: &[&str]) {
    let done = std::process::Command::new("ip").args(arguments).status();
    assert!(done.unwrap().success(), "ip {arguments:?}");
}

/// The guests of a state directory.
fn processes(state: &Path) -> Vec<i32> {
    qemu_of(state, |line| line.contains("-name"))
}

/// The QEMU processes of a state directory whose command line is one that is looked for.
pub fn qemu_of(state: &Path, is_one: impl Fn(&str) -> bool) -> Vec<i32> {
    let own = format!("{}/", state.display());
    let is_ours = |line: &str| line.contains("qemu-system") && line.contains(&own) && is_one(line);
    let mut found: Vec<i32> = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| {
            let pid = entry.file_name().to_str()?.parse().ok()?;
            let line = fs::read(entry.path().join("cmdline")).ok()?;
            is_ours(&String::from_utf8_lossy(&line)).then_some(pid)
        })
        .collect();
    found.sort_unstable();
    found
}

/// A file of the Linux without a distribution.
pub fn linux(file: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/linux");
    path.join(file)
}

/// Guests' images: the unikernel of the project, and tiny ones made on the spot.
struct Images(PathBuf);

#[async_trait]
impl Blobs for Images {
    async fn fetch(&self, blob: BlobPin, to: PathBuf, _: &Progress) -> Result<(), DriverError> {
        let ends = [
            End::Never,
            End::PowerOff,
            End::Panic,
            End::TripleFault,
            End::Halt,
        ];
        let tiny = ends.map(guest::build).into_iter();
        let families = [guest::unikraft(), guest::solo5(), guest::resets()];
        let disks = [
            disk_guest::bios(),
            disk_guest::uefi(),
            disk_guest::watches(),
        ];
        let files = [self.0.clone(), linux("vmlinuz"), linux("initrd.img")];
        let files = files.into_iter().flat_map(fs::read);
        let mut all = tiny.chain(families).chain(disks).chain(files);
        let bytes = all
            .find(|bytes| Digest::of(bytes) == blob.digest)
            .expect("an image of the test");
        // Whoever is killed meanwhile has only a part of it.
        fs::write(&to, &bytes[..bytes.len() / 2]).unwrap();
        tokio::time::sleep(Duration::from_millis(30)).await;
        fs::write(to, bytes).map_err(|error| DriverError::transient("writing").with_source(error))
    }
}

impl World {
    pub async fn open(&self) -> LibvirtDriver {
        self.try_open().await.unwrap()
    }

    pub async fn try_open(&self) -> Result<LibvirtDriver, DriverError> {
        let images = Arc::new(Images(self.hello.clone()));
        LibvirtDriver::open(self.settings.clone(), images).await
    }

    /// The one network of the test.
    fn network() -> NetworkId {
        NetworkId(Uuid::from_u128(0x77))
    }

    pub fn segment_placement(&self) -> Placement {
        let spec = SegmentPlacement {
            network: Self::network(),
            project: "default".parse().unwrap(),
            name: "lan".parse().unwrap(),
            segment: Segment::Vxlan(5000.try_into().unwrap()),
            mtu: 1420,
            router: None,
        };
        Placement {
            id: PlacementId(Uuid::from_u128(0x78)),
            generation: 1,
            spec: PlacementSpec::Segment(spec),
        }
    }

    /// As somebody does who clears all rules of the host.
    pub async fn take_rules_away(&self) {
        Ports::of(self.settings.mark()).remove_all().await.unwrap();
    }

    pub async fn segment(&self, driver: &LibvirtDriver) {
        let placement = self.segment_placement();
        assert_eq!(
            driver.ensure(&placement, &Progress::new().0).await.unwrap(),
            Observed::Segment
        );
        assert_eq!(
            driver.look(&placement).await.unwrap(),
            Ok(Observed::Segment)
        );
    }

    pub fn placement(
        &self,
        name: &str,
        number: u128,
        image: &[u8],
        interfaces: Vec<Interface>,
    ) -> Placement {
        let blob = BlobPin {
            digest: Digest::of(image),
            size: Size::bytes(image.len() as u64),
        };
        let format = recognise(image).unwrap();
        let spec = InstancePlacement {
            instance: InstanceId(Uuid::from_u128(number)),
            project: "default".parse().unwrap(),
            name: name.parse().unwrap(),
            cpus: 1,
            memory: Size::mib(64),
            image: ImagePin { blob, format },
            initrd: None,
            command_line: "one <two> & \"three\"".to_owned(),
            disk: None,
            interfaces,
            bridges: Vec::new(),
            card_slots: 0,
            power: Power::Running,
            restart: RestartPolicy::OnFailure,
            stop_timeout: 20,
            guest: Guest {
                fqdn: "hello.net.default.test".to_owned(),
                ssh_keys: Vec::new(),
                user_data: None,
                metadata: MetadataAccess::TokenRequired,
            },
        };
        Placement {
            id: PlacementId(Uuid::from_u128(number + 1000)),
            generation: 1,
            spec: PlacementSpec::Instance(Box::new(spec)),
        }
    }

    fn interface() -> Interface {
        Interface {
            network: Self::network(),
            mac: "52:54:00:12:34:56".parse().unwrap(),
            ipv4: "10.77.0.2".parse().unwrap(),
            ipv6: "fd77::2".parse().unwrap(),
            mtu: 1420,
            network_name: "net".parse().unwrap(),
            subnet4: "10.77.0.0/24".parse().unwrap(),
            subnet6: "fd77::/64".parse().unwrap(),
            domain: "net.default.test".to_owned(),
            egress: false,
            peers_ipv4: "100.64.0.0/16".parse().unwrap(),
            peers_ipv6: "fd00:2::/64".parse().unwrap(),
        }
    }

    pub fn hello(&self) -> Placement {
        self.placement(
            "hello",
            0xa1,
            &fs::read(&self.hello).unwrap(),
            vec![Self::interface()],
        )
    }

    /// An instance that boots as Unikraft does.
    pub fn unikraft(&self) -> Placement {
        let image = guest::unikraft();
        self.placement("unikraft", 0xa2, &image, vec![Self::interface()])
    }

    /// An instance that boots as Solo5 does, with two networks and a disk.
    pub fn solo5(&self) -> Placement {
        let mut second = Self::interface();
        second.mac = "52:54:00:12:34:57".parse().unwrap();
        second.ipv4 = "10.77.0.3".parse().unwrap();
        second.ipv6 = "fd77::3".parse().unwrap();
        let interfaces = vec![Self::interface(), second];
        let placement = self.placement("solo5", 0xa3, &guest::solo5(), interfaces);
        Self::with_disk(placement, 1, None)
    }

    /// An instance on a disk that does nothing but reset the machine.
    pub fn resets(&self) -> Placement {
        let placement = self.placement("resets", 0xa4, &guest::resets(), Vec::new());
        Self::with_disk(placement, 1, Some(Firmware::Bios))
    }

    pub fn with_disk(mut placement: Placement, mib: u64, firmware: Option<Firmware>) -> Placement {
        let PlacementSpec::Instance(spec) = &mut placement.spec else {
            panic!("an instance")
        };
        let size = Size::mib(mib);
        spec.disk = Some(Disk { size, firmware });
        spec.restart = RestartPolicy::Never;
        // None of these knows what a power button is.
        spec.stop_timeout = 0;
        placement
    }

    pub fn tiny(&self, end: End, restart: RestartPolicy) -> Placement {
        let mut placement =
            self.placement("tiny", 0xb0 + end as u128, &guest::build(end), Vec::new());
        let PlacementSpec::Instance(spec) = &mut placement.spec else {
            panic!("an instance")
        };
        spec.restart = restart;
        placement
    }

    /// The next generation of an instance.
    pub fn change(&self, placement: &mut Placement, change: impl FnOnce(&mut InstancePlacement)) {
        let PlacementSpec::Instance(spec) = &mut placement.spec else {
            panic!("an instance")
        };
        change(spec);
        placement.generation += 1;
    }

    pub async fn ensure(&self, driver: &LibvirtDriver, placement: &Placement) -> InstanceObserved {
        match driver.ensure(placement, &Progress::new().0).await {
            Ok(Observed::Instance(observed)) => observed,
            Ok(other) => panic!("{other:?}"),
            Err(error) => panic!("{}", error.chain()),
        }
    }

    pub async fn observed(
        &self,
        driver: &LibvirtDriver,
        placement: &Placement,
    ) -> Option<InstanceObserved> {
        let found = driver
            .inventory(std::slice::from_ref(placement))
            .await
            .unwrap();
        let found = found
            .into_iter()
            .find(|found| found.placement == placement.reference())?;
        assert_eq!(found.generation, placement.generation);
        match found.observed {
            Some(Observed::Instance(observed)) => Some(observed),
            _ => None,
        }
    }

    pub async fn console_says(&self, driver: &LibvirtDriver, placement: &Placement, text: &str) {
        let action = Action::ConsoleLog { bytes: 4096 };
        wait_for(text, Duration::from_secs(20), async || {
            let said = driver.act(&placement.reference(), &action).await.unwrap();
            String::from_utf8_lossy(&said).contains(text).then_some(())
        })
        .await;
    }

    pub fn tap(&self, placement: &Placement) -> String {
        tap_name(placement.spec.resource(), 0)
    }

    pub fn links(&self, prefix: &str) -> Vec<String> {
        // The namespace of this thread, which /sys is not always of.
        let table = fs::read_to_string("/proc/thread-self/net/dev").unwrap();
        let names = table.lines().filter_map(|line| line.split_once(':'));
        names
            .map(|(name, _)| name.trim().to_owned())
            .filter(|name| name.starts_with(prefix))
            .collect()
    }

    pub fn taps(&self) -> Vec<String> {
        self.links("rt")
    }

    pub fn bridges(&self) -> Vec<String> {
        self.links("rz")
    }

    pub async fn rules(&self) -> Vec<Port> {
        Ports::of(self.settings.mark()).list().await.unwrap()
    }

    pub fn processes(&self) -> Vec<i32> {
        processes(&self.settings.state)
    }

    pub fn is_second(&self) -> bool {
        std::env::var_os(SECOND).is_some()
    }

    /// The same test in another process, which shares namespace and state.
    pub fn second(&self) -> Child {
        again(self.test, &self.settings.state)
            .env(SECOND, "yes")
            .spawn()
            .unwrap()
    }

    /// As [`second`](Self::second), with one of several things to do.
    pub fn second_with(&self, task: usize) -> Child {
        again(self.test, &self.settings.state)
            .env(SECOND, task.to_string())
            .spawn()
            .unwrap()
    }

    /// What this second process is to do; none in the first.
    pub fn task(&self) -> Option<usize> {
        std::env::var(SECOND).ok()?.parse().ok()
    }

    pub fn lose_records(&self) {
        for entry in fs::read_dir(self.settings.instances()).unwrap().flatten() {
            fs::remove_file(entry.path().join("record.json")).unwrap();
        }
    }

    /// Kills all guests' processes, and waits until they are gone.
    pub fn kill_guests(&self) {
        for process in self.processes() {
            let process = nix::unistd::Pid::from_raw(process);
            nix::sys::signal::kill(process, nix::sys::signal::Signal::SIGKILL).unwrap();
        }
        let limit = Instant::now() + Duration::from_secs(20);
        while !self.processes().is_empty() {
            assert!(Instant::now() < limit, "killed guests are still there");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Changes an instance's record as if it had been started before the host was started.
    pub fn pretend_another_boot(&self, placement: &Placement) {
        let folder = self
            .settings
            .instances()
            .join(placement.spec.resource().to_string());
        let path = folder.join("record.json");
        let mut record: serde_json::Value =
            serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        record["started"]["boot"] = "another".into();
        fs::write(path, record.to_string()).unwrap();
    }

    fn word(&self, word: &str) -> PathBuf {
        self.settings.state.with_file_name(word)
    }

    pub fn say(&self, word: &str) {
        fs::write(self.word(word), "").unwrap();
    }

    pub fn said(&self, word: &str) -> Option<()> {
        self.word(word).exists().then_some(())
    }
}
