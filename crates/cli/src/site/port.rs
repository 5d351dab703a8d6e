//! The ports of a site on loopback: free ones, and who has those that are not.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::{fs, io};

use super::Error;

/// How many ports are tried from the usual one on.
const TRIES: u16 = 200;

/// Whether a port can be listened on.
///
/// # Errors
/// [`Error::PortTaken`], naming by whom where that can be seen.
pub fn check(address: SocketAddr) -> Result<(), Error> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => Err(Error::PortTaken {
            address,
            holder: holder(address.port()),
        }),
        Err(source) => Err(Error::File {
            path: format!("port {address}").into(),
            source,
        }),
    }
}

/// The first free port from one on, in their order.
pub fn first_free(first: SocketAddr, but: Option<SocketAddr>) -> Result<SocketAddr, Error> {
    (0..TRIES)
        .filter_map(|step| first.port().checked_add(step))
        .map(|port| SocketAddr::new(first.ip(), port))
        .find(|address| Some(*address) != but && TcpListener::bind(address).is_ok())
        .ok_or(Error::NoPort { first })
}

/// The address by which others reach this machine: the one that a packet to them would carry. Nothing
/// is sent. None where there is no way out.
pub fn own_address() -> Option<IpAddr> {
    // An address for documentation (RFC 5737), nobody has it: only the route to it is looked up.
    let socket = std::net::UdpSocket::bind(("0.0.0.0", 0)).ok()?;
    socket.connect(("198.51.100.1", 9)).ok()?;
    let address = socket.local_addr().ok()?.ip();
    (!address.is_unspecified() && !address.is_loopback()).then_some(address)
}

/// Which process listens on a TCP port, as far as this one may see it.
pub fn holder(port: u16) -> Option<String> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .flat_map(|path| listening(&fs::read_to_string(path).unwrap_or_default(), port))
        .collect();
    let entries = fs::read_dir("/proc").ok()?;
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .find(|pid| has_socket(*pid, &inodes))
        .map(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            format!("{} (process {pid})", name.trim_end())
        })
}

fn has_socket(pid: i32, inodes: &[String]) -> bool {
    let Ok(entries) = fs::read_dir(format!("/proc/{pid}/fd")) else {
        return false;
    };
    entries
        .flatten()
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .any(|target| {
            let target = target.to_string_lossy();
            let inode = target
                .strip_prefix("socket:[")
                .and_then(|rest| rest.strip_suffix(']'));
            inode.is_some_and(|inode| inodes.iter().any(|known| known == inode))
        })
}

/// The inodes of sockets that listen on a port, out of proc_net_tcp's table.
fn listening(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let rows = table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row.len() > 9 && row[3] == LISTEN)
        .filter(|row| {
            let hex = row[1].rsplit(':').next().unwrap_or_default();
            u16::from_str_radix(hex, 16) == Ok(port)
        })
        .map(|row| row[9].to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_is_taken_is_passed_over_and_its_holder_is_named() {
        let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = taken.local_addr().unwrap();
        let Err(Error::PortTaken {
            holder: Some(holder),
            ..
        }) = check(address)
        else {
            panic!("the port is free, or nobody's");
        };
        assert!(holder.contains(&std::process::id().to_string()), "{holder}");
        let free = first_free(address, None).unwrap();
        assert!(free.port() > address.port());
        let next = first_free(address, Some(free)).unwrap();
        assert!(next.port() > free.port());
    }
}
