//! Each target with its corpus, and with what is nearly that.

use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use rhyzome_fuzz::{TARGETS, audit_file, id_token};

/// Longer ones are read as they are alone.
const CHANGED: usize = 8192;

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/corpus"))
}

/// The texts of a target, with their names.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let files = fs::read_dir(folder().join(target)).expect(target);
    let texts = files.map(|file| {
        let path = file.expect("a file").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        let text = fs::read(&path).expect("a text");
        (name.into_owned(), text)
    });
    texts.collect()
}

#[test]
fn every_target_has_a_corpus_and_every_corpus_a_target() {
    let folders = fs::read_dir(folder()).expect("corpora");
    let folders = folders.map(|folder| folder.expect("a folder").file_name());
    let folders: BTreeSet<_> = folders
        .map(|name| name.into_string().expect("a name"))
        .collect();
    let targets: BTreeSet<_> = TARGETS
        .iter()
        .map(|target| target.name.to_owned())
        .collect();
    assert_eq!(folders, targets);
    assert_eq!(targets.len(), TARGETS.len());
    for target in &targets {
        let texts = corpus(target).len();
        assert!(texts >= 10, "{target}: {texts}");
    }
}

#[test]
fn whatever_strangers_wrote_is_read_as_it_should_be() {
    let mut wrong = Vec::new();
    for target in TARGETS {
        for (name, text) in corpus(target.name) {
            if catch_unwind(|| (target.run)(&text)).is_err() {
                wrong.push(format!("{}/{name}", target.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn so_is_what_is_nearly_that() {
    for target in TARGETS {
        let texts = corpus(target.name).into_iter().map(|(_, text)| text);
        let texts: Vec<_> = texts.filter(|text| text.len() <= CHANGED).collect();
        let byte = prop_oneof![any::<u8>(), 0x20..0x7f_u8];
        let new = prop::collection::vec(byte, 0..3);
        let place = any::<prop::sample::Index>();
        let changed = (prop::sample::select(texts), place, new, 0..3_usize);
        let mut runner = TestRunner::new(Config {
            cases: 256,
            failure_persistence: None,
            ..Config::default()
        });
        let ran = runner.run(&changed, |(mut text, at, new, cut)| {
            let at = at.index(text.len() + 1);
            let end = (at + cut).min(text.len());
            text.splice(at..end, new);
            let run = AssertUnwindSafe(|| (target.run)(&text));
            catch_unwind(run).map_err(|_| TestCaseError::fail(target.name))
        });
        ran.expect(target.name);
    }
}

/// What each of these is found to be is in its name.
#[test]
fn an_audit_file_is_found_to_be_what_it_is() {
    for (name, bytes) in corpus("audit_file") {
        let found = audit_file::verdict(&String::from_utf8_lossy(&bytes), None);
        let expected = name.split('-').next().unwrap_or_default();
        let was = match found {
            Ok(found) if found.good => "good",
            Ok(_) => "flawed",
            Err(_) => "refused",
        };
        assert_eq!(was, expected, "{name}");
    }
}

/// A target that refused all would find nothing.
#[test]
fn good_claims_are_taken() {
    let mut good = 0;
    for (name, text) in corpus("id_token_claims") {
        let text = String::from_utf8(text).expect("a text");
        let (header, claims) = text
            .split_once('\n')
            .unwrap_or((r#"{"alg":"EdDSA"}"#, &text));
        let taken = id_token::verdict(header, claims);
        assert!(
            taken.is_ok() || !name.starts_with("good"),
            "{name}: {taken:?}"
        );
        good += u32::from(taken.is_ok());
    }
    assert!(good >= 4, "{good}");
}
