//! DHCP, DNS and router advertisements of a network: a dnsmasq in its namespace that outlives the
//! component.
//!
//! Its configuration is in a file that is named by its contents, so that the arguments of the process
//! say which configuration it runs with. Leases come and go by SIGHUP. dnsmasq keeps what it once
//! handed out, also where the core has since given the address to another interface; only where it did
//! so is it stopped, its lease file corrected, and started again.

mod config;
mod leases;
mod query;

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use rhyzome_model::network::NetworkPlacement;
use tokio::process::Command;

use crate::driver::LinuxDriver;
use crate::error::Error;
use crate::layout::Layout;
use crate::process::{self, Process};
use crate::record::{self, LeaseRecord, NetworkRecord, Shelf};
use crate::settings::Settings;

use config::Files;

/// How long dnsmasq may take to read its files again.
const LOADED_WITHIN: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(5);

fn config_path(folder: &Path, spec: &NetworkPlacement, settings: &Settings) -> (PathBuf, String) {
    let upstream = if spec.egress {
        settings.upstream()
    } else {
        Vec::new()
    };
    let text = config::text(spec, folder, &upstream);
    (
        folder.join(format!("dnsmasq-{}.conf", config::fingerprint(&text))),
        text,
    )
}

/// The argument by which the process of a configuration is known.
fn argument(config: &Path) -> Vec<u8> {
    let mut argument = b"--conf-file=".to_vec();
    argument.extend(config.as_os_str().as_encoded_bytes());
    argument
}

fn is_dnsmasq(arguments: &[Vec<u8>]) -> bool {
    arguments
        .first()
        .is_some_and(|program| program.ends_with(b"dnsmasq"))
}

/// All of a folder's, whatever their configuration.
pub(crate) fn find_below(folder: &Path) -> Result<Vec<Process>, Error> {
    process::find(|arguments| {
        is_dnsmasq(arguments)
            && arguments
                .iter()
                .any(|argument| process::is_below(argument, folder))
    })
}

/// Whether a process is the one of a configuration, in the network's namespace.
fn is_current(process: &Process, layout: &Layout, config: &Path) -> bool {
    process.arguments.contains(&argument(config)) && layout.namespace.holds(process.pid)
}

fn running(layout: &Layout, config: &Path) -> Result<Option<Process>, Error> {
    let found = find_below(&layout.folder)?;
    Ok(found
        .into_iter()
        .find(|process| is_current(process, layout, config)))
}

pub(crate) async fn stop(folder: &Path) -> Result<(), Error> {
    for process in find_below(folder)? {
        process.stop().await?;
    }
    Ok(())
}

/// Brings leases, configuration and process to what is recorded, whatever is there now.
pub(crate) async fn ensure(
    driver: &LinuxDriver,
    layout: &Layout,
    network: &NetworkRecord,
) -> Result<(), Error> {
    let folder = &layout.folder;
    let (config, text) = config_path(folder, &network.spec, driver.settings());
    record::write_text(&config, &text)?;
    for process in find_below(folder)? {
        if !is_current(&process, layout, &config) {
            driver.watch().forget(layout.network);
            process.stop().await?;
        }
    }
    for path in record::entries(folder)? {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("dnsmasq-") && name.ends_with(".conf") && path != config {
            record::remove_file(&path)?;
        }
    }
    bring_leases(driver, layout, &network.spec, &config).await
}

