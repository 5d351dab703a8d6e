//! What no file may contain: unfinished work, and paths that are on one machine only.

use super::Finding;

/// Marks of unfinished work, parted so that this file has none.
const UNFINISHED: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME")];

/// Folders that are on somebody's machine.
const PERSONAL: &[&str] = &[
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/Us", "ers/"),
];

/// Whose home it may be in an example or a test.
const ANYBODY: &[&str] = &["a/", "you/", "user/", "me/", "alice/"];

/// Finds unfinished work in every file, and paths of one machine in documents.
pub fn check(path: &str, content: &str) -> Vec<Finding> {
    // What others wrote, and what is generated.
    if path.ends_with("Cargo.lock") || path.ends_with(".snap") || path == "LICENSE" {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(content.lines()) {
        for mark in UNFINISHED.iter().filter(|mark| has_word(line, mark)) {
            let text = format!("{mark}: finish it, or open an issue and say its number");
            findings.push(Finding::fail(path, number, text));
        }
        if is_document(path)
            && let Some(found) = PERSONAL.iter().find(|folder| has_path(line, folder))
        {
            let text = format!("{found} is a folder of one machine; a document speaks of any");
            findings.push(Finding::fail(path, number, text));
        }
    }
    findings
}

fn is_document(path: &str) -> bool {
    path.ends_with(".md") || path.starts_with("docs/")
}

/// Whether a word stands in a line by itself.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let letter = |c: char| c.is_alphanumeric() || c == '_';
        !line[..at].ends_with(letter) && !line[at + word.len()..].starts_with(letter)
    })
}

fn has_path(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let begins = !line[..at].ends_with(|c: char| c.is_alphanumeric() || "~.$}_-/".contains(c));
        let rest = &line[at + folder.len()..];
        begins && !ANYBODY.iter().any(|who| rest.starts_with(who))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::said;

    #[test]
    fn unfinished_work_is_found() {
        let word = concat!("TO", "DO");
        assert_eq!(
            said(&check("a.rs", &format!("//! Of a.\n// {word}: the rest\n"))),
            [format!(
                "a.rs:2: {word}: finish it, or open an issue and say its number"
            )]
        );
        assert!(check("a.rs", &format!("let x = {word}S;\n")).is_empty());
    }

    #[test]
    fn a_document_names_no_folder_of_one_machine() {
        let folder = concat!("/ho", "me/");
        assert_eq!(
            said(&check("docs/a.md", &format!("look in `{folder}bob/x`\n"))),
            [format!(
                "docs/a.md:1: {folder} is a folder of one machine; a document speaks of any"
            )]
        );
        assert!(check("docs/a.md", &format!("look in {folder}you/x\n")).is_empty());
        assert!(check("a.rs", &format!("\"{folder}bob\"\n")).is_empty());
    }
}
