//! Texts as HTML.

/// A text with nothing in it that HTML would take for its own.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Paragraphs, with the little Markdown that our texts have: `code`, **strong**, *emphasis*.
pub fn prose(text: &str) -> String {
    let paragraphs = text
        .split("\n\n")
        .map(str::trim)
        .filter(|text| !text.is_empty());
    paragraphs
        .map(|text| format!("<p>{}</p>", inline(text)))
        .collect()
}

/// One line of such a text.
pub fn inline(text: &str) -> String {
    let mut written = String::new();
    for (index, part) in text.split('`').enumerate() {
        if index % 2 == 1 {
            written.push_str(&format!("<code>{}</code>", escape(part)));
        } else {
            let strong = paired(&escape(part), "**", "strong");
            written.push_str(&paired(&strong, "*", "em"));
        }
    }
    written
}

fn paired(text: &str, mark: &str, element: &str) -> String {
    let mut written = String::new();
    for (index, part) in text.split(mark).enumerate() {
        match index {
            0 => {}
            odd if odd % 2 == 1 => written.push_str(&format!("<{element}>")),
            _ => written.push_str(&format!("</{element}>")),
        }
        written.push_str(part);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_cannot_become_markup() {
        assert_eq!(
            escape("<a href=\"x\">&'"),
            "&lt;a href=&quot;x&quot;&gt;&amp;&#39;"
        );
        assert_eq!(
            inline("`<b>` **x** *y*"),
            "<code>&lt;b&gt;</code> <strong>x</strong> <em>y</em>"
        );
    }
}
