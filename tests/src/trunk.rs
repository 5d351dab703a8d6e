//! The far end of an appliance's trunk: a small switch in this process, since not every kernel knows VLANs. Frames come
//! and go in UDP datagrams, as QEMU has them (`-netdev socket,udp=`), with their tags (IEEE 802.1Q); to a place that is
//! plugged in they go without.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use nix::libc;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::Place;

/// Where the switch and QEMU listen, in their own namespace.
pub const PORTS: [u16; 2] = [11115, 11116];

/// How the link of a place that is plugged in is called there.
pub const LINK: &str = "eth0";

/// A frame's tag, between its addresses and its type: this, then the VLAN's number in twelve bits.
const TAGGED: [u8; 2] = [0x81, 0x00];
const ADDRESSES: usize = 12;

/// How soon a port that was plugged in works, and an end is noticed, in milliseconds.
const PAUSE: u16 = 20;

nix::ioctl_write_int!(set_interface, b'T', 202);

pub struct Trunk {
    ports: Arc<Mutex<Vec<Port>>>,
    is_over: Arc<AtomicBool>,
    switch: Option<JoinHandle<()>>,
}

/// A place that is plugged in, in one VLAN, or where no tag is.
struct Port {
    vlan: Option<u16>,
    tap: File,
}

impl Trunk {
    /// A switch that nobody is plugged into, for a QEMU in this place.
    ///
    /// # Panics
    /// Where another one is there.
    pub fn open(place: &Place) -> Self {
        let [own, qemu] = PORTS;
        let socket = place.run(|| {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, own))?;
            socket.connect((Ipv4Addr::LOCALHOST, qemu))?;
            socket.set_nonblocking(true)?;
            Ok::<_, io::Error>(socket)
        });
        let socket = socket.unwrap_or_else(|error| panic!("the trunk's port {own}: {error}"));
        let (ports, is_over) = (Arc::default(), Arc::default());
        let (theirs, over) = (Arc::clone(&ports), Arc::clone(&is_over));
        let switch = std::thread::spawn(move || {
            while !AtomicBool::load(&over, Ordering::Relaxed) {
                pass(&socket, &mut lock(&theirs));
            }
        });
        Self {
            ports,
            is_over,
            switch: Some(switch),
        }
    }

    /// Plugs a place in: it has a link with this MAC address, which is up.
    ///
    /// # Panics
    /// Where the link cannot be made.
    pub fn plug(&self, place: &Place, vlan: Option<u16>, mac: &str) {
        let tap = place.run(tap);
        let tap = tap.unwrap_or_else(|error| panic!("a tap in {}: {error}", place.name()));
        place.ip(&format!("link set {LINK} address {mac}"));
        place.ip(&format!("link set {LINK} up"));
        lock(&self.ports).push(Port { vlan, tap });
    }
}

impl Drop for Trunk {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        if let Some(switch) = self.switch.take() {
            // Its panic was told when it happened.
            let _panicked = switch.join();
        }
    }
}

fn lock(ports: &Mutex<Vec<Port>>) -> std::sync::MutexGuard<'_, Vec<Port>> {
    ports.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A link of the calling thread's namespace whose frames are this process's (Documentation/networking/tuntap.rst).
fn tap() -> io::Result<File> {
    let mut open = File::options();
    let open = open.read(true).write(true).custom_flags(libc::O_NONBLOCK);
    let file = open.open("/dev/net/tun")?;
    // SAFETY: all zeroes are a good ifreq.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(LINK.bytes()) {
        *to = from.cast_signed();
    }
    let kind = i16::try_from(libc::IFF_TAP | libc::IFF_NO_PI).expect("0x1002");
    request.ifr_ifru.ifru_flags = kind;
    let address = &raw const request as libc::c_ulong;
    // SAFETY: the address is that of an ifreq, which lives longer than the call.
    unsafe { set_interface(std::os::fd::AsRawFd::as_raw_fd(&file), address) }?;
    Ok(file)
}

/// Waits for frames for a moment, and passes those on that are there.
fn pass(socket: &UdpSocket, ports: &mut [Port]) {
    let mut wait: Vec<PollFd<'_>> = vec![PollFd::new(socket.as_fd(), PollFlags::POLLIN)];
    let taps = ports.iter().map(|port| port.tap.as_fd());
    wait.extend(taps.map(|tap| PollFd::new(tap, PollFlags::POLLIN)));
    // What is there is taken below, whatever this says.
    let _woken = poll(&mut wait, PollTimeout::from(PAUSE));
    let mut buffer = [0; 4096];
    // Nobody listens where there is no QEMU.
    while let Ok(size) = socket.recv(&mut buffer) {
        let (vlan, frame) = without_tag(&buffer[..size]);
        for port in ports.iter_mut().filter(|port| port.vlan == vlan) {
            // A link that is down takes nothing.
            let _taken = port.tap.write(&frame);
        }
    }
    for port in ports {
        while let Ok(size) = port.tap.read(&mut buffer) {
            let _heard = socket.send(&with_tag(port.vlan, &buffer[..size]));
        }
    }
}

fn with_tag(vlan: Option<u16>, frame: &[u8]) -> Vec<u8> {
    let Some((addresses, rest)) = frame.split_at_checked(ADDRESSES) else {
        return frame.to_vec();
    };
    match vlan {
        Some(vlan) => [addresses, &TAGGED, &vlan.to_be_bytes(), rest].concat(),
        None => frame.to_vec(),
    }
}

fn without_tag(frame: &[u8]) -> (Option<u16>, Vec<u8>) {
    match frame.split_at_checked(ADDRESSES) {
        Some((addresses, [0x81, 0x00, high, low, rest @ ..])) => {
            let vlan = u16::from_be_bytes([high & 0x0f, *low]);
            (Some(vlan), [addresses, rest].concat())
        }
        _ => (None, frame.to_vec()),
    }
}
