//! The process in the namespace: makes what it is asked for, and ends with who asks.

use std::io::{self, IoSlice};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsFd as _, AsRawFd as _, RawFd};

use gotatun::tun::tun;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, recv, sendmsg, socket,
};

use super::{ANSWER, GOOD, V4, V6, Wanted};
use crate::device::link;

/// The device's name; it is alone in its namespace.
const DEVICE: &str = "tunnel";

/// Why a holder ended.
#[derive(Debug, thiserror::Error)]
pub enum HolderError {
    /// It is not to be started by hand.
    #[error("it is started by a tunnel, with a socket as its standard input")]
    ByHand(#[source] Errno),
    /// What it was to make was not said in a way that it knows.
    #[error("what is to be made is not clear")]
    Words(#[source] serde_json::Error),
    /// Nobody is there to be told.
    #[error("nobody hears the answer")]
    Unheard(#[source] Errno),
}

/// What a program's subcommand has to call that is a tunnel's holder, with no thread begun before.
///
/// # Errors
/// It was not started by a tunnel, or that one is gone.
pub fn main() -> Result<(), HolderError> {
    let wire = io::stdin();
    let wire = wire.as_fd().as_raw_fd();
    let mut words = [0; ANSWER];
    let length = recv(wire, &mut words, MsgFlags::empty()).map_err(HolderError::ByHand)?;
    if length == 0 {
        return Ok(());
    }
    let wanted: Wanted = serde_json::from_slice(&words[..length]).map_err(HolderError::Words)?;
    // Held until the end, and with it the device's place.
    let _device = match make(&wanted) {
        Ok(device) => {
            answer(wire, Ok(device.as_raw_fd()))?;
            device
        }
        Err(why) => return answer(wire, Err(&why.to_string())),
    };
    loop {
        let mut asked = [0];
        match recv(wire, &mut asked, MsgFlags::empty()) {
            Ok(1) => {}
            _ => return Ok(()),
        }
        let family = match asked[0] {
            V4 => AddressFamily::Inet,
            V6 => AddressFamily::Inet6,
            _ => return Ok(()),
        };
        let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
        match socket(family, SockType::Stream, flags, None) {
            Ok(socket) => answer(wire, Ok(socket.as_raw_fd()))?,
            Err(errno) => answer(wire, Err(&errno.to_string()))?,
        }
    }
}

fn answer(wire: RawFd, made: Result<RawFd, &str>) -> Result<(), HolderError> {
    let (words, descriptor) = match &made {
        Ok(descriptor) => (&[GOOD][..], Some([*descriptor])),
        Err(why) => (why.as_bytes(), None),
    };
    let rights = descriptor.as_ref().map(|it| ControlMessage::ScmRights(it));
    let parts = [IoSlice::new(words)];
    sendmsg::<()>(
        wire,
        &parts,
        rights.as_slice(),
        MsgFlags::MSG_NOSIGNAL,
        None,
    )
    .map(drop)
    .map_err(HolderError::Unheard)
}

fn make(wanted: &Wanted) -> Result<tun::Device, Box<dyn std::error::Error>> {
    unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNET)?;
    let mut config = tun::Configuration::default();
    config.tun_name(DEVICE).mtu(wanted.mtu).up();
    let device = tun::create(&config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let (connection, netlink, _) = rtnetlink::new_connection()?;
        tokio::spawn(connection);
        let index = nix::net::if_::if_nametoindex(DEVICE)?;
        for address in &wanted.addresses {
            let (whole, all) = match address {
                IpAddr::V4(_) => (32, IpNet::from(Ipv4Net::new(Ipv4Addr::UNSPECIFIED, 0)?)),
                IpAddr::V6(_) => (128, IpNet::from(Ipv6Net::new(Ipv6Addr::UNSPECIFIED, 0)?)),
            };
            link::add_address(&netlink, index, IpNet::new(*address, whole)?).await?;
            link::add_route(&netlink, index, &all).await?;
        }
        Ok(device)
    })
}
