//! docs/lessons.md, docs/reliability.md, docs/failures.md and docs/security.md name the tests that show what they
//! say: each of them has to be there.
//!
//! In a row of its table, code that is the path of a file says where the tests named behind it are; of
//! several in a row, each has to have them.

use super::Finding;

/// The pages this is about.
pub const PAGES: [&str; 4] = [
    "docs/lessons.md",
    "docs/reliability.md",
    "docs/failures.md",
    "docs/security.md",
];

/// What is wrong with a page; `read` gives a file's content, none where there is no such file.
pub fn check(path: &str, page: &str, read: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in page.lines().enumerate().filter(|(_, line)| is_row(line)) {
        let mut fail = |text: String| findings.push(Finding::fail(path, number + 1, text));
        let mut files: Vec<(&str, String)> = Vec::new();
        let (mut named, mut shown) = (false, 0);
        for code in code(line) {
            if is_path(code) {
                if named {
                    files.clear();
                }
                named = false;
                match read(code) {
                    None => fail(format!("there is no {code}")),
                    Some(content) if is_rust(code) => files.push((code, content)),
                    Some(_) => shown += 1,
                }
            } else if is_test_name(code) {
                named = true;
                if files.is_empty() {
                    fail(format!("{code} stands behind no file that is there"));
                }
                for (path, content) in &files {
                    if has_function(content, code) {
                        shown += 1;
                    } else {
                        fail(format!("{path} has no test {code}"));
                    }
                }
            }
        }
        if shown == 0 {
            fail("no test shows this".to_owned());
        }
    }
    findings
}

/// A row whose first cell is a number, or the sentence that is to be shown.
fn is_row(line: &str) -> bool {
    line.strip_prefix("| ")
        .and_then(|rest| rest.split_once(" |"))
        .is_some_and(|(cell, _)| cell.parse::<u32>().is_ok() || cell.ends_with('.'))
}

/// What stands between backquotes.
fn code(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

fn is_rust(code: &str) -> bool {
    code.ends_with(".rs")
}

fn is_path(code: &str) -> bool {
    is_rust(code) || (code.contains('/') && !code.contains([' ', ':']) && !code.starts_with('/'))
}

/// Tests are named by sentences: at least three words.
fn is_test_name(code: &str) -> bool {
    let of_a_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    code.chars().all(of_a_name) && code.matches('_').count() >= 2
}

fn has_function(content: &str, name: &str) -> bool {
    content.contains(&format!("fn {name}("))
}

#[cfg(test)]
mod tests {
    use super::super::said;
    use super::*;

    fn read(path: &str) -> Option<String> {
        match path {
            "a/tests.rs" => Some("#[test]\nfn a_test_is_there() {}\n".to_owned()),
            "a/empty.rs" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn tests_that_are_there_are_found() {
        let page = "| 1 | `http_bind` | it was so | `a/tests.rs`: `a_test_is_there` |\n";
        assert_eq!(said(&check(PAGES[0], page, read)), [""; 0]);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let page = "| # | what |\n| --- | --- |\n\
                    | 1 | `a/tests.rs`: `a_test_is_gone` |\n\
                    | 2 | `b/tests.rs`: `a_test_is_there` |\n\
                    | 3 | nothing |\n\
                    | 4 | `a/tests.rs`, `a/empty.rs`: `a_test_is_there` |\n\
                    | It is so. | `a/tests.rs`: `a_test_was_there` |\n";
        assert_eq!(
            said(&check(PAGES[0], page, read)),
            [
                "docs/lessons.md:3: a/tests.rs has no test a_test_is_gone",
                "docs/lessons.md:3: no test shows this",
                "docs/lessons.md:4: there is no b/tests.rs",
                "docs/lessons.md:4: a_test_is_there stands behind no file that is there",
                "docs/lessons.md:4: no test shows this",
                "docs/lessons.md:5: no test shows this",
                "docs/lessons.md:6: a/empty.rs has no test a_test_is_there",
                "docs/lessons.md:7: a/tests.rs has no test a_test_was_there",
                "docs/lessons.md:7: no test shows this",
            ]
        );
    }
}
