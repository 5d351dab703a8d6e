//! What we write, with the real library and the real program.

use std::fs;

use crate::sameness::compare;
use proptest::prelude::*;
use rhyzome_uci::{Change, Package, Section, Value, batch, difference};
use rhyzome_uci_reference::{command, read, run_batch};
use tempfile::TempDir;

fn text() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "'", "\"", "\\", "#", ";", " ", "\t", "\n", "\r\n", "a", "ü", "=", ".", "config ",
    ]);
    prop::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat())
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        text().prop_filter_map("not empty", |text| Value::one(text).ok()),
        prop::collection::vec(text(), 1..4)
            .prop_filter_map("writable", |items| Value::list(items).ok()),
    ]
}

fn package() -> impl Strategy<Value = Package> {
    let options = prop::collection::vec(("[a-z_]{1,2}", value()), 0..5);
    let name = prop::option::weighted(0.7, "[a-z0-9_]{1,2}");
    let section = ("[a-z][a-z-]{0,2}", name, options);
    prop::collection::vec(section, 0..6).prop_map(|sections| {
        let mut package = Package::new("test".parse().expect("a name"));
        for (kind, name, options) in sections {
            let kind = kind.parse().expect("a type");
            let mut section = match name {
                Some(name) => Section::named(kind, name.parse().expect("a name")),
                None => Section::anonymous(kind),
            };
            for (option, value) in options {
                section.set(option.parse().expect("a name"), value);
            }
            // The first of a name.
            let _ = package.add(section);
        }
        package
    })
}

fn with_names(package: &Package) -> Package {
    let mut result = Package::new(package.name().clone());
    for (_, section) in package.named() {
        result.add(section.clone()).expect("no name is there twice");
    }
    result
}

/// A folder of configurations with one package, and a folder for what is not committed.
struct Router {
    folder: TempDir,
}

impl Router {
    fn new(package: &Package) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        fs::create_dir(folder.path().join("config")).expect("a folder");
        let path = folder.path().join("config").join(package.name().as_str());
        fs::write(path, package.text()).expect("the file is written");
        Self { folder }
    }

    fn run(&self, arguments: &[&str]) -> (String, Option<i32>) {
        let (config, delta) = self.folders();
        let output = command(&config, &delta).args(arguments).output();
        let output = output.expect("uci runs");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (said, output.status.code())
    }

    fn folders(&self) -> (std::path::PathBuf, std::path::PathBuf) {
        (
            self.folder.path().join("config"),
            self.folder.path().join("delta"),
        )
    }

    fn make(&self, changes: &[Change]) {
        let (config, delta) = self.folders();
        let name = "test".parse().expect("a name");
        let lines = batch(&name, changes) + "commit test\n";
        let output = run_batch(&config, &delta, &lines).expect("uci runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && said.is_empty(),
            "{said}\n{lines}"
        );
    }

    fn package(&self) -> Package {
        let path = self.folder.path().join("config/test");
        let text = fs::read_to_string(path).expect("the file is there");
        Package::read("test".parse().expect("a name"), &text).expect("what uci wrote is read")
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_we_write_is_what_libuci_writes(package in package()) {
        let real = read("test", &package.text());
        prop_assert_eq!(real.map(|real| real.text), Ok(package.text()));
        prop_assert_eq!(compare(&package.text()), Ok(()));
    }
}

proptest! {
    // A process each.
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_uci_shows_and_exports_is_read(package in package()) {
        let router = Router::new(&package);
        let (shown, code) = router.run(&["show", "test"]);
        prop_assert_eq!((&shown, code), (&package.show(), Some(0)));
        prop_assert!(Package::read_show(&shown).is_ok());
        let (exported, code) = router.run(&["export"]);
        prop_assert_eq!(code, Some(0));
        prop_assert_eq!(Package::read_export(&exported), Ok(vec![package]));
    }

    #[test]
    fn uci_makes_a_difference_as_we_do(have in package(), want in package()) {
        let router = Router::new(&have);
        let want = with_names(&want);
        let changes = difference(&have, &want, |_| true).expect("all have names");
        router.make(&changes);
        let after = router.package();
        prop_assert_eq!(difference(&after, &want, |_| true), Ok(Vec::new()));
        let mut applied = have.clone();
        prop_assert_eq!(applied.apply(&changes, |_| true), Ok(()));
        prop_assert_eq!(applied.sections().len(), after.sections().len());
    }
}

#[test]
fn a_batch_ends_well_where_a_line_failed_and_goes_on() {
    let package = Package::new("test".parse().expect("a name"));
    let router = Router::new(&package);
    let (config, delta) = router.folders();
    let lines = "set test.x=t\nset test.none.a=1\nset test.x.a=2\ncommit test\n";
    let output = run_batch(&config, &delta, lines).expect("uci runs");
    assert_eq!(output.status.code(), Some(0));
    assert!(!output.stderr.is_empty());
    let (shown, _) = router.run(&["show", "test"]);
    assert_eq!(shown, "test.x=t\ntest.x.a='2'\n");
    assert_eq!(router.run(&["get", "test.none"]).1, Some(1));
}
