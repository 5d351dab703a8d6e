//! The core's binary.

use std::process::ExitCode;

use anyhow::Context;
use clap::Parser;
use rhyzome_api::command::{Action, Command};
use rhyzome_api::problem::chain;
use rhyzome_api::{certificate, logs, openapi, start};
use tokio::signal::unix::{SignalKind, signal};

fn main() -> ExitCode {
    let command = Command::parse();
    if let Some(Action::Openapi) = command.action {
        print!("{}", openapi::text());
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
    match run(&loaded.settings) {
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
