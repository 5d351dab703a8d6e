//! User data: what a guest's cloud-init (or whatever is in its place) is to do, as its owner wrote it.
//!
//! It is a text: UTF-8, so that it can be shown, compared and checked. What is binary goes into a part of
//! a MIME multi-part text in base64. It often holds secrets: `Debug` shows its size alone.

mod mime;
mod yaml;

use std::fmt;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The longest user data, in bytes.
pub const MAX_USER_DATA: usize = 64 << 10;

/// So much of a line is repeated where it is refused, in characters.
const QUOTED: usize = 80;

/// `#cloud-config`, a script, MIME multi-part, `#include` or another form that cloud-init knows; or a
/// JSON object, for guests that read that. At most 64 KiB.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
pub struct UserData(String);

impl UserData {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Checks its size and, as far as its form is known, that its reader will understand it.
    ///
    /// # Errors
    /// Name the line where there is one.
    pub fn check(&self) -> Result<(), InvalidUserData> {
        if self.0.len() > MAX_USER_DATA {
            return Err(InvalidUserData::TooLong(self.0.len()));
        }
        if let Some(at) = self.0.find('\0') {
            return Err(InvalidUserData::Nul(line_of(&self.0, at)));
        }
        check(&self.0, 1)
    }
}

impl fmt::Debug for UserData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "UserData({} bytes)", self.0.len())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidUserData {
    #[error(
        "the user data is {0} bytes long; at most {MAX_USER_DATA} (64 KiB) are possible: \
         fetch what is long from the guest, or put it into the image"
    )]
    TooLong(usize),
    #[error(
        "the user data has a NUL byte in line {0}: binary data goes into a MIME part in base64"
    )]
    Nul(usize),
    #[error("the user data is empty; leave it out instead")]
    Empty,
    #[error(
        "nobody would read the user data: its first line is neither `#cloud-config` nor `#!/…` nor another \
         form that cloud-init knows ({known}), and it is no JSON object",
        known = FORMS.join(", ")
    )]
    Unknown,
    #[error("the user data's first line is {found:?}; {meant:?} was probably meant")]
    Nearly { found: String, meant: &'static str },
    #[error("the user data is no well-formed YAML in line {line}, column {column}: {problem}")]
    Yaml {
        line: usize,
        column: usize,
        problem: String,
    },
    #[error("the user data has to be a mapping like `users: …`, but line {line} begins {found}")]
    NoMapping { line: usize, found: &'static str },
    #[error("the user data is no well-formed JSON in line {line}: {problem}")]
    Json { line: usize, problem: String },
    #[error(
        "the user data includes {found:?} in line {line}, which is no http:// or https:// address"
    )]
    Include { line: usize, found: String },
    #[error("the user data is no well-formed MIME multi-part text in line {line}: {problem}")]
    Mime { line: usize, problem: &'static str },
}

/// The first lines by which cloud-init tells what it has got (its documentation, "User data formats").
const FORMS: [&str; 9] = [
    "#cloud-config",
    "#!",
    "#include",
    "#include-once",
    "#cloud-boothook",
    "#cloud-config-archive",
    "#cloud-config-jsonp",
    "#part-handler",
    "## template: jinja",
];

/// Checks a whole text or a part of one whose first line has the number `first`.
fn check(text: &str, first: usize) -> Result<(), InvalidUserData> {
    // cloud-init passes over what is blank in front.
    let body = text.trim_start();
    let first = first + text[..text.len() - body.len()].matches('\n').count();
    let head = body.lines().next().unwrap_or_default().trim_end();
    let word = head.split_whitespace().next().unwrap_or_default();
    match word {
        "" => Err(InvalidUserData::Empty),
        "#cloud-config" => yaml::check(body, first),
        "#include" | "#include-once" => check_includes(body, first),
        _ if FORMS.contains(&word) || head.starts_with("#!") => Ok(()),
        "##" if head.starts_with("## template:") => Ok(()),
        _ if mime::is_multipart(body) => mime::check(body, first),
        _ if body.starts_with('{') => check_json(body, first),
        _ => Err(unknown(head)),
    }
}

/// What is wrong with a first line that nobody knows.
fn unknown(head: &str) -> InvalidUserData {
    let squeeze = |text: &str| -> String {
        let letters = text.chars().filter(|c| c.is_ascii_alphanumeric());
        letters.map(|c| c.to_ascii_lowercase()).collect()
    };
    let squeezed = squeeze(head);
    let meant = FORMS
        .into_iter()
        .find(|form| form.len() > 2 && squeeze(form) == squeezed);
    match meant {
        Some(meant) => InvalidUserData::Nearly {
            found: head.chars().take(QUOTED).collect(),
            meant,
        },
        None => InvalidUserData::Unknown,
    }
}

