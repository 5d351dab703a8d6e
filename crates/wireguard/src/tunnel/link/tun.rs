//! A TUN device whose descriptor another process has made.

use std::io;
use std::os::fd::OwnedFd;

use gotatun::packet::{Ip, Packet, PacketBufPool};
use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::unistd::{read, write};
use tokio::io::unix::AsyncFd;

/// How many packets are read between two looks at the rest.
const BATCH: usize = 64;

pub(in crate::tunnel) struct Tun(AsyncFd<OwnedFd>);

impl Tun {
    /// # Errors
    /// Where the descriptor cannot be waited for.
    pub(in crate::tunnel) fn new(descriptor: OwnedFd) -> io::Result<Self> {
        fcntl(&descriptor, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        // SAFETY: it owns the descriptor, and gives it to nobody.
        let registered = unsafe { AsyncFd::register(descriptor) };
        Ok(Self(registered?))
    }

    /// Hands a packet to the kernel.
    pub(super) async fn write(&self, packet: &[u8]) -> io::Result<()> {
        // It takes packets at any time, but for want of memory.
        while let Err(errno) = write(&self.0, packet) {
            match errno {
                Errno::EAGAIN => self.0.writable().await?.clear_ready(),
                errno => return Err(errno.into()),
            }
        }
        Ok(())
    }

    /// Waits for packets, and takes those that are there.
    pub(super) async fn read(
        &self,
        pool: &mut PacketBufPool,
        batch: &mut Vec<Packet<Ip>>,
    ) -> io::Result<()> {
        while batch.is_empty() {
            let mut ready = self.0.readable().await?;
            while batch.len() < BATCH {
                let mut packet = pool.get();
                match ready.try_io(|it| Ok(read(it, &mut packet)?)) {
                    Ok(length) => {
                        packet.truncate(length?);
                        // The kernel sends nothing else there; were it to, it would be lost.
                        batch.extend(packet.try_into_ip());
                    }
                    Err(_would_block) => break,
                }
            }
        }
        Ok(())
    }
}
