//! What was chosen for a site: kept in its folder, so that the next start is the same without being
//! told again.

use std::net::SocketAddr;
use std::{fs, io};

use serde::{Deserialize, Serialize};

use super::layout::Layout;
use super::{Error, port};
use crate::private;

/// Where the ports are looked for if none is chosen.
const HTTP: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 8080);
const GRPC: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 9090);

/// What kind of hosts a site has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hosts {
    /// This machine, with libvirt and Linux' networking.
    Real,
    /// So many simulated hypervisors and one simulated router.
    Simulated(u16),
}

impl Hosts {
    fn describe(self) -> &'static str {
        match self {
            Self::Real => "with this machine as its host",
            Self::Simulated(_) => "with simulated hosts",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choices {
    /// Where people and programs connect to.
    pub http: SocketAddr,
    /// Where components connect to.
    pub grpc: SocketAddr,
    pub hosts: Hosts,
    /// What peers' configurations point at.
    pub public_address: String,
    /// What guests run on: `auto`, `kvm` or `qemu`.
    pub accelerator: String,
    /// A libvirt to use instead of the embedded one.
    pub libvirt: Option<String>,
}

/// What the command line says, which may be nothing.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    pub http: Option<SocketAddr>,
    pub grpc: Option<SocketAddr>,
    pub simulate: Option<u16>,
    pub public_address: Option<String>,
    pub accelerator: Option<String>,
    pub libvirt: Option<String>,
}

impl Choices {
    /// What was chosen at an earlier start; none at the first one.
    pub fn load(layout: &Layout) -> Result<Option<Self>, Error> {
        let path = layout.choices();
        match fs::read_to_string(&path) {
            Ok(text) => serde_json::from_str(&text)
                .map(Some)
                .map_err(|e| Error::Syntax {
                    path,
                    reason: e.to_string(),
                }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(Error::file(path)(e)),
        }
    }

    /// Puts wishes over what was chosen before, and the defaults under both; ports that nobody chose
    /// are the first free ones.
    pub fn make(before: Option<Self>, wishes: Wishes) -> Result<Self, Error> {
        let hosts = hosts(before.as_ref(), wishes.simulate)?;
        let http = match wishes.http.or(before.as_ref().map(|b| b.http)) {
            Some(chosen) => chosen,
            None => port::first_free(HTTP, wishes.grpc)?,
        };
        let grpc = match wishes.grpc.or(before.as_ref().map(|b| b.grpc)) {
            Some(chosen) => chosen,
            None => port::first_free(GRPC, Some(http))?,
        };
        let own = || port::own_address().map_or("127.0.0.1".to_owned(), |ip| ip.to_string());
        let (public, accelerator, libvirt) = match before {
            Some(b) => (Some(b.public_address), Some(b.accelerator), b.libvirt),
            None => (None, None, None),
        };
        Ok(Self {
            http,
            grpc,
            hosts,
            public_address: wishes.public_address.or(public).unwrap_or_else(own),
            accelerator: wishes
                .accelerator
                .or(accelerator)
                .unwrap_or_else(|| "auto".to_owned()),
            libvirt: wishes.libvirt.or(libvirt),
        })
    }

    /// Chooses ports anew: the first free ones.
    pub fn find_ports(&mut self) -> Result<(), Error> {
        self.http = port::first_free(HTTP, None)?;
        self.grpc = port::first_free(GRPC, Some(self.http))?;
        Ok(())
    }

    pub fn save(&self, layout: &Layout) -> Result<(), crate::failure::Failure> {
        let text = serde_json::to_vec_pretty(self).expect("the choices have a JSON form");
        private::write(&layout.choices(), &text)
    }

    pub fn http_url(&self) -> String {
        format!("https://{}", self.http)
    }

    pub fn grpc_url(&self) -> String {
        format!("https://{}", self.grpc)
    }
}

fn hosts(before: Option<&Choices>, simulate: Option<u16>) -> Result<Hosts, Error> {
    let before = before.map(|b| b.hosts);
    match (before, simulate) {
        (Some(Hosts::Real), Some(count)) => Err(Error::OtherKind {
            was: Hosts::Real.describe(),
            wanted: Hosts::Simulated(count).describe(),
        }),
        (_, Some(count)) => Ok(Hosts::Simulated(count)),
        (Some(hosts), None) => Ok(hosts),
        (None, None) => Ok(Hosts::Real),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_chosen_once_is_chosen_again() {
        let wishes = Wishes {
            http: Some("127.0.0.1:7001".parse().unwrap()),
            simulate: Some(2),
            public_address: Some("site.example".to_owned()),
            ..Wishes::default()
        };
        let first = Choices::make(None, wishes).unwrap();
        assert_eq!(first.hosts, Hosts::Simulated(2));
        let second = Choices::make(Some(first.clone()), Wishes::default()).unwrap();
        assert_eq!(second, first);
        let more = Wishes {
            simulate: Some(5),
            ..Wishes::default()
        };
        let third = Choices::make(Some(first.clone()), more).unwrap();
        assert_eq!((third.hosts, third.http), (Hosts::Simulated(5), first.http));
    }

    #[test]
    fn a_real_site_does_not_become_a_simulated_one() {
        let real = Choices::make(None, Wishes::default()).unwrap();
        let wishes = Wishes {
            simulate: Some(1),
            ..Wishes::default()
        };
        assert!(matches!(
            Choices::make(Some(real), wishes),
            Err(Error::OtherKind { .. })
        ));
    }
}