async fn bring_leases(
    driver: &LinuxDriver,
    layout: &Layout,
    spec: &NetworkPlacement,
    config: &Path,
) -> Result<(), Error> {
    let folder = &layout.folder;
    let leases: Vec<LeaseRecord> = record::list(folder, Shelf::Leases)?;
    let files = Files::of(spec, leases.iter().map(|lease| &lease.spec));
    let before = record::read_text(&config::dhcp_hosts(folder))?.unwrap_or_default();
    // Twice: between the look at the lease file and the reload a client may still get the old lease.
    for _ in 0..2 {
        if kept(folder, &before, &files)?.is_some() {
            driver.watch().forget(layout.network);
            stop(folder).await?;
            // Looked at again: only now does nobody write it any more.
            if let Some(kept) = kept(folder, &before, &files)? {
                record::write_text(&config::database(folder), &kept)?;
            }
        }
        record::write_text(&config::dns_hosts(folder), &files.dns)?;
        record::write_text(&config::dhcp_hosts(folder), &files.dhcp)?;
        match running(layout, config)? {
            Some(process) => process.signal(Signal::SIGHUP).map_err(Error::Processes)?,
            None => start(layout, config).await?,
        }
        loaded(layout, spec, &files).await?;
        if kept(folder, &before, &files)?.is_none() {
            return Ok(());
        }
    }
    Err(Error::Unloaded)
}

/// What of dnsmasq's own record holds; none where all of it does.
fn kept(folder: &Path, before: &str, files: &Files) -> Result<Option<String>, Error> {
    let handed_out = record::read_text(&config::database(folder))?.unwrap_or_default();
    let kept = leases::keep(&handed_out, before, &files.dhcp);
    Ok((kept != handed_out).then_some(kept))
}

/// Returns when it listens: dnsmasq leaves the foreground then.
async fn start(layout: &Layout, config: &Path) -> Result<(), Error> {
    let option = String::from_utf8_lossy(&argument(config)).into_owned();
    let work = move || async move {
        Command::new("dnsmasq")
            .arg(option)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .output()
            .await
    };
    let output = layout
        .namespace
        .run(work)
        .await
        .map_err(Error::Namespace)?
        .map_err(Error::StartDnsmasq)?;
    if output.status.success() {
        return Ok(());
    }
    let log = record::read_text(&config::log(&layout.folder))?.unwrap_or_default();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let why = said
        .lines()
        .chain(log.lines())
        .rfind(|line| !line.trim().is_empty());
    Err(Error::Dnsmasq(
        why.unwrap_or("no reason given").trim().to_owned(),
    ))
}

/// Waits until dnsmasq answers with what is in the files: a name in them says which they are.
async fn loaded(layout: &Layout, spec: &NetworkPlacement, files: &Files) -> Result<(), Error> {
    let (server, name) = (spec.router_ipv4(), files.name.clone());
    let work = move || async move {
        let started = Instant::now();
        while started.elapsed() < LOADED_WITHIN {
            if query::ask(server, &name).await?.contains(&server) {
                return Ok(true);
            }
            tokio::time::sleep(PAUSE).await;
        }
        Ok(false)
    };
    match layout.namespace.run(work).await.map_err(Error::Namespace)? {
        Ok(true) => Ok(()),
        Ok(false) => Err(Error::Unloaded),
        Err(e) => Err(Error::Ask(e)),
    }
}

/// What is not as recorded; none where nothing is. The process comes with it, to be watched.
pub(crate) fn check(
    layout: &Layout,
    network: &NetworkRecord,
    settings: &Settings,
) -> Result<Result<Process, String>, Error> {
    let (config, text) = config_path(&layout.folder, &network.spec, settings);
    if record::read_text(&config)?.as_deref() != Some(&*text) {
        return Ok(Err("the configuration of dnsmasq is another".to_owned()));
    }
    if !files_match(&layout.folder, &network.spec)? {
        return Ok(Err("dnsmasq's leases are others".to_owned()));
    }
    Ok(running(layout, &config)?.ok_or_else(|| "dnsmasq does not run".to_owned()))
}

/// Whether dnsmasq's files say what is recorded of leases.
pub(crate) fn files_match(folder: &Path, spec: &NetworkPlacement) -> Result<bool, Error> {
    let leases: Vec<LeaseRecord> = record::list(folder, Shelf::Leases)?;
    let files = Files::of(spec, leases.iter().map(|lease| &lease.spec));
    Ok(
        record::read_text(&config::dhcp_hosts(folder))?.as_deref() == Some(&*files.dhcp)
            && record::read_text(&config::dns_hosts(folder))?.as_deref() == Some(&*files.dns),
    )
}
