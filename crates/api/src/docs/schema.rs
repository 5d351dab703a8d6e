//! A schema of the definition as a table of its fields.

use serde_json::Value;

use super::html::{escape, inline, prose};
use super::{list, object, text};

/// A named schema.
pub fn section(page: &mut String, name: &str, schema: &Value) {
    let name = escape(name);
    page.push_str(&format!("<article><h3 id=\"schema-{name}\">{name}</h3>\n"));
    page.push_str(&prose(text(schema, "description")));
    body(page, schema);
    page.push_str("</article>\n");
}

fn body(page: &mut String, schema: &Value) {
    let parts = list(&schema["allOf"]);
    if !parts.is_empty() {
        for part in parts.iter().filter(|part| part["$ref"].is_string()) {
            page.push_str(&format!("<p>All fields of {}, and:</p>\n", kind(part)));
        }
        for part in parts.iter().filter(|part| part["$ref"].is_null()) {
            body(page, part);
        }
        return;
    }
    let variants = list(&schema["oneOf"]);
    if !variants.is_empty() {
        for variant in variants {
            page.push_str(&prose(text(variant, "description")));
            body(page, variant);
        }
        return;
    }
    if schema["properties"].is_object() {
        fields(page, schema);
    } else {
        page.push_str(&format!("<p>{}</p>\n", kind(schema)));
    }
}

fn fields(page: &mut String, schema: &Value) {
    let required = list(&schema["required"]);
    page.push_str("<table><thead><tr><th>Field</th><th>Type</th><th></th></tr></thead>\n");
    for (name, field) in object(&schema["properties"]) {
        let optional = if required.iter().any(|value| value == name) {
            ""
        } else {
            "?"
        };
        page.push_str(&format!(
            "<tr><td><code>{}{optional}</code></td><td>{}</td><td>{}</td></tr>\n",
            escape(name),
            kind(field),
            inline(text(field, "description")),
        ));
    }
    page.push_str("</table>\n");
}

/// What a schema is, in a word or a few.
pub fn kind(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = escape(reference.rsplit('/').next().unwrap_or_default());
        return format!("<a href=\"#schema-{name}\">{name}</a>");
    }
    let values = list(&schema["enum"]);
    if !values.is_empty() {
        let words = values.iter().filter_map(Value::as_str);
        let words: Vec<String> = words
            .map(|word| format!("<code>{}</code>", escape(word)))
            .collect();
        return words.join(" | ");
    }
    for several in ["oneOf", "anyOf", "allOf"] {
        let parts = list(&schema[several]);
        if !parts.is_empty() {
            let kinds: Vec<String> = parts.iter().map(kind).collect();
            return kinds.join(if several == "allOf" { " and " } else { " or " });
        }
    }
    simple(schema)
}

fn simple(schema: &Value) -> String {
    let word = match &schema["type"] {
        Value::String(word) => word.clone(),
        Value::Array(words) => {
            let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            words.join(" or ")
        }
        _ => "anything".to_owned(),
    };
    if word.starts_with("array") && schema["items"].is_object() {
        return format!("list of {}", kind(&schema["items"]));
    }
    if word.starts_with("object") && schema["additionalProperties"].is_object() {
        return format!("map to {}", kind(&schema["additionalProperties"]));
    }
    match schema["format"].as_str() {
        Some(format) => format!(
            "{} <span class=\"quiet\">{}</span>",
            escape(&word),
            escape(format)
        ),
        None => escape(&word),
    }
}
