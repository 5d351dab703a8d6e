//! Unikernels through the API: what their images insist on, and the network settings they are told.

use serde_json::{Value, json};

use crate::images::upload;
use crate::{DEFAULT, Site};

const HVT: u32 = 1;
const VIRTIO: u32 = 3;
const BLOCK: u32 = 1;
const NETWORK: u32 = 2;

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn note(kind: u32, description: &[u8]) -> Vec<u8> {
    let mut out = words(&[6, description.len() as u32, kind]);
    out.extend(b"Solo5\0\0\0");
    out.extend(description);
    out
}

/// An ELF of Solo5 with its notes, a multiboot header, and nothing to run.
fn solo5(target: u32, devices: &[(&str, u32)]) -> Vec<u8> {
    let mut manifest = words(&[0, 1, devices.len() as u32 + 1]);
    for (name, kind) in [("", 1 << 30)].iter().chain(devices) {
        let mut entry = vec![0; 104];
        entry[..name.len()].copy_from_slice(name.as_bytes());
        entry[68..72].copy_from_slice(&words(&[*kind]));
        manifest.extend(entry);
    }
    let mut notes = note(0x3149_4241, &words(&[target, 1, 0, 0]));
    notes.extend(note(0x3154_464d, &manifest));
    let flags = 0x1_0003_u32;
    let mut header = words(&[0x1bad_b002, flags, 0u32.wrapping_sub(0x1bad_b002 + flags)]);
    header.resize(48, 0);

    let mut out = b"\x7fELF\x02\x01\x01".to_vec();
    out.resize(16, 0);
    out.extend([2, 0, 62, 0]);
    out.extend(words(&[1, 0x10_0000, 0, 64, 0, 0, 0, 0]));
    for half in [64_u16, 56, 2, 64, 0, 0] {
        out.extend(half.to_le_bytes());
    }
    let start = 64 + 2 * 56;
    for (kind, at, length) in [(1, start, 48), (4, start + 48, notes.len() as u32)] {
        out.extend(words(&[kind, 7, at, 0, 0x10_0000, 0, 0x10_0000, 0]));
        out.extend(words(&[length, 0, length, 0, 4, 0]));
    }
    out.extend(header);
    out.extend(notes);
    out
}

async fn import(site: &Site, name: &str, bytes: &[u8]) -> rhyzome_testkit::Answer {
    let admin = site.core.admin();
    let digest = upload(&admin, bytes).await;
    let body = json!({"name": name, "spec": {"digest": digest}});
    admin.post(&format!("{DEFAULT}/images")).json(&body).await
}

async fn create(site: &Site, name: &str, spec: Value) -> rhyzome_testkit::Answer {
    let path = format!("{DEFAULT}/instances?wait=30s");
    let body = json!({"name": name, "spec": spec});
    site.core.admin().post(&path).json(&body).await
}

#[tokio::test]
async fn a_solo5_instance_has_the_devices_of_its_manifest_and_is_told_its_address() {
    let site = Site::start().await;
    site.network("lan").await;
    site.network("back").await;
    let mirage = solo5(VIRTIO, &[("service", NETWORK), ("private", NETWORK)]);
    let image = import(&site, "mirage", &mirage).await.good();
    assert_eq!(
        image["format"],
        json!({"family": "solo5", "networks": 2, "blocks": 0, "devices": [
            {"name": "service", "kind": "network"}, {"name": "private", "kind": "network"},
        ]})
    );

    let spec = json!({"image": "mirage", "networks": ["lan"]});
    let refused = create(&site, "web", spec).await.problem(422, "invalid");
    assert_eq!(refused["field"], "spec.networks", "{refused}");
    let why = "the image's manifest names 2 networks (service, private), and 1 is given";
    assert!(refused.to_string().contains(why), "{refused}");

    let spec = json!({"image": "mirage", "networks": ["lan", "back"]});
    let made = create(&site, "web", spec).await.good();
    let address = |index: usize| {
        made["status"]["interfaces"][index]["ipv4"]
            .as_str()
            .unwrap_or_default()
    };
    let line = made["status"]["command_line"].as_str().unwrap_or_default();
    assert!(
        line.starts_with(&format!("--ipv4={}/24 --ipv4-gateway=", address(0))),
        "{line}"
    );
    assert!(
        line.contains(&format!(" --private-ipv4={}/24 ", address(1))),
        "{line}"
    );

    let spec = json!({"image": "mirage", "networks": ["lan", "back"], "command_line": "{{network_settings}} --port=80"});
    let made = create(&site, "more", spec).await.good();
    let line = made["status"]["command_line"].as_str().unwrap_or_default();
    assert!(
        line.starts_with("--ipv4=") && line.ends_with(" --port=80"),
        "{line}"
    );
    let spec = json!({"image": "mirage", "networks": ["lan", "back"], "command_line": ""});
    let made = create(&site, "dhcp", spec).await.good();
    assert_eq!(made["status"]["command_line"], "");
}

#[tokio::test]
async fn what_could_not_boot_here_is_refused_with_what_to_do() {
    let site = Site::start().await;
    let refused = import(&site, "hvt", &solo5(HVT, &[])).await;
    let refused = refused.problem(422, "invalid");
    assert!(
        refused.to_string().contains("mirage configure -t virtio"),
        "{refused}"
    );

    import(&site, "store", &solo5(VIRTIO, &[("store", BLOCK)]))
        .await
        .good();
    let refused = create(&site, "web", json!({"image": "store"})).await;
    let refused = refused.problem(422, "invalid");
    assert!(refused.to_string().contains("1 disk (store)"), "{refused}");
    let spec = json!({"image": "store", "disk": "64MiB"});
    let made = create(&site, "web", spec).await.good();
    assert_eq!(made["status"]["disk"]["size"], "64MiB", "{made}");

    site.image("linux").await;
    let spec = json!({"image": "linux", "command_line": "{{ip.1}}"});
    let refused = create(&site, "other", spec).await.problem(422, "invalid");
    assert!(
        refused.to_string().contains("the instance has no network"),
        "{refused}"
    );
}
