//! `rhyzome http`: one GET through the tunnel, its body on the standard output.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use clap_complete::ArgValueCandidates;
use http_body_util::{BodyExt, Empty};
use hyper::header::{ACCEPT, HOST, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use rhyzome_model::Name;
use rhyzome_wireguard::config::ClientConfig;
use rhyzome_wireguard::tunnel::Tunnel;
use tokio::time::{Instant, sleep, timeout_at};

use crate::args::duration;
use crate::complete;
use crate::failure::Failure;
use crate::session::Cx;
use crate::tunnel::{self, As};

/// The pause between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// How long one try may take to connect.
const CONNECT: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  rhyzome http web
  rhyzome http web:8080 /healthz --retry --timeout 60s
  rhyzome http --config lab.conf http://10.96.12.5/

The exit code is 0 if the answer's status is one of success.")]
pub struct Http {
    /// INSTANCE or INSTANCE:PORT. With --config, http://IP[:PORT]/PATH.
    #[arg(value_name = "INSTANCE[:PORT]", add = ArgValueCandidates::new(complete::instances))]
    target: String,
    #[arg(value_name = "PATH", default_value = "/", hide_default_value = true)]
    path: String,
    #[command(flatten)]
    options: As,
    /// How long it may take in all, like 30s or 2m.
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = duration)]
    timeout: Duration,
    /// While nothing answers, try again until the time is over.
    #[arg(long)]
    retry: bool,
}

/// What to get.
struct Goal {
    config: ClientConfig,
    address: SocketAddr,
    host: String,
    path: String,
}

/// Why a try failed, and whether another one may do better.
struct Miss {
    failure: Failure,
    passing: bool,
}

impl Http {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let deadline = Instant::now() + self.timeout;
        let goal = self.goal(cx).await?;
        let tunnel = loop {
            match tunnel::start(cx, &goal.config, CONNECT.min(deadline - Instant::now())).await {
                Err(Failure::Tunnel(tunnel::Error::Silent(_))) if self.again(deadline) => {}
                other => break other?,
            }
        };
        let outcome = loop {
            match get(cx, &tunnel, &goal, deadline).await {
                Err(miss) if miss.passing && self.again(deadline) => sleep(PAUSE).await,
                other => break other.map_err(|miss| miss.failure),
            }
        };
        tunnel.stop().await;
        outcome
    }

    fn again(&self, deadline: Instant) -> bool {
        self.retry && Instant::now() + PAUSE < deadline
    }

    async fn goal(&self, cx: &Cx) -> Result<Goal, Failure> {
        if let Some(config) = &self.options.config {
            let (address, host, path) = direct(&self.target)?;
            let path = if self.path == "/" {
                path
            } else {
                rooted(&self.path)
            };
            return Ok(Goal {
                config: tunnel::read(config, address.ip())?,
                address,
                host,
                path,
            });
        }
        let (instance, port) = named(&self.target)?;
        let way = tunnel::find(cx, &instance, &self.options.device).await?;
        let address = SocketAddr::new(way.address, port);
        let host = if port == 80 {
            way.dns_name
        } else {
            format!("{}:{port}", way.dns_name)
        };
        Ok(Goal {
            config: way.config,
            address,
            host,
            path: rooted(&self.path),
        })
    }
}