fn check_includes(text: &str, first: usize) -> Result<(), InvalidUserData> {
    for (number, line) in text.lines().enumerate().skip(1) {
        let line = line.trim();
        let address = line.starts_with("http://") || line.starts_with("https://");
        if !address && !line.is_empty() && !line.starts_with('#') {
            return Err(InvalidUserData::Include {
                line: first + number,
                found: line.chars().take(QUOTED).collect(),
            });
        }
    }
    Ok(())
}

fn check_json(text: &str, first: usize) -> Result<(), InvalidUserData> {
    match serde_json::from_str::<serde::de::IgnoredAny>(text) {
        Ok(_) => Ok(()),
        Err(error) => Err(InvalidUserData::Json {
            line: first + error.line().saturating_sub(1),
            problem: error.to_string(),
        }),
    }
}

fn line_of(text: &str, at: usize) -> usize {
    1 + text[..at].matches('\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &str, expect: &str) {
        let got = match UserData::new(text).check() {
            Ok(()) => "fine".to_owned(),
            Err(why) => why.to_string(),
        };
        assert!(got.contains(expect), "{text:?}: {got}");
    }

    #[test]
    fn forms_that_cloud_init_knows_are_fine() {
        check("#cloud-config\nusers:\n  - name: ann\n", "fine");
        check("#cloud-config\n", "fine");
        check("\n#cloud-config\n# a comment\n", "fine");
        check("#!/bin/sh\necho {{ ' \n", "fine");
        check("#include\n# more\nhttps://example.org/x\n\n", "fine");
        check("#cloud-boothook\n#!/bin/sh\n", "fine");
        check("## template: jinja\n#cloud-config\na: {{ ds }\n", "fine");
        check("{\"ignition\": {\"version\": \"3.4.0\"}}", "fine");
    }

    #[test]
    fn a_mistake_is_named_with_its_line() {
        check("", "is empty");
        check(" \n", "is empty");
        check("users:\n  - ann\n", "nobody would read");
        check(
            "# cloud-config\nusers: []\n",
            "\"#cloud-config\" was probably meant",
        );
        check("#cloud_config\n", "\"#cloud-config\" was probably meant");
        check(
            "#cloud-config\nusers:\n  - name: ann\n   - b\n",
            "in line 4",
        );
        check("\n\n#cloud-config\na: [1, 2\n", "in line 4");
        check("#cloud-config\na: b: c\n", "in line 2");
        check("#cloud-config\ra: b: c\r", "in line 2");
        check("#cloud-config\n- a\n", "line 2 begins a list");
        check("#cloud-config\nhello\n", "line 2 begins a text");
        check("#cloud-config\na: \"x\n", "no well-formed YAML");
        check(
            "#include\nhttps://example.org\nfile:///etc/passwd\n",
            "in line 3",
        );
        check("{\n\"a\": 1,\n}\n", "in line 3");
        check("#!/bin/sh\n\0", "NUL byte in line 2");
    }

    #[test]
    fn the_limit_is_named_with_the_size() {
        let most = format!("#!{}", "x".repeat(MAX_USER_DATA - 2));
        check(&most, "fine");
        check(
            &format!("{most}x"),
            "is 65537 bytes long; at most 65536 (64 KiB)",
        );
    }

    #[test]
    fn it_is_not_shown_where_things_are_logged() {
        let secret = UserData::new("#cloud-config\npassword: hunter2\n");
        assert_eq!(format!("{secret:?}"), "UserData(32 bytes)");
        // Nor by an error that quotes what it cannot read.
        let broken = UserData::new("#cloud-config\npassword: [hunter2\n");
        let why = broken.check().expect_err("broken").to_string();
        assert!(!why.contains("hunter2"), "{why}");
    }

    proptest! {
        #[test]
        fn no_text_breaks_the_check(text in ".{0,400}", head in proptest::sample::select(FORMS.to_vec())) {
            let _ = UserData::new(text.clone()).check();
            let _ = UserData::new(format!("{head}\n{text}")).check();
            let _ = UserData::new(format!("Content-Type: multipart/mixed; boundary=\"x\"\n\n--x\n{text}")).check();
        }

        #[test]
        fn no_yaml_breaks_the_check(text in "[-a: \n\"'\\[{}&*!|>#%\t]{0,60}") {
            let _ = UserData::new(format!("#cloud-config\n{text}")).check();
        }
    }
}
