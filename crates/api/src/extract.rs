//! What handlers take from a request: JSON bodies, query parameters and names in paths, each refused
//! with the name of what is wrong.

mod json;
mod path;
mod query;

pub use json::{Json, MAX_BODY, MaybeJson, body};
pub use path::Path;
pub use query::{NoQuery, Query, query};

use crate::problem::Refused;

/// What a serde error says of a field. Serde has no structure for it: its texts are the interface
/// (`serde::de::Error::unknown_field` and `missing_field` fix them).
fn refused(path: &serde_path_to_error::Path, detail: String) -> Refused {
    let parent = match path.to_string() {
        path if path == "." => String::new(),
        path => path,
    };
    if let Some(name) = quoted_after(&detail, "unknown field `") {
        return Refused::UnknownField {
            field: join(&parent, name),
            detail,
        };
    }
    let named = ["missing field `", "duplicate field `"];
    if let Some(name) = named
        .into_iter()
        .find_map(|start| quoted_after(&detail, start))
    {
        return Refused::Invalid {
            field: join(&parent, name),
            detail,
        };
    }
    Refused::Invalid {
        field: parent,
        detail,
    }
}

fn quoted_after<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    text.strip_prefix(start)?.split('`').next()
}

/// The path may end in the field itself: serde has read its key already when it refuses it.
fn join(parent: &str, name: &str) -> String {
    let itself = parent.strip_suffix(name);
    if itself.is_some_and(|before| before.is_empty() || before.ends_with('.')) {
        return parent.to_owned();
    }
    if parent.is_empty() {
        name.to_owned()
    } else {
        format!("{parent}.{name}")
    }
}
