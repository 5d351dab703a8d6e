//! Each program: how large its file is, and how long it takes to start. Of the core besides how long it
//! takes until it answers for the first time, and what it has in memory when nothing happens.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::json;

use crate::core::{Core, program, resident};
use crate::figures::{Figures, Times, rounded};

/// How often something short is done.
const TIMES: usize = 21;

pub async fn measure() -> anyhow::Result<Figures> {
    let mut figures = Figures::default();
    figures.insert("name", "footprint");
    let folder = tempfile::tempdir().context("a folder")?;
    let core = Core::start(folder.path(), None).await?;
    let ready = core.ready_after;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let core_memory = resident(core.pid())?;
    for name in ["rhyzome-api", "rhyzome-libvirt", "rhyzome-linux", "rhyzome"] {
        let path = program(name)?;
        let size = std::fs::metadata(&path)
            .with_context(|| path.display().to_string())?
            .len();
        let mut starts = Times::default();
        for _ in 0..TIMES {
            let asked = Instant::now();
            let mut command = Command::new(&path);
            command.arg("--version").stdout(Stdio::null());
            let status = command
                .status()
                .with_context(|| path.display().to_string())?;
            anyhow::ensure!(status.success(), "{name} --version: {status}");
            starts.push(asked.elapsed());
        }
        let mut row = json!({
            "file_mib": mebibytes(size),
            "version_p50_ms": starts.percentile(50),
        });
        if name == "rhyzome-api" {
            row["idle_mib"] = mebibytes(core_memory).into();
            row["first_start_to_ready_ms"] = crate::figures::milliseconds(ready).into();
        }
        figures.insert(name, row);
    }
    Ok(figures)
}

fn mebibytes(bytes: u64) -> f64 {
    rounded(bytes as f64 / f64::from(1 << 20), 10.0)
}
