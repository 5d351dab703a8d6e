//! What of a host stands in the way of networks, for people to read (`rhyzome doctor`).

use crate::nft;
use crate::sysctl;

/// What the host of the calling thread's network namespace has that may break networks: a sentence
/// each, with what to do. Looks only.
pub async fn host_warnings() -> Vec<String> {
    let mut warnings = Vec::new();
    for (name, tool) in [
        ("iptables", "IPv4"),
        ("ip6tables", "IPv6"),
        ("arptables", "ARP"),
    ] {
        let parameter = format!("net/bridge/bridge-nf-call-{name}");
        if matches!(sysctl::read(&parameter), Ok(Some(value)) if value == "1") {
            warnings.push(format!(
                "net.bridge.bridge-nf-call-{name} is 1: the host's firewall also filters {tool} between the \
                 ports of a bridge. If it drops by default (Docker's does), instances cannot reach each \
                 other: set it to 0, or accept what is forwarded from and to the bridges rz*. Other bridges \
                 carry no IPv4 while a network has egress and net.ipv4.ip_forward was 0 before."
            ));
        }
    }
    match nft::tables().await {
        Ok(tables) => warnings.extend(dropping(&tables).await),
        Err(e) => warnings.push(format!("nftables cannot be used: {e}")),
    }
    warnings
}

/// Firewalls of others that drop what is forwarded unless a rule of theirs accepts it.
async fn dropping(tables: &[(String, String)]) -> Vec<String> {
    let mut warnings = Vec::new();
    for (family, table) in tables {
        let ours = table.starts_with("rhyzome") || family == "netdev";
        if ours || !matches!(family.as_str(), "ip" | "ip6" | "inet") {
            continue;
        }
        let Ok(Some(listing)) = nft::list(family, table).await else {
            continue;
        };
        let drops = listing
            .objects("chain")
            .any(|chain| chain["hook"] == "forward" && chain["policy"] == "drop");
        if drops {
            warnings.push(format!(
                "the firewall table {family} {table} drops what is forwarded by default: networks with \
                 egress need a rule there that accepts what comes from and goes to the links rzu*."
            ));
        }
    }
    warnings
}
