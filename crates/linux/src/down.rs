//! Takes all that carries a component's mark off its host, without the core and without any record.

use std::path::{Path, PathBuf};

use nix::sys::signal::Signal;
use rhyzome_hostnet::{Links, Mark, Namespace, segment};

use crate::error::Error;
use crate::layout;
use crate::process::Process;
use crate::{dnsmasq, egress, endpoint};

#[derive(Debug, thiserror::Error)]
pub enum DownError {
    #[error("cannot end the component's processes")]
    Processes(#[source] Error),
    #[error("cannot take away the component's links")]
    Links(#[source] rhyzome_hostnet::LinkError),
    #[error("cannot close the ways out")]
    Egress(#[source] Error),
    #[error("cannot take away the tunnels to other hosts")]
    Tunnels(#[source] rhyzome_hostnet::TunnelError),
    #[error("cannot let go of the segments")]
    Segments(#[source] rhyzome_hostnet::SegmentError),
    #[error("cannot remove the routers")]
    Namespaces(#[source] rhyzome_hostnet::NamespaceError),
    #[error("cannot remove {0}")]
    Purge(PathBuf, #[source] std::io::Error),
}

/// Removes what the component whose state is in a directory made on this host: processes, links, rules,
/// namespaces, and forwarding if it switched it on. Its records stay. Fine where there is nothing, and
/// after a kill at any moment.
///
/// The component itself must not run: it would put everything back.
pub async fn down(state_dir: &Path) -> Result<(), DownError> {
    let mark = Mark::of_state_dir(state_dir);
    stop_processes(state_dir)
        .await
        .map_err(DownError::Processes)?;
    drop_links(mark).await.map_err(DownError::Links)?;
    egress::settle(mark).await.map_err(DownError::Egress)?;
    rhyzome_hostnet::Tunnels::of(mark, None)
        .remove_all()
        .await
        .map_err(DownError::Tunnels)?;
    segment::remove_all(layout::holder(mark))
        .await
        .map_err(DownError::Segments)?;
    for namespace in Namespace::list().map_err(DownError::Namespaces)? {
        if layout::is_router(&namespace, mark) {
            namespace.delete().map_err(DownError::Namespaces)?;
        }
    }
    Ok(())
}

/// Removes the driver's part of the state directory: records, keys, what was handed out. What else is
/// in it is its component's.
pub fn purge(state_dir: &Path) -> Result<(), DownError> {
    let folder = layout::networks_dir(state_dir);
    match std::fs::remove_dir_all(&folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(DownError::Purge(folder, e)),
        _ => Ok(()),
    }
}

async fn stop_processes(state_dir: &Path) -> Result<(), Error> {
    let absolute = std::path::absolute(state_dir).unwrap_or_else(|_| state_dir.to_owned());
    let folder: PathBuf = layout::networks_dir(&absolute).components().collect();
    let mut processes: Vec<Process> = endpoint::find_below(&folder)?;
    processes.extend(dnsmasq::find_below(&folder)?);
    // All are asked before the first one is waited for.
    for process in &processes {
        process.signal(Signal::SIGTERM).map_err(Error::Processes)?;
    }
    for process in processes {
        process.stop().await?;
    }
    Ok(())
}

async fn drop_links(mark: Mark) -> Result<(), rhyzome_hostnet::LinkError> {
    let prefix = format!("rhyzome {mark} ");
    let links = Links::open()?;
    for link in links.list().await? {
        if link
            .alias
            .as_deref()
            .is_some_and(|alias| alias.starts_with(&prefix))
        {
            links.delete(link.index).await?;
        }
    }
    Ok(())
}
