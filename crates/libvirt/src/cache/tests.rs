use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;

use super::*;

/// A source of one blob that counts.
struct Source(AtomicUsize);

#[async_trait]
impl Blobs for Source {
    async fn fetch(&self, _: BlobPin, to: PathBuf, _: &Progress) -> Result<(), DriverError> {
        self.0.fetch_add(1, Ordering::SeqCst);
        fs::write(to, b"kernel")
            .map_err(|error| DriverError::transient("writing").with_source(error))
    }
}

fn pin() -> BlobPin {
    BlobPin {
        digest: Digest::of(b"kernel"),
        size: Size::bytes(6),
    }
}

fn open(folder: &Path, source: &Arc<Source>) -> Cache {
    Cache::open(folder.to_owned(), Size::bytes(6), source.clone()).unwrap()
}

#[tokio::test]
async fn an_image_is_fetched_once_and_again_where_it_was_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let source = Arc::new(Source(AtomicUsize::new(0)));
    let progress = Progress::new().0;
    let cache = open(folder.path(), &source);
    let path = cache.get(pin(), &progress).await.unwrap();
    cache.get(pin(), &progress).await.unwrap();
    assert_eq!(source.0.load(Ordering::SeqCst), 1);

    let cache = open(folder.path(), &source);
    cache.get(pin(), &progress).await.unwrap();
    assert_eq!(source.0.load(Ordering::SeqCst), 1);

    fs::write(&path, b"kerneL").unwrap();
    let cache = open(folder.path(), &source);
    cache.get(pin(), &progress).await.unwrap();
    assert_eq!(source.0.load(Ordering::SeqCst), 2);
    assert_eq!(fs::read(path).unwrap(), b"kernel");
}

#[tokio::test]
async fn room_is_made_of_what_nobody_uses_oldest_first() {
    let folder = tempfile::tempdir().unwrap();
    let cache = open(folder.path(), &Arc::new(Source(AtomicUsize::new(0))));
    let now = SystemTime::now();
    let file = |content: &[u8], days: u64| {
        let path = cache.path(Digest::of(content));
        fs::write(&path, content).unwrap();
        let then = now - Duration::from_secs(days * 24 * 3600);
        fs::File::open(&path).unwrap().set_modified(then).unwrap();
        path
    };
    let (used, old, second, third) = (
        file(b"used", 90),
        file(b"old", 31),
        file(b"second", 2),
        file(b"third.", 1),
    );
    cache
        .make_room(&HashSet::from([Digest::of(b"used")]), now)
        .unwrap();
    let there = [used, old, second, third].map(|path| path.exists());
    assert_eq!(there, [true, false, false, true]);

    // What has come in part is kept for an instance that waits, otherwise for a day.
    let partial = |content: &[u8], days: u64| {
        let path = file(content, days);
        let partial = path.with_extension("part.partial");
        fs::rename(path, &partial).unwrap();
        partial
    };
    let partials = [partial(b"used", 9), partial(b"old", 2), partial(b"new", 0)];
    cache
        .make_room(&HashSet::from([Digest::of(b"used")]), now)
        .unwrap();
    assert_eq!(partials.map(|path| path.exists()), [true, false, true]);
}
