//! What holds for any package.

use proptest::prelude::*;
use rhyzome_uci::{Change, Package, Section, Value, difference};

fn text() -> impl Strategy<Value = String> {
    // What quoting and parting could stumble over, and anything else that `uci set` takes.
    let pieces = prop::sample::select(vec![
        "'", "\"", "\\", "#", ";", " ", "\t", "\n", "\r\n", "a", "ü", "$x", "config ", "option ",
    ]);
    prop_oneof![
        prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat()),
        "[\\t\\n\\r -~¡-ÿ]{0,20}",
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        text().prop_filter_map("not empty", |text| Value::one(text).ok()),
        prop::collection::vec(text(), 1..4)
            .prop_map(|items| Value::list(items).expect("generated as it has to be")),
    ]
}

fn section() -> impl Strategy<Value = Section> {
    let options = prop::collection::vec(("[a-z_]{1,3}", value()), 0..5);
    let name = prop::option::weighted(0.8, "[a-zA-Z0-9_]{1,2}");
    ("[a-z][!$-&(-:<-\\[\\]-~]{0,3}", name, options).prop_map(|(kind, name, options)| {
        let kind = kind.parse().expect("generated as it has to be");
        let mut section = match name {
            Some(name) => Section::named(kind, name.parse().expect("generated as it has to be")),
            None => Section::anonymous(kind),
        };
        for (option, value) in options {
            section.set(option.parse().expect("generated as it has to be"), value);
        }
        section
    })
}

fn package() -> impl Strategy<Value = Package> {
    prop::collection::vec(section(), 0..8).prop_map(|sections| {
        let mut package = Package::new("test".parse().expect("generated as it has to be"));
        for section in sections {
            // The first of a name.
            let _ = package.add(section);
        }
        package
    })
}

/// Whose first letter is before n.
fn ours(section: &Section) -> bool {
    let first = section.name().and_then(|name| name.as_str().chars().next());
    first.is_some_and(|first| first.to_ascii_lowercase() < 'n')
}

/// Those that `select` says, with names.
fn only(package: &Package, select: impl Fn(&Section) -> bool) -> Package {
    let mut result = Package::new(package.name().clone());
    for (_, section) in package.named().filter(|(_, section)| select(section)) {
        result
            .add(section.clone())
            .expect("generated as it has to be");
    }
    result
}

fn foreign(package: &Package) -> Vec<&Section> {
    package
        .sections()
        .iter()
        .filter(|section| !ours(section))
        .collect()
}

proptest! {
    #[test]
    fn a_package_survives_its_own_text(package in package()) {
        let again = Package::read(package.name().clone(), &package.text());
        prop_assert_eq!(again.as_ref(), Ok(&package));
        prop_assert!(package.survives_a_commit());
        let exported = Package::read_export(&package.export());
        prop_assert_eq!(exported, Ok(vec![package]));
    }

    #[test]
    fn what_is_shown_says_the_same(package in package()) {
        let text = package.show();
        // Types with these are refused, as they could not be told from what is around them.
        let odd = package.sections().iter().any(|s| s.kind().as_str().contains(['.', '=', '[', ']']));
        match Package::read_show(&text) {
            Ok(again) => prop_assert_eq!(again.iter().map(Package::show).collect::<String>(), text),
            Err(error) => prop_assert!(odd, "{}", error),
        }
    }

    #[test]
    fn applying_the_difference_converges_and_touches_nothing_foreign(
        have in package(), want in package(),
    ) {
        let want = only(&want, ours);
        let changes = difference(&have, &want, ours).expect("generated as it has to be");
        let is_ours = |change: &Change| have.section(change.section()).is_none_or(ours);
        prop_assert!(changes.iter().all(is_ours));
        let mut after = have.clone();
        after.apply(&changes, ours).expect("generated as it has to be");
        prop_assert_eq!(foreign(&after), foreign(&have));
        prop_assert_eq!(difference(&after, &want, ours), Ok(Vec::new()));
        prop_assert_eq!(difference(&want, &only(&after, ours), ours), Ok(Vec::new()));
    }

    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,60}") {
        let _ = Package::read("x".parse().expect("generated as it has to be"), &text);
        let _ = Package::read_show(&text);
    }
}
