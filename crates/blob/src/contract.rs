//! What every location has to do, tried on a folder and on a real S3 server.

use std::sync::Arc;

use bytes::Bytes;
use rhyzome_model::Digest;
use rhyzome_model::image::recognise::ReadAt as _;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tempfile::TempDir;
use tokio::io::AsyncReadExt as _;
use tokio::runtime::Handle;

use crate::{Blocks, Credentials, Error, Folder, Key, Location, S3, S3Options, Staged, verify};

/// A location, and what goes when it goes.
struct Place {
    location: Arc<dyn Location>,
    folder: TempDir,
}

impl Place {
    async fn folder() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = Arc::new(Folder::new(folder.path().join("blobs")));
        location.prepare().await.unwrap();
        Self { location, folder }
    }

    async fn s3() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("images")).unwrap();
        let endpoint = serve(folder.path()).await;
        let location = Arc::new(S3::new(options(&endpoint, "right")).unwrap());
        location.prepare().await.unwrap();
        Self { location, folder }
    }

    async fn both() -> [Self; 2] {
        [Self::folder().await, Self::s3().await]
    }

    async fn begin(&self, bytes: &[u8]) -> Staged {
        let key = Key::new(Digest::of(bytes), self.files().len());
        let mut staged = Staged::new(key, bytes.len() as u64);
        self.location.open(&mut staged).await.unwrap();
        staged
    }

    /// As much as a piece has to have, and a little.
    fn bytes(&self) -> Vec<u8> {
        let piece = self.location.least_piece(1).max(1000);
        (0..piece + 7).map(|index| (index % 251) as u8).collect()
    }

    async fn write(&self, staged: &mut Staged, bytes: &[u8], pieces: usize) {
        let piece = self.location.least_piece(1).max(1000);
        let rest = &bytes[usize::try_from(staged.offset).unwrap()..];
        for piece in rest.chunks(piece).take(pieces) {
            let piece = Bytes::copy_from_slice(piece);
            self.location.write(staged, piece).await.unwrap();
        }
    }

    async fn put(&self, bytes: &[u8]) -> Key {
        let mut staged = self.begin(bytes).await;
        self.write(&mut staged, bytes, usize::MAX).await;
        self.location.finish(&staged).await.unwrap();
        staged.key
    }

    async fn get(&self, key: &Key, range: std::ops::Range<u64>) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut reader = self.location.read(key, range).await.unwrap();
        reader.read_to_end(&mut bytes).await.unwrap();
        bytes
    }

    /// Every file below, but for what the S3 server notes of its own.
    fn files(&self) -> Vec<std::path::PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let entry = entry.unwrap();
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else if entry.metadata().unwrap().len() > 500 {
                    found.push(entry.path());
                }
            }
        }
        found
    }
}

fn options(endpoint: &str, secret: &str) -> S3Options {
    S3Options {
        endpoint: Some(endpoint.to_owned()),
        bucket: "images".to_owned(),
        prefix: "site/blobs".to_owned(),
        region: "us-east-1".to_owned(),
        authority: None,
        credentials: Credentials {
            access_key_id: "core".to_owned(),
            secret_access_key: secret.to_owned(),
        },
    }
}

/// An S3 server on loopback that lives as long as the test.
async fn serve(folder: &std::path::Path) -> String {
    let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(folder).unwrap());
    service.set_auth(SimpleAuth::from_single("core", "right"));
    let service = service.build();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let service = service.clone();
            tokio::spawn(async move {
                let http = hyper_util::server::conn::auto::Builder::new(
                    hyper_util::rt::TokioExecutor::new(),
                );
                let socket = hyper_util::rt::TokioIo::new(socket);
                let _ = http.serve_connection(socket, service).await;
            });
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn bytes_are_read_as_they_were_written_whole_and_in_parts() {
    for place in Place::both().await {
        let bytes = place.bytes();
        let key = place.put(&bytes).await;
        let size = bytes.len() as u64;
        assert_eq!(place.get(&key, 0..size).await, bytes, "{place:?}");
        assert_eq!(place.get(&key, 500..900).await, bytes[500..900]);
        assert_eq!(
            place.get(&key, size - 3..size).await,
            bytes[bytes.len() - 3..]
        );
        assert_eq!(place.get(&key, size..size).await, b"");
        assert_eq!(place.location.size(&key).await.unwrap(), Some(size));
    }
}

