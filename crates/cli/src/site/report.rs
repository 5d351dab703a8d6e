//! What `rhyzome up` says of a site that is up, for programs: one JSON document.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::choices::{Choices, Hosts};
use super::layout::Layout;
use super::simulate::Simulation;
use crate::failure::Failure;
use crate::output::{Mode, Output};

#[derive(Serialize)]
struct Report<'a> {
    url: String,
    state: &'a Path,
    /// For `RHYZOME_CONFIG`.
    context: PathBuf,
    components: Vec<String>,
    public_address: &'a str,
}

/// People have read it step by step.
pub fn print(output: &Output, layout: &Layout, choices: &Choices) -> Result<(), Failure> {
    if output.mode != Mode::Json {
        return Ok(());
    }
    let components = match choices.hosts {
        Hosts::Real => vec!["hypervisor".to_owned(), "router".to_owned()],
        Hosts::Simulated(count) => Simulation::of(count, "").names(),
    };
    output.json(&Report {
        url: choices.http_url(),
        state: layout.root(),
        context: layout.context(),
        components,
        public_address: &choices.public_address,
    })
}
