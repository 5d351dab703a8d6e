//! Images go to many at once, none of which makes the core keep more of them in memory than a piece.

use reqwest::Method;
use rhyzome_component::join::identity_folder;
use rhyzome_component::link::Link;
use rhyzome_model::Digest;
use rhyzome_model::component::ComponentKind;
use rhyzome_pki::IdentityFolder;
use rhyzome_proto::pb::FetchBlobRequest;
use rhyzome_proto::pb::session_client::SessionClient;
use rhyzome_testkit::Simulated;
use serde_json::json;
use sha2::Digest as _;

use crate::DEFAULT;
use crate::binary::Running;
use crate::images::{kernel, upload};

const SIZE: usize = 48 << 20;
/// By each of the two ways.
const READERS: usize = 24;

/// The most memory that a process has had, in bytes (proc(5), VmHWM).
fn most_memory(pid: u32) -> usize {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.trim().strip_suffix(" kB"));
    number
        .and_then(|text| text.parse::<usize>().ok())
        .expect("a number")
        << 10
}

#[tokio::test(flavor = "multi_thread")]
async fn many_are_served_at_once_and_no_image_is_read_into_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let core = Running::start_logging(&folder.path().join("core"), "info").await;
    let admin = &core.admin;
    let mut bytes = kernel();
    bytes.extend((0..SIZE - bytes.len()).map(|index| (index % 249) as u8));
    let digest = upload(admin, &bytes).await;
    let state = folder.path().join("host");
    let (kind, url) = (ComponentKind::Libvirt, core.grpc_url.as_str());
    let _host = Simulated::join(admin, url, kind, "host", state.clone()).await;
    let image = json!({"name": "big", "spec": {"digest": digest}});
    admin
        .post(&format!("{DEFAULT}/images"))
        .json(&image)
        .await
        .status(201);
    let instance = json!({"name": "one", "spec": {"image": "big"}});
    let path = format!("{DEFAULT}/instances?wait=30s");
    admin.post(&path).json(&instance).await.good();
    let before = most_memory(core.pid());

    // Each has read a piece, and goes on later.
    let path = format!("{DEFAULT}/blobs/{digest}");
    let mut over_http = Vec::new();
    for _ in 0..READERS {
        let mut reader = admin
            .request(Method::GET, &path)
            .send()
            .await
            .expect("an answer");
        assert_eq!(reader.content_length(), Some(SIZE as u64));
        let first = reader.chunk().await.expect("a piece").expect("a piece");
        over_http.push((reader, first));
    }
    let mut over_grpc = Vec::new();
    for _ in 0..READERS {
        let link = Link::open(IdentityFolder::new(identity_folder(&state)), None);
        let channel = link
            .expect("its identity")
            .connect()
            .await
            .expect("a connection");
        let request = FetchBlobRequest {
            digest: digest.to_string(),
            offset: 0,
        };
        let stream = SessionClient::new(channel).fetch_blob(request).await;
        let mut stream = stream.expect("a stream").into_inner();
        let first = stream.message().await.expect("a piece").expect("a piece");
        assert_eq!(first.size, SIZE as u64, "the first one says the size");
        over_grpc.push((stream, first));
    }
    let (mut reader, first) = over_http.pop().expect("a reader");
    let mut hash = sha2::Sha256::new_with_prefix(&first);
    while let Some(piece) = reader.chunk().await.expect("a piece") {
        hash.update(&piece);
    }
    assert_eq!(Digest::from_bytes(hash.finalize().into()), digest);
    let (mut stream, first) = over_grpc.pop().expect("a reader");
    let mut hash = sha2::Sha256::new_with_prefix(&first.data);
    while let Some(piece) = stream.message().await.expect("a piece") {
        assert_eq!(piece.size, 0, "it is said once");
        hash.update(&piece.data);
    }
    assert_eq!(Digest::from_bytes(hash.finalize().into()), digest);
    // Of all of them, what was ever in memory at the same time.
    let (more, all) = (most_memory(core.pid()) - before, 2 * READERS * SIZE);
    assert!(more < all / 16, "{} MiB for {} MiB", more >> 20, all >> 20);
}
