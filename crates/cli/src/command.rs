//! The commands, and where each goes.

use clap::Subcommand;

use crate::failure::Failure;
use crate::session::Cx;
use crate::{
    audit, complete, component, context, events, forward, http, image, instance, job, login, man,
    network, openwrt, peer, project, quota, site, ssh, ssh_key, token, user,
};

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start a whole site on this machine: core, hypervisor and router.
    Up(site::up::Up),
    /// Stop what a site runs on this machine: instances, networks, tunnels and programs.
    Down(site::down::Down),
    /// Look at this machine: what a site needs, what is there, and what to do.
    Doctor(site::doctor::Doctor),
    /// Run the simulated hosts of a site.
    #[command(hide = true)]
    Simulate(site::simulate::Simulate),
    /// The site: what it is, and what is left alone on its hosts after a restore.
    #[command(subcommand)]
    Site(site::restored::Command),
    /// Projects: each sees only what is its own.
    #[command(subcommand)]
    Project(project::Command),
    /// Quotas: how much each project may have.
    #[command(subcommand)]
    Quota(quota::Command),
    /// Components: the programs that make instances and networks on hosts.
    #[command(subcommand)]
    Component(component::Command),
    /// Networks: each isolated, with a WireGuard endpoint of its own.
    #[command(subcommand)]
    Network(network::Command),
    /// Peers: devices that reach networks by WireGuard.
    #[command(subcommand)]
    Peer(peer::Command),
    /// Images: kernels and unikernels to start instances from.
    #[command(subcommand)]
    Image(image::Command),
    /// Instances: unikernels and virtual machines.
    #[command(subcommand)]
    Instance(instance::Command),
    /// OpenWrt: routers made of its images.
    #[command(subcommand)]
    Openwrt(openwrt::Command),
    /// SSH public keys.
    #[command(subcommand)]
    SshKey(ssh_key::Command),
    /// API tokens: what programs and people show to the core.
    #[command(subcommand)]
    Token(token::Command),
    /// Log in as a person, with the site's OpenID Connect issuer.
    Login(login::Login),
    /// Log out.
    Logout(login::Logout),
    /// Say who the core takes you for, and what you may.
    Whoami(login::Who),
    /// People of the site, for those who run it.
    #[command(subcommand)]
    User(user::Command),
    /// Jobs: what the core told its components to do.
    #[command(subcommand)]
    Job(job::Command),
    /// Show what happened, and what happens.
    Events(events::Events),
    /// The audit log: who did what, and what was refused to whom.
    Audit(audit::Command),
    /// Reach ports of an instance at ports of this machine, through WireGuard in this process.
    Forward(forward::Forward),
    /// Get one page from an instance, through WireGuard in this process.
    Http(http::Http),
    /// Log in to an instance by SSH, through WireGuard in this process.
    Ssh(ssh::Ssh),
    /// Print a section of SSH's configuration that leads to an instance: for scp, rsync, Ansible.
    SshConfig(ssh::SshConfig),
    /// Contexts: which core to speak with, as whom.
    #[command(subcommand)]
    Context(context::Command),
    /// Print what makes a shell complete commands and names.
    Completion(complete::Completion),
    /// Write the man pages of all commands into a folder.
    #[command(hide = true)]
    Man(man::Man),
}

impl Command {
    /// Whether the command knows itself what to do when it is interrupted, and takes its time for it.
    pub fn minds_interruptions(&self) -> bool {
        match self {
            Self::Up(up) => !up.detach,
            Self::Openwrt(_) => true,
            _ => false,
        }
    }

    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        if !matches!(self, Self::Login(_) | Self::Logout(_) | Self::Context(_)) {
            login::freshen(cx).await?;
        }
        match self {
            Self::Up(up) => up.run(cx).await,
            Self::Down(down) => down.run(cx).await,
            Self::Doctor(doctor) => doctor.run(cx),
            Self::Simulate(simulate) => simulate.run().await,
            Self::Site(command) => command.run(cx).await,
            Self::Project(command) => command.run(cx).await,
            Self::Quota(command) => command.run(cx).await,
            Self::Component(command) => command.run(cx).await,
            Self::Network(command) => command.run(cx).await,
            Self::Peer(command) => command.run(cx).await,
            Self::Image(command) => command.run(cx).await,
            Self::Instance(command) => command.run(cx).await,
            Self::Openwrt(command) => command.run(cx).await,
            Self::SshKey(command) => command.run(cx).await,
            Self::Token(command) => command.run(cx).await,
            Self::Login(login) => login.run(cx).await,
            Self::Logout(logout) => logout.run(cx).await,
            Self::Whoami(who) => who.run(cx).await,
            Self::User(command) => command.run(cx).await,
            Self::Job(command) => command.run(cx).await,
            Self::Events(events) => events.run(cx).await,
            Self::Audit(command) => command.run(cx).await,
            Self::Forward(forward) => forward.run(cx).await,
            Self::Http(http) => http.run(cx).await,
            Self::Ssh(ssh) => ssh.run(cx).await,
            Self::SshConfig(config) => config.run(cx).await,
            Self::Context(command) => command.run(cx).await,
            Self::Completion(completion) => completion.run(),
            Self::Man(man) => man.run(),
        }
    }
}
