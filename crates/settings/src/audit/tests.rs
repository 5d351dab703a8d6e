use serde::{Deserialize, Serialize};

use super::*;
use crate::PathKind;

#[derive(Serialize, Deserialize)]
struct Flawed {
    a: Inner,
    a_b: u8,
    jwks: String,
    here: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Inner {
    b: u8,
}

impl Default for Flawed {
    fn default() -> Self {
        Self {
            a: Inner { b: 1 },
            a_b: 2,
            jwks: "https://user@id.example:8443/jwks".to_owned(),
            here: vec![
                "http://127.0.0.1:1/".to_owned(),
                "https://[::1]:2".to_owned(),
                "unix:///run/x".to_owned(),
                "http://localhost".to_owned(),
            ],
        }
    }
}

impl Settings for Flawed {
    const PATHS: &'static [(&'static str, PathKind)] = &[("a.c", PathKind::File)];
}

/// Defect 4: the default key server was the authors' own.
#[test]
fn each_flaw_of_a_struct_is_found() {
    let findings = audit::<Flawed>();
    assert_eq!(
        findings,
        [
            Finding::SameVariable {
                first: "a.b".to_owned(),
                second: "a_b".to_owned()
            },
            Finding::ForeignServer {
                key: "jwks".to_owned(),
                host: "id.example".to_owned()
            },
            Finding::NoSuchKey {
                key: "a.c".to_owned()
            },
        ]
    );
}

/// Defect 8: what a key was for stood nowhere.
#[test]
fn each_key_that_a_page_does_not_explain_is_found() {
    let page = "# Keys\n\n## `other`\n\n| `a.b` | `1` | Of another program. |\n\n\
                ## `flawed`\n\n| key | default | what |\n| --- | --- | --- |\n\
                | `a_b` | `3` | How many. |\n| `jwks` | `https://user@id.example:8443/jwks` | |\n\
                | `gone` | \u{2013} | What was. |\n\n## More\n\n| `here` | `[]` | Elsewhere. |\n";
    let key = |key: &str| key.to_owned();
    assert_eq!(
        audit_page::<Flawed>("flawed", page),
        [
            Finding::Undocumented { key: key("a.b") },
            Finding::OtherDefault {
                key: key("a_b"),
                default: "`2`".to_owned(),
                said: "`3`".to_owned()
            },
            Finding::Undocumented { key: key("here") },
            Finding::Undocumented { key: key("jwks") },
            Finding::NoSuchKey { key: key("gone") },
        ]
    );
}
