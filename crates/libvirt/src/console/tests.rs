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
