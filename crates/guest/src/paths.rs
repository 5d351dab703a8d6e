//! What is at which path of the metadata service. Pure.
//!
//! ```text
//! /latest/meta-data/…  /latest/user-data  /latest/dynamic/instance-identity/document
//!                         Amazon EC2's paths, also under the dates that cloud-init asks for
//! /nocloud/meta-data  user-data  vendor-data  network-config
//!                         NoCloud's, as on the seed disk
//! /rhyzome/v1/key-values  lines of name=value, for guests that parse nothing more; without a token
//! ```

use rhyzome_model::instance::{InstancePlacement, Interface};
use serde_json::json;

use crate::documents;

/// Where a token is asked for with a PUT.
pub const TOKEN: &str = "/latest/api/token";

/// Given to who has no token: nothing in it is secret.
pub const KEY_VALUES: &str = "/rhyzome/v1/key-values";

/// The versions of EC2's service that cloud-init asks for, and the name of the newest.
const VERSIONS: [&str; 5] = [
    "2009-04-04",
    "2016-09-02",
    "2018-09-24",
    "2021-03-23",
    "latest",
];

enum Node {
    Text(String),
    /// Names with what they stand for; a name may be listed as something longer.
    Folder(Vec<(String, Option<String>, Node)>),
}

/// The document at a path, or a folder's list; none where nothing is.
pub fn at(told: &InstancePlacement, path: &str) -> Option<String> {
    let mut node = root(told);
    let mut rest = path.strip_prefix('/')?;
    while !rest.is_empty() {
        let (segment, below) = rest.split_once('/').unwrap_or((rest, ""));
        node = match node {
            Node::Folder(entries) => entries.into_iter().find(|entry| entry.0 == segment)?.2,
            Node::Text(_) => return None,
        };
        rest = below;
    }
    let asks_folder = path.ends_with('/');
    match node {
        Node::Text(text) => (!asks_folder).then_some(text),
        Node::Folder(entries) => Some(list(&entries)),
    }
}

/// A line for each entry, folders with a slash behind: how clients walk through them.
fn list(entries: &[(String, Option<String>, Node)]) -> String {
    let lines = entries
        .iter()
        .map(|(name, shown, node)| match (shown, node) {
            (Some(shown), _) => shown.clone(),
            (None, Node::Text(_)) => name.clone(),
            (None, Node::Folder(_)) => format!("{name}/"),
        });
    lines.collect::<Vec<_>>().join("\n")
}

fn text(name: &str, text: impl Into<String>) -> (String, Option<String>, Node) {
    (name.to_owned(), None, Node::Text(text.into()))
}

fn folder(
    name: &str,
    entries: Vec<(String, Option<String>, Node)>,
) -> (String, Option<String>, Node) {
    (name.to_owned(), None, Node::Folder(entries))
}

fn root(told: &InstancePlacement) -> Node {
    let mut entries: Vec<_> = VERSIONS
        .iter()
        .map(|version| folder(version, ec2(told)))
        .collect();
    entries.push(folder(
        "nocloud",
        vec![
            text("meta-data", documents::meta_data(told)),
            text("user-data", documents::user_data(told)),
            text("vendor-data", ""),
            text("network-config", documents::network_config(told)),
        ],
    ));
    let key_values = vec![text("key-values", documents::key_values(told))];
    entries.push(folder("rhyzome", vec![folder("v1", key_values)]));
    Node::Folder(entries)
}

/// A version of EC2's service ("Instance metadata categories" in its user guide), as far as it fits.
fn ec2(told: &InstancePlacement) -> Vec<(String, Option<String>, Node)> {
    let document = folder("instance-identity", vec![text("document", identity(told))]);
    let mut entries = vec![
        folder("dynamic", vec![document]),
        folder("meta-data", meta_data(told)),
    ];
    if let Some(user_data) = &told.guest.user_data {
        entries.push(text("user-data", user_data.as_str()));
    }
    entries
}

fn meta_data(told: &InstancePlacement) -> Vec<(String, Option<String>, Node)> {
    let mut entries = vec![
        text("ami-id", told.image.blob.digest.to_string()),
        text("hostname", told.guest.fqdn.clone()),
        text("instance-id", told.instance.to_string()),
        text("instance-type", format!("{}x{}", told.cpus, told.memory)),
        text("local-hostname", told.guest.fqdn.clone()),
    ];
    if let Some(first) = told.interfaces.first() {
        entries.push(text("local-ipv4", first.ipv4.to_string()));
        entries.push(text("ipv6", first.ipv6.to_string()));
        entries.push(text("mac", first.mac.to_string()));
    }
    let macs = told.interfaces.iter().enumerate();
    let macs = macs.map(|(index, it)| folder(&it.mac.to_string(), interface(told, index, it)));
    let interfaces = vec![folder("macs", macs.collect())];
    entries.push(folder("network", vec![folder("interfaces", interfaces)]));
    let keys = told.guest.ssh_keys.iter().enumerate().map(|(index, key)| {
        let shown = Some(format!("{index}={}", key_name(index, key)));
        let inside = Node::Folder(vec![text("openssh-key", key.as_str())]);
        (index.to_string(), shown, inside)
    });
    entries.push(folder("public-keys", keys.collect()));
    entries
}

