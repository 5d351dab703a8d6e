//! The way to an instance's SSH server as options of `ssh`.

use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::known::{self, KnownHosts};
use super::{To, identity, own_path};
use crate::failure::Failure;
use crate::session::{Cx, Session};
use crate::tunnel;

/// All that `ssh` has to be told.
#[derive(Debug)]
pub struct Route {
    /// The instance's name in the DNS of its network.
    pub host: String,
    id: Uuid,
    user: Option<String>,
    port: u16,
    identities: Vec<PathBuf>,
    known: KnownHosts,
    proxy: String,
}

impl Route {
    /// Finds the way, makes this device a peer where that was asked, and says what is wrong before `ssh`
    /// says it in its own words.
    pub async fn find(cx: &Cx, to: &To) -> Result<Self, Failure> {
        let session = cx.session()?;
        let wait = to.wait.filter(|_| !to.accept_new);
        let instance = known::wait(cx, &session, &to.instance, wait).await?;
        let known = known::write(&cx.paths.data, &instance, to.accept_new)?;
        let identities = identities(cx, &session, to).await?;
        let way = tunnel::to(cx, &session, &instance, &to.device).await?;
        Ok(Self {
            host: way.dns_name,
            id: instance.meta.id,
            user: to.user.clone().or_else(|| known::identity(&instance).user),
            port: to.port,
            identities,
            known,
            proxy: proxy(cx, &session, to, &way.peer)?,
        })
    }

    /// Options as in `ssh_config(5)`, in order.
    pub fn options(&self) -> Vec<(&'static str, String)> {
        let mut options = vec![
            ("HostKeyAlias", self.id.to_string()),
            ("UserKnownHostsFile", quoted(&self.known.path)),
            ("GlobalKnownHostsFile", "/dev/null".to_owned()),
            (
                "StrictHostKeyChecking",
                if self.known.accept_new {
                    "accept-new"
                } else {
                    "yes"
                }
                .to_owned(),
            ),
            ("CheckHostIP", "no".to_owned()),
            ("UpdateHostKeys", "no".to_owned()),
            ("ProxyCommand", self.proxy.clone()),
            ("Port", self.port.to_string()),
        ];
        if let Some(user) = &self.user {
            options.push(("User", user.clone()));
        }
        for file in &self.identities {
            options.push(("IdentityFile", quoted(file)));
        }
        if !self.identities.is_empty() {
            options.push(("IdentitiesOnly", "yes".to_owned()));
        }
        options
    }
}

async fn identities(cx: &Cx, session: &Session<'_>, to: &To) -> Result<Vec<PathBuf>, Failure> {
    if let Some(file) = &to.identity {
        let failed = |source| Failure::Read {
            path: file.clone(),
            source,
        };
        return Ok(vec![file.canonicalize().map_err(failed)?]);
    }
    let keys = session.scope.ssh_key().all().await?;
    let home = std::env::home_dir();
    let files = identity::of_project(&keys, home.as_deref(), &cx.paths.data)?;
    if files.is_empty() {
        cx.output.note(
            "none of the project's SSH keys is on this device (`rhyzome ssh-key list`); ssh tries its own",
        );
    }
    Ok(files)
}

/// The command that carries the connection: this program, with the same context.
fn proxy(
    cx: &Cx,
    session: &Session<'_>,
    to: &To,
    peer: &rhyzome_model::Name,
) -> Result<String, Failure> {
    let mut words = vec![shell(&own_path()?.to_string_lossy())];
    if let Some(context) = cx.context_name()? {
        words.push(format!("--context={}", shell(&context)));
    }
    words.push(format!("--project={} forward", session.project));
    words.push(format!("{} --peer={peer} --stdio=%p", to.instance));
    Ok(words.join(" "))
}

/// A word for the shell that `ssh` starts, with `%` as `ssh` wants it.
fn shell(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''").replace('%', "%%"))
}

/// A path in an option: with quotes, as it may have blanks in it, and `%` as `ssh` wants it.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.to_string_lossy().replace('%', "%%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_paths_come_through_ssh_as_they_are() {
        assert_eq!(shell("it's 100%"), r"'it'\''s 100%%'");
        assert_eq!(quoted(Path::new("/a b/100%")), "\"/a b/100%%\"");
    }

    #[test]
    fn the_host_is_checked_against_its_own_file_alone() {
        let route = |accept_new| Route {
            host: "web.lab.default.rhyzome.internal".to_owned(),
            id: Uuid::from_u128(7),
            user: Some("debian".to_owned()),
            port: 22,
            identities: vec![PathBuf::from("/home/a/.ssh/id")],
            known: KnownHosts {
                path: PathBuf::from("/data/ssh/7.known_hosts"),
                accept_new,
            },
            proxy: "'rhyzome' --project=default forward web --peer=laptop --stdio=%p".to_owned(),
        };
        let text = |accept_new| {
            let options = route(accept_new).options().into_iter();
            options
                .map(|(key, value)| format!("{key} {value}"))
                .collect::<Vec<_>>()
        };
        insta::assert_snapshot!(text(false).join("\n"), @r#"
        HostKeyAlias 00000000-0000-0000-0000-000000000007
        UserKnownHostsFile "/data/ssh/7.known_hosts"
        GlobalKnownHostsFile /dev/null
        StrictHostKeyChecking yes
        CheckHostIP no
        UpdateHostKeys no
        ProxyCommand 'rhyzome' --project=default forward web --peer=laptop --stdio=%p
        Port 22
        User debian
        IdentityFile "/home/a/.ssh/id"
        IdentitiesOnly yes
        "#);
        assert!(text(true).contains(&"StrictHostKeyChecking accept-new".to_owned()));
    }
}
