//! The definition as one page of HTML for reading, with no outside asset and no script.
//!
//! It is made of the same document that `openapi.json` is, so it cannot say anything else.

pub(crate) mod html;
mod operation;
mod schema;

use std::sync::LazyLock;

use serde_json::Value;

use crate::openapi;
use html::{escape, prose};

static PAGE: LazyLock<String> = LazyLock::new(|| {
    let document = serde_json::to_value(openapi::document()).expect("the definition is plain data");
    render(&document)
});

/// The page.
pub fn page() -> &'static str {
    &PAGE
}

fn render(document: &Value) -> String {
    let title = escape(text(&document["info"], "title"));
    let version = escape(text(&document["info"], "version"));
    let style = include_str!("docs/style.css");
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title} API {version}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
    );
    page.push_str(&format!(
        "<nav>\n<a class=\"brand\" href=\"#top\">{title}</a>\n"
    ));
    contents(&mut page, document);
    page.push_str("</nav>\n<main>\n");
    page.push_str(&format!(
        "<header id=\"top\"><h1>{title} <small>API {version}</small></h1>\n{}\n\
         <p class=\"quiet\"><a href=\"/openapi.json\">openapi.json</a> · {} · {}</p></header>\n",
        prose(text(&document["info"], "description")),
        escape(text(&document["info"]["license"], "name")),
        escape(text(&document["info"]["contact"], "name")),
    ));
    for tag in list(&document["tags"]) {
        section(&mut page, document, tag);
    }
    page.push_str("<section><h2 id=\"schemas\">Schemas</h2>\n");
    for (name, schema) in object(&document["components"]["schemas"]) {
        schema::section(&mut page, name, schema);
    }
    page.push_str("</section>\n</main>\n</body>\n</html>\n");
    page
}

fn contents(page: &mut String, document: &Value) {
    for tag in list(&document["tags"]) {
        let name = escape(text(tag, "name"));
        page.push_str(&format!("<a href=\"#tag-{name}\">{name}</a>\n<ul>\n"));
        for found in operation::all(document).filter(|found| found.has_tag(text(tag, "name"))) {
            let id = escape(found.id());
            page.push_str(&format!("<li><a href=\"#{id}\">{id}</a></li>\n"));
        }
        page.push_str("</ul>\n");
    }
    page.push_str("<a href=\"#schemas\">schemas</a>\n");
}

fn section(page: &mut String, document: &Value, tag: &Value) {
    let name = escape(text(tag, "name"));
    let description = prose(text(tag, "description"));
    page.push_str(&format!(
        "<section><h2 id=\"tag-{name}\">{name}</h2>\n{description}\n"
    ));
    for found in operation::all(document).filter(|found| found.has_tag(text(tag, "name"))) {
        found.write(page, document);
    }
    page.push_str("</section>\n");
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn object(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, value)| (name.as_str(), value))
}

/// What a `$ref` points at, or the value itself.
fn resolve<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    let pointer = value["$ref"]
        .as_str()
        .and_then(|reference| reference.strip_prefix('#'));
    pointer
        .and_then(|pointer| document.pointer(pointer))
        .unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_shows_every_operation_and_every_schema_and_loads_nothing() {
        let document = serde_json::to_value(openapi::document()).unwrap();
        for found in operation::all(&document) {
            assert!(
                page().contains(&format!("<article id=\"{}\">", found.id())),
                "{}",
                found.id()
            );
        }
        for (name, _) in object(&document["components"]["schemas"]) {
            assert!(
                page().contains(&format!("<h3 id=\"schema-{name}\">")),
                "{name}"
            );
        }
        for outside in [
            "src=", "<script", "<link", "@import", "url(", "http://", "https://",
        ] {
            let found = page()
                .find(outside)
                .map(|at| &page()[at.saturating_sub(60)..at + 60]);
            let harmless = found.is_some_and(|text| text.contains("<code>"));
            assert!(found.is_none() || harmless, "{outside}: {found:?}");
        }
    }

    #[test]
    fn links_within_the_page_lead_somewhere() {
        for part in page().split("href=\"#").skip(1) {
            let target = part.split('"').next().unwrap();
            assert!(page().contains(&format!("id=\"{target}\"")), "{target}");
        }
    }
}