fn interface(
    told: &InstancePlacement,
    index: usize,
    interface: &Interface,
) -> Vec<(String, Option<String>, Node)> {
    vec![
        text("device-number", index.to_string()),
        text("ipv6s", interface.ipv6.to_string()),
        text(
            "local-hostname",
            format!("{}.{}", told.name, interface.domain),
        ),
        text("local-ipv4s", interface.ipv4.to_string()),
        text("mac", interface.mac.to_string()),
        text("subnet-ipv4-cidr-block", interface.subnet4.to_string()),
        text("subnet-ipv6-cidr-blocks", interface.subnet6.to_string()),
    ]
}

/// The key's comment, as far as it fits a line of a list.
fn key_name(index: usize, key: &str) -> String {
    let comment = key.split_whitespace().nth(2).unwrap_or_default();
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    let name: String = comment.chars().filter(|c| fits(*c)).collect();
    if name.is_empty() {
        format!("key-{index}")
    } else {
        name
    }
}

fn identity(told: &InstancePlacement) -> String {
    let document = json!({
        "architecture": "x86_64",
        "imageId": told.image.blob.digest.to_string(),
        "instanceId": told.instance.to_string(),
        "instanceType": format!("{}x{}", told.cpus, told.memory),
        "privateIp": told.interfaces.first().map(|first| first.ipv4),
        "version": "2017-09-30",
    });
    format!("{document:#}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::web;
    use proptest::prelude::*;

    fn check(path: &str, expect: Option<&str>) {
        assert_eq!(at(&web(), path).as_deref(), expect, "{path}");
    }

    #[test]
    fn paths_that_cloud_init_asks_for_are_there() {
        let id = "00000000-0000-0000-0000-00000000abcd";
        check("/2021-03-23/meta-data/instance-id", Some(id));
        check("/2009-04-04/meta-data/instance-id", Some(id));
        check(
            "/latest/user-data",
            Some("#cloud-config\npackages: [nginx]\n"),
        );
        check("/latest/meta-data/public-keys/", Some("0=ann\n1=key-1"));
        check(
            "/latest/meta-data/public-keys/0/openssh-key",
            Some("ssh-ed25519 AAAA ann"),
        );
        check("/latest", Some("dynamic/\nmeta-data/\nuser-data"));
        check("/latest/", Some("dynamic/\nmeta-data/\nuser-data"));
        check("/nocloud/vendor-data", Some(""));
        let macs = "/latest/meta-data/network/interfaces/macs/";
        check(macs, Some("52:54:00:00:00:01/\n52:54:00:00:00:02/"));
        check(
            &format!("{macs}52:54:00:00:00:02/local-ipv4s"),
            Some("10.2.0.2"),
        );
    }

    #[test]
    fn what_is_not_there_is_not_there() {
        for path in [
            "",
            "latest",
            "//",
            "/latest//meta-data",
            "/latest/meta-data/instance-id/",
            "/1999-01-01/",
            "/latest/meta-data/../user-data",
            "/latest/meta-data/instance-id/x",
            "/latest/api/token",
            "/latest/meta-data/public-keys/0=ann/",
        ] {
            check(path, None);
        }
        let mut without = web();
        without.guest.user_data = None;
        assert_eq!(at(&without, "/latest/user-data"), None);
        assert_eq!(at(&without, "/nocloud/user-data").as_deref(), Some(""));
    }

    /// Walks through all folders, as cloud-init does.
    fn walk(told: &InstancePlacement, folder: &str, seen: &mut usize) {
        let listed = at(told, folder).unwrap_or_else(|| panic!("{folder} is listed"));
        for line in listed.lines() {
            *seen += 1;
            let name = line.split('=').next().unwrap_or(line);
            match line.contains('=') || line.ends_with('/') {
                true => walk(
                    told,
                    &format!("{folder}{}/", name.trim_end_matches('/')),
                    seen,
                ),
                false => assert!(
                    at(told, &format!("{folder}{name}")).is_some(),
                    "{folder}{name}"
                ),
            }
        }
    }

    #[test]
    fn all_that_is_listed_can_be_read() {
        let mut seen = 0;
        walk(&web(), "/", &mut seen);
        assert!(seen > 100, "{seen}");
    }

    proptest! {
        #[test]
        fn no_path_breaks_it(path in "(/(latest|meta-data|nocloud|[a-z0-9.%/-]{0,8}|\\.\\.)){0,6}/?") {
            let _ = at(&web(), &path);
        }

        #[test]
        fn any_text_is_a_path_to_nothing_or_to_something(path in ".{0,60}") {
            let _ = at(&web(), &path);
        }
    }
}
