//! Our reader against libuci: the same text in, the same values out; what it refuses, we refuse.

use std::path::Path;

use crate::sameness::{compare, compare_export};
use proptest::prelude::*;

/// Texts that somebody once thought of, one a file.
fn texts() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/texts");
    let mut texts: Vec<(String, String)> = std::fs::read_dir(folder)
        .expect("the folder of texts is there")
        .map(|entry| {
            let path = entry.expect("the folder can be read").path();
            let text = std::fs::read_to_string(&path).expect("a text is UTF-8");
            (path.display().to_string(), text)
        })
        .collect();
    texts.sort();
    texts
}

#[test]
fn both_read_the_same_of_every_kept_text() {
    let texts = texts();
    assert!(texts.len() >= 10, "{} texts", texts.len());
    for (path, text) in texts {
        if let Err(difference) = compare(&text).and_then(|()| compare_export(&text)) {
            panic!("{path}: {difference}");
        }
    }
}

#[test]
fn both_read_the_same_of_every_beginning_of_a_kept_text() {
    for (path, text) in texts() {
        for end in (0..text.len()).filter(|end| text.is_char_boundary(*end)) {
            if let Err(difference) = compare(&text[..end]) {
                panic!("{path}, the first {end} bytes: {difference}");
            }
        }
    }
}

fn word() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "a",
        "b",
        "x1",
        "-",
        "'",
        "''",
        "' '",
        "\"",
        "\"\"",
        "\\",
        "\\\n",
        "\\\r\n",
        "#",
        ";",
        "é",
        "'a b'",
        "\"a\\\"b\"",
        "'a\nb'",
        "\"\\\n\"",
        "\u{b}",
        "=",
        ".",
        "@",
        "[0]",
        "\u{1}",
    ]);
    prop::collection::vec(pieces, 0..4).prop_map(|pieces| pieces.concat())
}

fn line() -> impl Strategy<Value = String> {
    let commands = prop::sample::select(vec![
        "config", "config", "option", "option", "list", "package", "c", "o", "l", "p", "confi", "",
        "#", " ", "\r", "'config'", "config#", "option;",
    ]);
    let names = prop_oneof![
        3 => prop::sample::select(vec!["a", "b", "t", "u", "'a'", "cfg01002b", "cfg02b5c9"]).prop_map(str::to_owned),
        1 => word(),
    ];
    let spaces = prop::sample::select(vec![" ", "\t", "  ", " \\\n ", "\u{b}", ""]);
    let ends = prop::sample::select(vec![
        "\n", "\n", "\n", "\r\n", " ;", ";", "; ", "# x\n", " # 'x\n", "", "\n\n",
    ]);
    let arguments = prop::collection::vec((spaces, prop_oneof![names, word()]), 0..4);
    (commands, arguments, ends).prop_map(|(command, arguments, end)| {
        let arguments = arguments
            .into_iter()
            .map(|(space, word)| space.to_owned() + &word);
        format!("{command}{}{end}", arguments.collect::<String>())
    })
}

/// Mostly well-formed: an error ends the reading, and what is behind it is not compared.
fn good_line() -> impl Strategy<Value = String> {
    let value = prop::sample::select(vec![
        "a",
        "'b c'",
        "\"d\\\"e\"",
        "it''s",
        "'it'\\''s'",
        "'two\nlines'",
        "f\\ g",
        "''",
        "",
        "a#b",
        "'#'",
        "a;",
        "'a';",
        "a\\\nb",
        "'ü'",
    ]);
    let name = prop::sample::select(vec!["a", "b", "c_1", "'d'", "e\\\nf"]);
    let kind = prop::sample::select(vec!["t", "u", "bridge-vlan", "'t'"]);
    prop_oneof![
        1 => (kind.clone(), name.clone()).prop_map(|(kind, name)| format!("config {kind} {name}{kind}\n")),
        1 => kind.prop_map(|kind| format!("config {kind}\n")),
        4 => (name.clone(), value.clone()).prop_map(|(name, value)| format!("\toption {name} {value}\n")),
        4 => (name, value).prop_map(|(name, value)| format!("\tlist {name} {value}\n")),
        1 => Just("# a comment\n".to_owned()),
        1 => Just("\n".to_owned()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_read_the_same_of_any_lines(lines in prop::collection::vec(line(), 0..8)) {
        let text = lines.concat();
        prop_assert_eq!(compare(&text), Ok(()));
        prop_assert_eq!(compare_export(&text), Ok(()));
        // As what comes behind a section.
        prop_assert_eq!(compare(&format!("config t a\n{text}")), Ok(()));
        prop_assert_eq!(compare_export(&format!("package p\nconfig t\n{text}")), Ok(()));
    }

    #[test]
    fn both_read_the_same_of_good_lines(lines in prop::collection::vec(good_line(), 0..20)) {
        prop_assert_eq!(compare(&format!("config t\n{}", lines.concat())), Ok(()));
    }

    #[test]
    fn both_read_the_same_of_any_text(text in "[ -~\\t\\r\\n\\x0b\\x0cü€]{0,40}") {
        prop_assert_eq!(compare(&text), Ok(()));
        prop_assert_eq!(compare(&format!("config t a\n\toption a {text}")), Ok(()));
        prop_assert_eq!(compare(&format!("config {text}")), Ok(()));
    }
}
