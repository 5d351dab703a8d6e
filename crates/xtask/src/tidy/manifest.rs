//! Every dependency says what it is for, in a comment above it or above its group, where it is given a
//! version. A group ends at an empty line.

use super::Finding;

/// Finds dependencies of a `Cargo.toml` that say nothing of their purpose.
pub fn check(path: &str, content: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut dependencies = false;
    let mut explained = false;
    let mut open = 0_i32;
    for (number, line) in (1..).zip(content.lines()) {
        let line = line.trim();
        if open > 0 {
            // Inside of a value of several lines.
        } else if line.is_empty() {
            explained = false;
        } else if line.starts_with('#') {
            explained = true;
        } else if line.starts_with('[') {
            dependencies = line.trim_matches(['[', ']']).ends_with("dependencies");
            explained = false;
        } else if dependencies && !explained && !of_this_repository(line) {
            let name = line.split(['=', '.', ' ']).next().unwrap_or(line);
            let text = format!("the dependency {name} has no comment that says what it is for");
            findings.push(Finding::fail(path, number, text));
        }
        open += balance(line);
    }
    findings
}

/// Crates of ours explain themselves, and what the workspace gives is explained there.
fn of_this_repository(line: &str) -> bool {
    line.contains("workspace = true") || line.contains("path = \"")
}

/// How many brackets a line leaves open.
fn balance(line: &str) -> i32 {
    if line.starts_with(['#', '[']) {
        return 0;
    }
    line.chars()
        .map(|c| match c {
            '[' | '{' => 1,
            ']' | '}' => -1,
            _ => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::said;

    #[test]
    fn a_dependency_without_a_purpose_is_found() {
        let content = "\
[package]
name = \"x\"

[workspace.dependencies]
rhyzome-model = { path = \"crates/model\" }
# Errors.
thiserror = \"2\"
anyhow = \"1\"

serde = { version = \"1\", features = [
    \"derive\",
] }
# Times.
jiff.workspace = true

[dev-dependencies]
insta.workspace = true
tempfile = \"3\"
";
        let wrong = "has no comment that says what it is for";
        assert_eq!(
            said(&check("Cargo.toml", content)),
            [
                format!("Cargo.toml:10: the dependency serde {wrong}"),
                format!("Cargo.toml:18: the dependency tempfile {wrong}"),
            ]
        );
    }
}
