//! The configurations of the site's programs, written anew at each start from what was chosen.

use std::path::Path;

use serde::Serialize;

use super::choices::Choices;
use super::layout::Layout;
use crate::failure::Failure;
use crate::private;

/// Said at the beginning of each file.
const NOTICE: &str = "# Written by `rhyzome up` at each start: changes here are lost.\n";

#[derive(Serialize)]
struct Api<'a> {
    http_bind: String,
    grpc_bind: String,
    state_dir: &'a Path,
}

#[derive(Serialize)]
struct Component<'a> {
    core: String,
    state_dir: &'a Path,
}

#[derive(Serialize)]
struct Libvirt<'a> {
    accelerator: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    uri: Option<&'a str>,
    component: Component<'a>,
}

#[derive(Serialize)]
struct Linux<'a> {
    public_address: &'a str,
    component: Component<'a>,
}

/// Writes all of them.
pub fn write(layout: &Layout, choices: &Choices) -> Result<(), Failure> {
    let api = Api {
        http_bind: choices.http.to_string(),
        grpc_bind: choices.grpc.to_string(),
        state_dir: &layout.api(),
    };
    let (libvirt, linux) = (layout.libvirt(), layout.linux());
    let component = |state_dir| Component {
        core: choices.grpc_url(),
        state_dir,
    };
    let libvirt = Libvirt {
        accelerator: &choices.accelerator,
        uri: choices.libvirt.as_deref(),
        component: component(&libvirt),
    };
    let linux = Linux {
        public_address: &choices.public_address,
        component: component(&linux),
    };
    one(layout, "api", &api)?;
    one(layout, "libvirt", &libvirt)?;
    one(layout, "linux", &linux)
}

fn one(layout: &Layout, program: &str, content: &impl Serialize) -> Result<(), Failure> {
    let text = toml::to_string(content).expect("the configurations have a TOML form");
    private::write(
        &layout.config(program),
        format!("{NOTICE}{text}").as_bytes(),
    )
}
