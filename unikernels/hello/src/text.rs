//! Text without a heap: a buffer of fixed size to `write!` to, and text made safe for HTML and JSON.

use core::fmt::{self, Display, Write};
use core::str;

/// UTF-8 text of at most `N` bytes. What does not fit makes the write fail and leaves what was there.
#[derive(Clone)]
pub struct Text<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Text<N> {
    /// No text.
    pub const fn new() -> Self {
        Self {
            bytes: [0; N],
            len: 0,
        }
    }

    /// The text written so far.
    pub fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).expect("only whole pieces of text are added")
    }

    /// The same as bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Forgets the text.
    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Whether there is no text.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }
}

impl<const N: usize> Default for Text<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const N: usize> Write for Text<N> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.len + text.len();
        self.bytes
            .get_mut(self.len..end)
            .ok_or(fmt::Error)?
            .copy_from_slice(text.as_bytes());
        self.len = end;
        Ok(())
    }
}

/// Shows text as HTML: nothing in it is a tag, an entity or the end of an attribute.
pub struct Html<T>(pub T);

impl<T: Display> Display for Html<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            Escaped {
                into: f,
                escape: html
            },
            "{}",
            self.0
        )
    }
}

/// Shows text as the inside of a JSON string (RFC 8259, 7).
pub struct Json<T>(pub T);

impl<T: Display> Display for Json<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            Escaped {
                into: f,
                escape: json
            },
            "{}",
            self.0
        )
    }
}

struct Escaped<'a, 'b> {
    into: &'a mut fmt::Formatter<'b>,
    escape: fn(char, &mut fmt::Formatter<'_>) -> fmt::Result,
}

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars()
            .try_for_each(|char| (self.escape)(char, self.into))
    }
}

fn html(char: char, into: &mut fmt::Formatter<'_>) -> fmt::Result {
    match char {
        '<' => into.write_str("&lt;"),
        '>' => into.write_str("&gt;"),
        '&' => into.write_str("&amp;"),
        '"' => into.write_str("&quot;"),
        '\'' => into.write_str("&#39;"),
        _ => into.write_char(char),
    }
}

fn json(char: char, into: &mut fmt::Formatter<'_>) -> fmt::Result {
    match char {
        '"' => into.write_str("\\\""),
        '\\' => into.write_str("\\\\"),
        '\0'..='\x1f' => write!(into, "\\u{:04x}", u32::from(char)),
        _ => into.write_char(char),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_does_not_fit_is_refused_and_leaves_the_rest() {
        let mut text = Text::<4>::new();
        assert!(text.write_str("abc").is_ok());
        assert!(text.write_str("é").is_err());
        assert!(text.write_str("d").is_ok());
        assert_eq!(text.as_str(), "abcd");
        text.clear();
        assert!(text.is_empty());
    }

    #[test]
    fn html_and_json_lose_their_special_characters() {
        assert_eq!(
            Html("<a b='\"'>&é").to_string(),
            "&lt;a b=&#39;&quot;&#39;&gt;&amp;é"
        );
        assert_eq!(
            Json("a\"b\\c\n\u{1}é").to_string(),
            "a\\\"b\\\\c\\u000a\\u0001é"
        );
    }
}
