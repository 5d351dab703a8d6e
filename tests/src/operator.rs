//! The operator: the typed client and the command line, where the core is, with the administrator's
//! token.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rhyzome_client::{Client, ClientOptions, Scope};
use rhyzome_model::image::ImageSpec;
use rhyzome_model::{Digest, Name};
use rhyzome_wireguard::config::ClientConfig;

use crate::wait::wait_for;
use crate::world::{Kind, World};
use crate::{host, programs};

/// How long the core may take to start, and a component to connect.
pub const STARTED: Duration = Duration::from_secs(60);

/// How long anything may take that instances have to start for: many at once, without KVM.
pub const READY: Duration = Duration::from_secs(120);

const URL: &str = "https://127.0.0.1:8080";

/// The command line of an instance that is told its addresses.
pub const TOLD: &str = "ip={{ip}}/{{prefix}} gw={{gateway}} ip6={{ip6}}/{{prefix6}} gw6={{gateway6}} \
                        dns={{dns}} hostname={{hostname}} network={{network}}";

/// The command line of an instance that asks for its IPv4 address.
pub const ASKS: &str =
    "ip=dhcp ip6={{ip6}}/{{prefix6}} gw6={{gateway6}} hostname={{hostname}} network={{network}}";

pub struct Operator {
    client: Client,
    token: PathBuf,
    authority: PathBuf,
    home: PathBuf,
}

/// A name that is one.
pub fn name(text: &str) -> Name {
    text.parse()
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

impl Operator {
    /// Waits for the core to be there.
    pub async fn of(world: &World) -> Self {
        let token = world.core_state().join("admin.token");
        let authority = world.core_state().join("authority.cert");
        let client = wait_for("the core answers", STARTED, async || {
            let client = Client::new(ClientOptions {
                url: URL.to_owned(),
                token: Some(std::fs::read_to_string(&token).ok()?.trim().to_owned()),
                authority_pem: Some(std::fs::read_to_string(&authority).ok()?),
            });
            let client = client.ok()?;
            client.site().get().await.ok()?;
            Some(client)
        });
        let client = client.await;
        let home = world.path("home");
        Self {
            client,
            token,
            authority,
            home,
        }
    }

    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Runs `rhyzome` with these arguments; returns what it wrote.
    ///
    /// # Panics
    /// With what it complained about.
    pub fn rhyzome(&self, arguments: &[&str]) -> String {
        let line = format!("rhyzome {}", arguments.join(" "));
        self.attempt(arguments)
            .unwrap_or_else(|error| panic!("{line} {error}"))
    }

    /// Runs `rhyzome` with these arguments; returns what it wrote, or how it ended and what it complained about.
    ///
    /// # Errors
    /// Where it did not end well.
    pub fn attempt(&self, arguments: &[&str]) -> Result<String, String> {
        let mut command = Command::new(programs::binary("rhyzome"));
        command.args(arguments);
        command.env("HOME", &self.home);
        command.env("RHYZOME_URL", URL);
        command.env("RHYZOME_TOKEN_FILE", &self.token);
        command.env("RHYZOME_AUTHORITY_FILE", &self.authority);
        host::finish(command, None)
    }

    /// Makes the host's program a component, starts it, and waits until it is connected.
    pub async fn add_component(&self, world: &mut World, kind: Kind) -> Name {
        let name = kind.called();
        let words = [
            "component",
            "token",
            "--quiet",
            "--kind",
            kind.as_str(),
            "--name",
        ];
        let words: Vec<&str> = words.into_iter().chain([name.as_str()]).collect();
        let token = self.rhyzome(&words);
        world.join(kind, token.trim());
        world.start_component(kind);
        self.connected(&name).await;
        name
    }

    /// Waits until a component has a session.
    pub async fn connected(&self, name: &Name) {
        let components = self.client.component();
        let what = format!("{name} is connected");
        wait_for(&what, STARTED, async || {
            let component = components.get(name).await.ok()?;
            component.connected.then_some(())
        })
        .await;
    }

    /// Makes a project that has the image `hello`.
    pub async fn add_project(&self, project: &Name) -> Scope {
        let made = self.client.project().create_named(project).await;
        made.unwrap_or_else(|error| panic!("the project {project}: {error}"));
        let scope = self.client.within(project);
        let bytes = std::fs::read(programs::hello()).expect("it was just there");
        let digest = Digest::of(&bytes);
        let size = bytes.len() as u64;
        let uploaded = scope
            .blob()
            .upload(&digest, size, std::io::Cursor::new(bytes), |_| {})
            .await;
        uploaded.unwrap_or_else(|error| panic!("the unikernel's bytes: {error}"));
        let spec = ImageSpec {
            digest,
            initrd: None,
            command_line: TOLD.to_owned(),
        };
        let image = scope.image().create(&name("hello"), spec, None).await;
        image.unwrap_or_else(|error| panic!("the unikernel's image: {error}"));
        scope
    }

    /// Makes this device a peer of networks, and returns its configuration.
    pub fn add_peer(&self, project: &Name, peer: &str, networks: &[&Name]) -> ClientConfig {
        let mut words = vec!["--project", project.as_str(), "peer", "create", peer];
        for network in networks {
            words.extend(["--network", network.as_str()]);
        }
        self.rhyzome(&words);
        self.peer_config(project, peer)
    }

    /// The configuration of a peer that this device is.
    pub fn peer_config(&self, project: &Name, peer: &str) -> ClientConfig {
        let text = self.rhyzome(&["--project", project.as_str(), "peer", "config", peer]);
        ClientConfig::parse(&text).unwrap_or_else(|error| panic!("{error}"))
    }
}
