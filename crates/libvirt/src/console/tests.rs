use std::io::Write as _;
use std::time::Instant;

use proptest::prelude::*;

use super::*;

fn pipe_of(folder: &Path) -> File {
    prepare(folder).unwrap();
    File::options()
        .read(true)
        .write(true)
        .open(pipes(folder).with_extension("out"))
        .unwrap()
}

fn unwatched() -> Watch {
    Watch {
        since: None,
        found: Box::new(|_| {}),
    }
}

#[tokio::test]
async fn what_a_guest_wrote_is_kept_over_a_restart_of_the_recorder() {
    let folder = tempfile::tempdir().unwrap();
    let mut guest = pipe_of(folder.path());
    let recorder = Recorder::start(folder.path(), unwatched()).unwrap();
    recorder.starts(Timestamp::from_millis(0), false).await;
    guest.write_all(b"one\n").unwrap();
    assert_eq!(last_boot(&recorder.tail(1000).await.unwrap()), b"one\n");
    drop(recorder);
    guest.write_all(b"two\n").unwrap();
    let recorder = Recorder::start(folder.path(), unwatched()).unwrap();
    assert_eq!(
        last_boot(&recorder.tail(1000).await.unwrap()),
        b"one\ntwo\n"
    );
}

#[tokio::test]
async fn a_guest_that_floods_its_console_takes_a_mebibyte_at_most() {
    let folder = tempfile::tempdir().unwrap();
    let mut guest = pipe_of(folder.path());
    let recorder = Recorder::start(folder.path(), unwatched()).unwrap();
    let flood = tokio::task::spawn_blocking(move || {
        for number in 0..40_000_u32 {
            guest
                .write_all(format!("{number:063}\n").as_bytes())
                .unwrap();
        }
        guest
    });
    let _guest = flood.await.unwrap();
    let limit = Instant::now() + Duration::from_secs(20);
    while last_lines(&lines(&recorder.tail(64).await.unwrap())) != [format!("{:063}", 39_999)] {
        assert!(
            Instant::now() < limit,
            "the flood was not recorded to its end"
        );
    }
    let log = folder.path().join("console.log");
    let sizes = length(&log) + length(&log.with_extension("log.old"));
    assert!((448 << 10..=1 << 20).contains(&sizes), "{sizes}");
    let tail = recorder.tail(1 << 20).await.unwrap();
    assert!(tail.len() >= 448 << 10, "{}", tail.len());
}

#[test]
fn the_last_words_are_those_of_the_last_boot_without_escapes() {
    let mut console = b"old\n".to_vec();
    console.extend(text::boot_line(Timestamp::from_millis(0)).as_bytes());
    console.extend(b"\x1bc\x1b[?7l\x1b[2Jfirst\r\n\n  \nsecond \x1b[1mbold\x1b[0m\x07\n");
    assert_eq!(
        last_lines(&lines(last_boot(&console))),
        ["first", "second bold"]
    );
    assert!(
        lines(last_boot(
            text::boot_line(Timestamp::from_millis(0)).as_bytes()
        ))
        .is_empty()
    );
    let long = "x".repeat(1000);
    assert_eq!(last_lines(&lines(long.as_bytes()))[0].chars().count(), 201);
}

proptest! {
    #[test]
    fn any_bytes_have_last_lines_without_control_characters(bytes in any::<Vec<u8>>()) {
        for line in last_lines(&lines(last_boot(&bytes))) {
            prop_assert!(!line.chars().any(|c| c.is_control() && c != '\t'));
        }
    }
}

const KEYS: &[u8] = b"-----BEGIN SSH HOST KEY KEYS-----\nssh-ed25519 AAAAC3One a\n\
-----END SSH HOST KEY KEYS-----\n";

fn watched(since: Option<Timestamp>) -> (Watch, std::sync::mpsc::Receiver<SshIdentity>) {
    let (told, heard) = std::sync::mpsc::channel();
    let found = Box::new(move |identity| told.send(identity).unwrap());
    (Watch { since, found }, heard)
}

#[tokio::test]
async fn the_first_host_keys_of_a_boot_are_believed_and_none_after_them() {
    let folder = tempfile::tempdir().unwrap();
    let mut guest = pipe_of(folder.path());
    let (watch, heard) = watched(None);
    let recorder = Recorder::start(folder.path(), watch).unwrap();
    guest.write_all(KEYS).unwrap();
    recorder.starts(crate::instances::now(), true).await;
    guest.write_all(KEYS).unwrap();
    let other = String::from_utf8_lossy(KEYS).replace("One", "Two");
    guest.write_all(other.as_bytes()).unwrap();
    recorder.tail(1).await.unwrap();
    let found: Vec<_> = heard.try_iter().flat_map(|found| found.host_keys).collect();
    assert_eq!(found, ["ssh-ed25519 AAAAC3One"]);
}