/// One try: nothing is printed before the answer is there.
async fn get(cx: &Cx, tunnel: &Tunnel, goal: &Goal, deadline: Instant) -> Result<(), Miss> {
    let left = deadline.saturating_duration_since(Instant::now());
    let stream = tunnel.connect(goal.address, CONNECT.min(left)).await;
    let stream = stream.map_err(|e| Miss {
        failure: tunnel::Error::Connect(e).into(),
        passing: true,
    })?;
    let what = || format!("GET http://{}{}", goal.address, goal.path);
    let broken = |reason: String, passing| Miss {
        failure: Failure::Http {
            what: what(),
            reason,
        },
        passing,
    };
    let request = Request::get(&goal.path)
        .header(HOST, &goal.host)
        .header(USER_AGENT, concat!("rhyzome/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "*/*")
        .body(Empty::<Bytes>::new())
        .map_err(|e| broken(e.to_string(), false))?;
    let exchange = async {
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        sender.send_request(request).await
    };
    let response = match timeout_at(deadline, exchange).await {
        Ok(response) => response.map_err(|e| broken(e.to_string(), true))?,
        Err(_) => return Err(broken("no answer in time".to_owned(), false)),
    };
    let status = response.status();
    let mut body = response.into_body();
    loop {
        match timeout_at(deadline, body.frame()).await {
            Ok(None) => break,
            Ok(Some(Ok(frame))) => {
                let bytes = frame.into_data().unwrap_or_default();
                cx.output.bytes(&bytes).map_err(|failure| Miss {
                    failure,
                    passing: false,
                })?;
            }
            Ok(Some(Err(e))) => return Err(broken(e.to_string(), false)),
            Err(_) => return Err(broken("the answer did not end in time".to_owned(), false)),
        }
    }
    if status.is_success() {
        return Ok(());
    }
    Err(Miss {
        failure: Failure::HttpStatus(what(), status.as_u16()),
        passing: false,
    })
}

/// `web` or `web:8080`.
fn named(target: &str) -> Result<(Name, u16), Failure> {
    let wrong = |reason: String| {
        Failure::Usage(format!(
            "{target:?} is not INSTANCE or INSTANCE:PORT: {reason}"
        ))
    };
    let (name, port) = match target.split_once(':') {
        Some((name, port)) => (
            name,
            port.parse()
                .map_err(|_| wrong(format!("{port:?} is no port")))?,
        ),
        None => (target, 80),
    };
    Ok((name.parse().map_err(|e| wrong(format!("{e}")))?, port))
}

/// An address inside the network: `http://10.96.12.5/path`, or `10.96.12.5:8080`.
fn direct(target: &str) -> Result<(SocketAddr, String, String), Failure> {
    let wrong = || {
        Failure::Usage(format!(
            "{target:?} is not http://IP[:PORT]/PATH: without the core, names are not known"
        ))
    };
    let text = if target.contains("://") {
        target.to_owned()
    } else {
        format!("http://{target}/")
    };
    let uri: Uri = text.parse().map_err(|_| wrong())?;
    if uri.scheme_str() != Some("http") {
        return Err(wrong());
    }
    let host = uri.host().ok_or_else(wrong)?;
    let ip = host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .map_err(|_| wrong())?;
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    let path = uri
        .path_and_query()
        .map_or("/", |path| path.as_str())
        .to_owned();
    Ok((
        SocketAddr::new(ip, uri.port_u16().unwrap_or(80)),
        authority,
        path,
    ))
}

fn rooted(path: &str) -> String {
    if path.starts_with('/') {
        path.to_owned()
    } else {
        format!("/{path}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_may_have_a_port() {
        let check = |text: &str, expect: Option<(&str, u16)>| {
            let got = named(text)
                .ok()
                .map(|(name, port)| (name.to_string(), port));
            assert_eq!(
                got,
                expect.map(|(name, port)| (name.to_owned(), port)),
                "{text}"
            );
        };
        check("web", Some(("web", 80)));
        check("web:8080", Some(("web", 8080)));
        check("web:", None);
        check("10.0.0.1", None);
    }

    #[test]
    fn without_the_core_an_address_is_wanted() {
        let check = |text: &str, expect: Option<(&str, &str, &str)>| {
            let got = direct(text)
                .ok()
                .map(|(address, host, path)| (address.to_string(), host, path));
            let got = got
                .as_ref()
                .map(|(a, h, p)| (a.as_str(), h.as_str(), p.as_str()));
            assert_eq!(got, expect, "{text}");
        };
        check(
            "http://10.0.0.5/a?b",
            Some(("10.0.0.5:80", "10.0.0.5", "/a?b")),
        );
        check(
            "10.0.0.5:8080",
            Some(("10.0.0.5:8080", "10.0.0.5:8080", "/")),
        );
        check(
            "http://[fd00::5]:81",
            Some(("[fd00::5]:81", "[fd00::5]:81", "/")),
        );
        for wrong in ["https://10.0.0.5/", "http://web/", "web", ""] {
            check(wrong, None);
        }
    }
}
