//! The API's definition (OpenAPI 3.1), out of the handlers themselves.
//!
//! The handlers say what is particular to them; what holds everywhere (errors, headers, names in
//! paths) is added in [`manners`].

mod manners;

use std::collections::HashMap;
use std::sync::LazyLock;

use axum::http::Method;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Components, ContactBuilder, Info, InfoBuilder, License, OpenApi, OpenApiBuilder,
    SecurityRequirement, Tag,
};
use utoipa_axum::router::OpenApiRouter;

use crate::context::Api;
use crate::{operational, v1};

/// What the security scheme is called in the document.
const TOKEN: &str = "token";

static DOCUMENT: LazyLock<OpenApi> = LazyLock::new(build);

static OPERATIONS: LazyLock<HashMap<(Method, String), String>> = LazyLock::new(|| {
    let mut operations = HashMap::new();
    for (path, item) in &DOCUMENT.paths.paths {
        for (method, operation) in manners::operations(&mut item.clone()) {
            let id = operation.operation_id.clone().unwrap_or_default();
            operations.insert((method, path.clone()), id);
        }
    }
    operations
});

/// The whole definition.
pub fn document() -> &'static OpenApi {
    &DOCUMENT
}

/// As the file `openapi.json` has it.
pub fn text() -> String {
    let mut text = serde_json::to_string_pretty(document()).expect("the definition is plain data");
    text.push('\n');
    text
}

/// The id of the operation at a route.
pub fn operation(method: &Method, route: &str) -> Option<&'static str> {
    OPERATIONS
        .get(&(method.clone(), route.to_owned()))
        .map(String::as_str)
}

fn build() -> OpenApi {
    let (_, routed) = OpenApiRouter::<Api>::new()
        .merge(operational::open())
        .merge(v1::open())
        .merge(operational::closed())
        .merge(v1::router())
        .split_for_parts();
    let mut document = OpenApiBuilder::new()
        .info(info())
        .tags(Some(tags()))
        .security(Some([SecurityRequirement::new(
            TOKEN,
            Vec::<String>::new(),
        )]))
        .components(Some(Components::new()))
        .build();
    document.merge(routed);
    let components = document.components.get_or_insert_default();
    let scheme = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("rz_…")
        .description(Some(
            "An API token. The first start of the core writes the administrator's into a file.",
        ))
        .build();
    components.add_security_scheme(TOKEN, SecurityScheme::Http(scheme));
    manners::complete(&mut document);
    document
}

fn info() -> Info {
    InfoBuilder::new()
        .title("Rhyzome")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(include_str!("openapi/manners.md").trim_end()))
        .contact(Some(
            ContactBuilder::new()
                .name(Some(
                    "The Rhyzome contributors (see CONTRIBUTING.md in the source)",
                ))
                .build(),
        ))
        .license(Some(license()))
        .build()
}

fn license() -> License {
    let mut license = License::new("Creative Commons Attribution-ShareAlike 4.0 International");
    license.identifier = Some("CC-BY-SA-4.0".to_owned());
    license
}

fn tags() -> Vec<Tag> {
    let tag = |name: &str, description: &str| {
        let mut tag = Tag::new(name);
        tag.description = Some(description.to_owned());
        tag
    };
    vec![
        tag(
            "instances",
            "VMs and unikernels, which are the same thing here.",
        ),
        tag(
            "networks",
            "Isolated subnets, each with a WireGuard endpoint of its own.",
        ),
        tag("peers", "Devices that reach networks from anywhere."),
        tag(
            "images",
            "What instances boot: bytes by their digest, and names for them.",
        ),
        tag("ssh-keys", "SSH public keys for instances' users."),
        tag(
            "tokens",
            "API tokens for programs, of a project and of the site.",
        ),
        tag(
            "projects",
            "The tenants: nothing of one can be seen from another.",
        ),
        tag(
            "people",
            "Who logs in, what they are in projects, and what is gone when they leave.",
        ),
        tag(
            "components",
            "The programs on hypervisors and routers that make things real.",
        ),
        tag(
            "jobs",
            "What components were told to do, and how far they are.",
        ),
        tag(
            "events",
            "What happened, in the order in which it was committed.",
        ),
        tag(
            "audit",
            "Who did what and what was refused to whom, in chains that show when something was altered.",
        ),
        tag("site", "The site itself."),
        tag("operation", "For those who run the core."),
    ]
}