#[tokio::test]
async fn host_keys_that_came_while_the_component_was_away_are_found_and_those_of_an_old_guest_are_not()
 {
    for (age, expected) in [(0, 1), (3_600_000, 0)] {
        let folder = tempfile::tempdir().unwrap();
        let mut guest = pipe_of(folder.path());
        let recorder = Recorder::start(folder.path(), unwatched()).unwrap();
        let started = crate::instances::now().plus_millis(-age);
        recorder.starts(started, false).await;
        guest.write_all(&KEYS[..50]).unwrap();
        recorder.tail(1).await.unwrap();
        drop(recorder);
        guest.write_all(&KEYS[50..]).unwrap();
        let (watch, heard) = watched(Some(started));
        let recorder = Recorder::start(folder.path(), watch).unwrap();
        recorder.tail(1).await.unwrap();
        assert_eq!(heard.try_iter().count(), expected, "{age}");
    }
}

#[tokio::test]
async fn everybody_who_is_attached_reads_all_of_it_from_where_they_want() {
    let folder = tempfile::tempdir().unwrap();
    let mut guest = pipe_of(folder.path());
    let recorder = Recorder::start(folder.path(), unwatched()).unwrap();
    guest.write_all(b"before ").unwrap();
    let mut last = recorder.attach(ConsoleFrom::Last(3)).await.unwrap();
    let mut behind = recorder.attach(ConsoleFrom::Position(6)).await.unwrap();
    guest.write_all(b"after").unwrap();
    for (reader, position, expected) in [
        (&mut last.output, 4, "re after"),
        (&mut behind.output, 6, " after"),
    ] {
        let (mut read, mut begin) = (Vec::new(), None);
        while read.len() < expected.len() {
            let piece = reader.recv().await.unwrap();
            begin = begin.or(Some(piece.position));
            read.extend(piece.bytes);
        }
        assert_eq!(
            (begin, read.as_slice()),
            (Some(position), expected.as_bytes())
        );
    }
}

#[tokio::test]
async fn a_reader_that_does_not_read_loses_pieces_and_holds_up_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let mut guest = pipe_of(folder.path());
    let recorder = Recorder::start(folder.path(), unwatched()).unwrap();
    let mut slow = recorder.attach(ConsoleFrom::Last(0)).await.unwrap();
    for _ in 0..200 {
        guest.write_all(b"0123456789").unwrap();
        recorder.tail(1).await.unwrap();
    }
    let mut read = 0;
    while let Ok(piece) = slow.output.try_recv() {
        read += piece.bytes.len();
    }
    assert!(read < 2000, "{read}");
    guest.write_all(b"!").unwrap();
    let piece = slow.output.recv().await.unwrap();
    assert_eq!(
        (piece.position, piece.bytes.as_slice()),
        (2000, b"!".as_slice())
    );
}

#[tokio::test]
async fn positions_go_on_over_a_restart_and_when_old_bytes_go() {
    let folder = tempfile::tempdir().unwrap();
    let mut ring = Ring::open(folder.path().join("console.log"));
    for _ in 0..40 {
        ring.append(&[b'x'; 64 << 10]).unwrap();
    }
    let ring = Ring::open(folder.path().join("console.log"));
    assert_eq!(ring.end(), 40 * (64 << 10));
}

#[tokio::test]
async fn what_is_typed_reaches_the_guest_that_runs_and_no_later_one() {
    let folder = tempfile::tempdir().unwrap();
    let _guest = pipe_of(folder.path());
    let recorder = Recorder::start(folder.path(), unwatched()).unwrap();
    let console = recorder.attach(ConsoleFrom::Last(0)).await.unwrap();
    console.input.send(b"to nobody".to_vec()).await.unwrap();
    // Taken out of the queue only once it went nowhere.
    console.input.send(Vec::new()).await.unwrap();
    let limit = Instant::now() + Duration::from_secs(10);
    while console.input.capacity() < console.input.max_capacity() {
        assert!(Instant::now() < limit, "nothing was taken");
        tokio::task::yield_now().await;
    }
    let mut typed = File::options()
        .read(true)
        .write(true)
        .open(pipes(folder.path()).with_extension("in"))
        .unwrap();
    console.input.send(b"hello".to_vec()).await.unwrap();
    let read = tokio::task::spawn_blocking(move || {
        let mut bytes = [0; 5];
        std::io::Read::read_exact(&mut typed, &mut bytes).unwrap();
        bytes
    });
    assert_eq!(&read.await.unwrap(), b"hello");
}
