//! Addresses of hosts, out of `/etc/hosts` and from the DNS servers of `/etc/resolv.conf`. A static program cannot
//! ask as getaddrinfo(3) does: that loads modules which are on no router.
//!
//! Both files are read at each question, as a router's change with its uplink. Left out on purpose: a cache, which a
//! router has in its dnsmasq, and all of resolv.conf(5) but servers and search lists.

mod files;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use domain::base::iana::{Rcode, Rtype};
use domain::base::name::Name;
use domain::rdata::{A, Aaaa};
use domain::resolv::stub::conf::{ResolvConf, ServerConf, Transport};
use domain::resolv::stub::{Answer, StubResolver};
use rhyzome_component::surroundings::Names;

/// How long the servers may take for one question, and how often it is asked: a datagram may get lost.
const ANSWER_WITHIN: Duration = Duration::from_millis(2500);
const ATTEMPTS: usize = 2;
const PORT: u16 = 53;

/// Finds hosts as the files say.
#[derive(Clone, Debug)]
pub struct FileNames {
    hosts: PathBuf,
    resolv_conf: PathBuf,
    port: u16,
    answer_within: Duration,
}

impl FileNames {
    /// As the files below a folder say.
    pub fn below(root: &Path) -> Self {
        Self {
            hosts: root.join("etc/hosts"),
            resolv_conf: root.join("etc/resolv.conf"),
            port: PORT,
            answer_within: ANSWER_WITHIN,
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum NameError {
    #[error("{host:?} is no name of a host")]
    Invalid { host: String },
    #[error("no host is called {host}, says {servers}")]
    Unknown { host: String, servers: String },
    #[error("{host} has no addresses, says {servers}")]
    NoAddress { host: String, servers: String },
    #[error("{servers} cannot say what the addresses of {host} are: {rcode}")]
    Failed {
        host: String,
        servers: String,
        rcode: Rcode,
    },
    #[error("no answer from {servers}, asked for {host}")]
    Silent {
        host: String,
        servers: String,
        source: io::Error,
    },
}

#[async_trait]
impl Names for FileNames {
    async fn addresses(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        // Files that are not there say nothing.
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let host = host.strip_suffix('.').unwrap_or(host);
        let known = files::hosts(&read(&self.hosts), host);
        if !known.is_empty() {
            return Ok(known);
        }
        let asked = files::Asked::read(&read(&self.resolv_conf));
        self.ask(host, asked).await.map_err(io::Error::other)
    }
}

impl FileNames {
    /// The names that it may be, one after the other.
    async fn ask(&self, host: &str, asked: files::Asked) -> Result<Vec<IpAddr>, NameError> {
        let resolver = self.resolver(&asked.servers);
        let mut last = NameError::Invalid {
            host: host.to_owned(),
        };
        for name in asked.candidates(host) {
            let asking = Asking {
                name: &name,
                servers: asked.to_string(),
            };
            match asking.addresses(&resolver).await {
                Err(error @ (NameError::Unknown { .. } | NameError::NoAddress { .. })) => {
                    last = error;
                }
                found => return found,
            }
        }
        Err(last)
    }

    fn resolver(&self, servers: &[(IpAddr, u32)]) -> StubResolver {
        let mut conf = ResolvConf::new();
        for (address, scope) in servers {
            let address = match address {
                IpAddr::V4(address) => SocketAddr::from((*address, self.port)),
                IpAddr::V6(address) => {
                    std::net::SocketAddrV6::new(*address, self.port, 0, *scope).into()
                }
            };
            conf.servers
                .push(ServerConf::new(address, Transport::UdpTcp));
        }
        conf.options.timeout = self.answer_within;
        conf.finalize();
        StubResolver::from_conf(conf)
    }
}

/// One name, asked of all servers.
struct Asking<'a> {
    name: &'a str,
    servers: String,
}

impl Asking<'_> {
    async fn addresses(&self, resolver: &StubResolver) -> Result<Vec<IpAddr>, NameError> {
        let host = || self.name.to_owned();
        let name: Name<Vec<u8>> = self
            .name
            .parse()
            .map_err(|_| NameError::Invalid { host: host() })?;
        let (six, four) = tokio::join!(
            self.answer(resolver, &name, Rtype::AAAA),
            self.answer(resolver, &name, Rtype::A),
        );
        let found = [&six, &four].into_iter().flatten().flat_map(addresses);
        let found: Vec<IpAddr> = found.collect();
        if !found.is_empty() {
            return Ok(found);
        }
        // What is said is that of the question that went worse.
        let rcode = six?.header().rcode().max(four?.header().rcode());
        let servers = self.servers.clone();
        Err(match rcode {
            Rcode::NOERROR => NameError::NoAddress {
                host: host(),
                servers,
            },
            Rcode::NXDOMAIN => NameError::Unknown {
                host: host(),
                servers,
            },
            rcode => NameError::Failed {
                host: host(),
                servers,
                rcode,
            },
        })
    }

    async fn answer(
        &self,
        resolver: &StubResolver,
        name: &Name<Vec<u8>>,
        rtype: Rtype,
    ) -> Result<Answer, NameError> {
        let mut asked = resolver.query((name, rtype)).await;
        for _ in 1..ATTEMPTS {
            if asked.is_err() {
                asked = resolver.query((name, rtype)).await;
            }
        }
        asked.map_err(|source| NameError::Silent {
            host: self.name.to_owned(),
            servers: self.servers.clone(),
            source,
        })
    }
}

/// All in an answer, whatever aliases are before them.
fn addresses(answer: &Answer) -> Vec<IpAddr> {
    let Ok(records) = answer.answer() else {
        return Vec::new();
    };
    let six = records.limit_to::<Aaaa>().flatten();
    let six = six.map(|record| record.data().addr().into());
    let four = records.limit_to::<A>().flatten();
    let four = four.map(|record| record.data().addr().into());
    six.chain(four).collect()
}

#[cfg(test)]
mod tests;
