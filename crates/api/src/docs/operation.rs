//! An operation of the definition as an article.

use serde_json::Value;

use super::html::{escape, inline, prose};
use super::schema::kind;
use super::{list, object, resolve, text};

/// The methods that the definition knows, in the order in which they are shown.
const METHODS: [&str; 5] = ["get", "head", "post", "put", "delete"];

/// An operation and where it is.
pub struct Operation<'a> {
    method: &'static str,
    path: &'a str,
    value: &'a Value,
}

/// All operations of a document.
pub fn all(document: &Value) -> impl Iterator<Item = Operation<'_>> {
    object(&document["paths"]).flat_map(|(path, item)| {
        METHODS.into_iter().filter_map(move |method| {
            let value = item.get(method)?;
            Some(Operation {
                method,
                path,
                value,
            })
        })
    })
}

impl Operation<'_> {
    pub fn id(&self) -> &str {
        text(self.value, "operationId")
    }

    pub fn has_tag(&self, tag: &str) -> bool {
        list(&self.value["tags"]).iter().any(|value| value == tag)
    }

    pub fn write(&self, page: &mut String, document: &Value) {
        let Self {
            method,
            path,
            value,
        } = self;
        let id = escape(self.id());
        let upper = method.to_uppercase();
        page.push_str(&format!(
            "<article id=\"{id}\">\n<h3><a href=\"#{id}\">{id}</a></h3>\n\
             <p class=\"route\"><b class=\"{method}\">{upper}</b> <code>{}</code></p>\n",
            escape(path).replace('/', "/<wbr>")
        ));
        page.push_str(&prose(text(value, "summary")));
        page.push_str(&prose(text(value, "description")));
        self.parameters(page, document);
        self.body(page);
        self.responses(page, document);
        page.push_str("</article>\n");
    }

    fn parameters(&self, page: &mut String, document: &Value) {
        let parameters = list(&self.value["parameters"]);
        if parameters.is_empty() {
            return;
        }
        page.push_str(
            "<table><thead><tr><th>Parameter</th><th>In</th><th>Type</th><th></th></tr></thead>\n",
        );
        for parameter in parameters {
            let parameter = resolve(document, parameter);
            page.push_str(&format!(
                "<tr><td><code>{}</code></td><td>{}</td><td>{}</td><td>{}</td></tr>\n",
                escape(text(parameter, "name")),
                escape(text(parameter, "in")),
                kind(&parameter["schema"]),
                inline(text(parameter, "description")),
            ));
        }
        page.push_str("</table>\n");
    }

    fn body(&self, page: &mut String) {
        for (media, content) in object(&self.value["requestBody"]["content"]) {
            page.push_str(&format!(
                "<p>Body: {} <span class=\"quiet\">{}</span></p>\n",
                kind(&content["schema"]),
                escape(media)
            ));
        }
    }

    fn responses(&self, page: &mut String, document: &Value) {
        page.push_str("<table><thead><tr><th>Status</th><th>Answer</th><th></th></tr></thead>\n");
        for (status, response) in object(&self.value["responses"]) {
            let response = resolve(document, response);
            let class = if status.starts_with('2') {
                "good"
            } else {
                "bad"
            };
            let contents: Vec<String> = object(&response["content"])
                .map(|(media, content)| {
                    let kind = kind(&content["schema"]);
                    format!("{kind} <span class=\"quiet\">{}</span>", escape(media))
                })
                .collect();
            page.push_str(&format!(
                "<tr><td><b class=\"{class}\">{}</b></td><td>{}</td><td>{}</td></tr>\n",
                escape(status),
                contents.join("<br>"),
                inline(text(response, "description")),
            ));
        }
        page.push_str("</table>\n");
    }
}