#[tokio::test]
async fn an_upload_goes_on_in_another_process_from_what_was_written_down() {
    for place in Place::both().await {
        let bytes = place.bytes();
        let mut staged = place.begin(&bytes).await;
        place.write(&mut staged, &bytes, 1).await;
        let written = staged.clone();
        // A piece that came, of which nobody could write down that it did.
        place.write(&mut staged, &bytes, 1).await;
        let mut staged = written;
        place.location.open(&mut staged).await.unwrap();
        place.write(&mut staged, &bytes, usize::MAX).await;
        assert!(staged.is_whole());
        place.location.finish(&staged).await.unwrap();
        let again = place.location.finish(&staged).await;
        again.expect("finishing may be repeated");
        let size = bytes.len() as u64;
        assert_eq!(place.get(&staged.key, 0..size).await, bytes, "{place:?}");
    }
}

#[tokio::test]
async fn nothing_is_left_of_what_is_discarded_at_any_step() {
    for place in Place::both().await {
        let bytes = place.bytes();
        for step in 0..5 {
            let mut staged = Staged::new(Key::new(Digest::of(&bytes), step), bytes.len() as u64);
            if step > 0 {
                place.location.open(&mut staged).await.unwrap();
            }
            place
                .write(&mut staged, &bytes, [0, 0, 1, 9, 9][step])
                .await;
            if step == 4 {
                place.location.finish(&staged).await.unwrap();
                assert!(!place.files().is_empty());
            }
            place.location.discard(&staged).await.unwrap();
            let again = place.location.discard(&staged).await;
            again.expect("discarding may be repeated");
            assert_eq!(place.files(), Vec::<std::path::PathBuf>::new(), "{step}");
        }
    }
}

#[tokio::test]
async fn what_is_not_there_is_said_to_be_missing() {
    for place in Place::both().await {
        let key = Key::new(Digest::of(b"absent"), 1);
        assert_eq!(place.location.size(&key).await.unwrap(), None);
        let error = place.location.read(&key, 0..1).await.err().unwrap();
        assert!(matches!(error, Error::Missing { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn damage_is_found_by_reading() {
    for place in Place::both().await {
        let bytes = place.bytes();
        let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
        let key = place.put(&bytes).await;
        let look = || verify(&*place.location, &key, (digest, size), |_| ());
        assert_eq!(look().await.unwrap(), None, "{place:?}");
        let file = place
            .files()
            .into_iter()
            .find(|path| path.to_string_lossy().ends_with(key.as_str()));
        let file = file.expect("the file of these bytes");
        let mut damaged = bytes.clone();
        damaged[1000] ^= 1;
        std::fs::write(&file, &damaged).unwrap();
        let found = look().await.unwrap().expect("it is damaged");
        assert!(found.contains(&Digest::of(&damaged).to_string()), "{found}");
        std::fs::write(&file, &damaged[1..]).unwrap();
        let found = look().await.unwrap().expect("it is damaged");
        assert!(found.contains("bytes where"), "{found}");
        std::fs::remove_file(&file).unwrap();
        let found = look().await.unwrap().expect("it is gone");
        assert!(found.contains("not there"), "{found}");
    }
}

#[tokio::test]
async fn bytes_are_read_here_and_there() {
    for place in Place::both().await {
        let bytes: Vec<u8> = (0..600_000u32).map(|index| (index % 241) as u8).collect();
        let size = bytes.len() as u64;
        let key = place.put(&bytes).await;
        let blocks = Blocks::new(Arc::clone(&place.location), key, size, Handle::current());
        let read = move |offset: u64, count: usize| {
            let mut buffer = vec![0; count];
            let filled = blocks.read_at(offset, &mut buffer).unwrap();
            buffer[..filled].to_vec()
        };
        let read = tokio::task::spawn_blocking(move || {
            [
                (0, 10),
                (262_140, 10),
                (599_995, 10),
                (600_000, 1),
                (5, 600_000),
            ]
            .map(|(offset, count)| read(offset, count))
        });
        let read = read.await.unwrap();
        let expect = [
            &bytes[..10],
            &bytes[262_140..262_150],
            &bytes[599_995..],
            &[],
            &bytes[5..],
        ];
        assert!(
            read.iter().zip(expect).all(|(got, expect)| got == expect),
            "{place:?}"
        );
    }
}

#[tokio::test]
async fn a_wrong_secret_is_refused_and_not_shown() {
    let place = Place::s3().await;
    let endpoint = serve(place.folder.path()).await;
    let wrong = S3::new(options(&endpoint, "wrong-secret")).unwrap();
    let error = wrong
        .prepare()
        .await
        .expect_err("signed with another secret");
    let shown = format!(
        "{error:?} {wrong:?} {:?}",
        options(&endpoint, "wrong-secret")
    );
    assert!(shown.contains("s3://images/site/blobs"), "{shown}");
    assert!(
        error.to_string().contains("refuses the access key"),
        "{error}"
    );
    assert!(!error.is_transient());
    assert!(!shown.contains("wrong-secret"), "{shown}");
}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.location.name())
    }
}
