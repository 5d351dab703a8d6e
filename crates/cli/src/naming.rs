//! Names made of other words: of a file's name, of a machine's.

use rhyzome_model::Name;
use rhyzome_model::name::MAX_NAME;

/// The name that is nearest to a text, if there is one.
pub fn nearest(text: &str) -> Option<Name> {
    let lower = text.to_lowercase();
    let plain = lower.replace(
        |c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit(),
        "-",
    );
    let begun = plain.trim_start_matches(|c: char| !c.is_ascii_lowercase());
    let short: String = begun.chars().take(MAX_NAME).collect();
    short.trim_end_matches('-').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_made_of_what_may_stand_in_one() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(nearest(text).as_ref().map(Name::as_str), expect, "{text}");
        };
        check("Web_Server", Some("web-server"));
        check("2024-MyLaptop.local", Some("mylaptop-local"));
        check("Ünicode", Some("nicode"));
        check(&"a-".repeat(40), Some(&"a-".repeat(20)[..39]));
        check("42", None);
        check("", None);
    }
}
