//! The core's binary.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use rhyzome_api::command::{Action, Command, Db};
use rhyzome_api::problem::chain;
use rhyzome_api::{backup, certificate, db_move, logs, start};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let command = Command::parse();
    if let Some(text) = command.action.as_ref().and_then(Action::printed) {
        // Whoever reads it may have read enough.
        let _ = std::io::stdout().write_all(text.as_bytes());
        return ExitCode::SUCCESS;
    }
    let loaded = match command.configuration() {
        Ok(loaded) => loaded,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::from(2);
        }
    };
    let wrong = certificate::check(&loaded.settings);
    if !wrong.is_empty() {
        for error in wrong {
            eprintln!("{}", chain(&error));
        }
        return ExitCode::from(2);
    }
    if command.check_config {
        println!("{loaded}");
        return ExitCode::SUCCESS;
    }
    let done = match &command.action {
        None => run(&loaded.settings),
        Some(action) => upkeep(&loaded.settings, action),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("rhyzome-api: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(settings: &rhyzome_api::configuration::Configuration) -> anyhow::Result<()> {
    logs::start(&settings.log).context("cannot start logging")?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?;
        let started = start::start(settings).await?;
        if let Some(path) = &started.new_token {
            println!("the administrator's token is in {}", path.display());
        }
        // Whoever started it may not have asked, or not listen any more.
        if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
            tracing::warn!(%error, "systemd could not be told that the core is ready");
        }
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        started.stop().await;
        Ok(())
    })
}

/// What is done and over, without a core.
fn upkeep(
    settings: &rhyzome_api::configuration::Configuration,
    action: &Action,
) -> anyhow::Result<()> {
    logs::start(&settings.log).context("cannot start logging")?;
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    match action {
        Action::Openapi | Action::Roles | Action::Man | Action::Completion { .. } => {}
        Action::Backup {
            file,
            with_images,
            overwrite,
        } => {
            let wanted = backup::Wanted {
                file,
                with_images: *with_images,
                overwrite: *overwrite,
            };
            let contents = runtime.block_on(backup::backup(settings, wanted))?;
            println!("{} has:", file.display());
            print_lines(&contents.lines());
        }
        Action::Restore { file, overwrite } => {
            let restoring = backup::restore(settings, file, *overwrite);
            let restored = runtime.block_on(restoring)?;
            println!("restored from {}:", file.display());
            print_lines(&restored.lines());
            println!(
                "Start the core now. What is on hosts and not in the backup is left alone, and nothing new \
                 is made, until `rhyzome site confirm`."
            );
        }
        Action::Db(Db::Move {
            to,
            to_password_file,
        }) => {
            let moving = db_move::run(settings, to, to_password_file.as_deref());
            let moved = runtime.block_on(moving)?;
            let rows: u64 = moved.tables.iter().map(|copied| copied.sum.rows).sum();
            println!("copied {rows} rows from {} to {}", moved.from, moved.to);
            println!("Set db to the new one in the configuration, and start the core.");
        }
    }
    Ok(())
}

fn print_lines(lines: &[String]) {
    for line in lines {
        println!("  {line}");
    }
}
