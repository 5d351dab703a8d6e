//! What every operation has in common, added to the definition: problems, headers, names in paths.

use axum::http::Method;
use rhyzome_wire::Problem;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::response::ResponseBuilder;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{
    Components, ContentBuilder, Header, OpenApi, PathItem, Ref, RefOr, Required, Response, Schema,
};
use utoipa::{PartialSchema, ToSchema};

/// Reusable problems: name, status, when.
const PROBLEMS: [(&str, &str, &str); 13] = [
    ("Malformed", "400", "The body is no JSON."),
    (
        "Unauthenticated",
        "401",
        "The token is missing or not valid.",
    ),
    ("Forbidden", "403", "The caller may see this but not do it."),
    (
        "NotFound",
        "404",
        "It is not there, or the caller may not know of it.",
    ),
    ("TooSlow", "408", "The body did not arrive in time."),
    (
        "Conflict",
        "409",
        "`name_taken`, `in_use`, `wrong_state`, `no_capacity`, `quota_exceeded`, `secret_already_shown` or `in_progress`.",
    ),
    (
        "LengthRequired",
        "411",
        "The request has no Content-Length.",
    ),
    (
        "Changed",
        "412",
        "Somebody else changed it: its ETag is not the one in If-Match.",
    ),
    ("TooLarge", "413", "The body is larger than 1 MiB."),
    (
        "UnsupportedMediaType",
        "415",
        "The body is not declared as application/json.",
    ),
    (
        "Invalid",
        "422",
        "`invalid`, `unknown_field`, `unsupported` or `idempotency_key_reused`; `field` names what is wrong.",
    ),
    (
        "TooMany",
        "429",
        "`too_many_requests` or `too_many_open`; nothing was done. Try again after as many seconds as `Retry-After` says.",
    ),
    (
        "Unavailable",
        "503",
        "The core or a component cannot answer now; try again.",
    ),
];

const INTERNAL: (&str, &str, &str) = (
    "Internal",
    "500",
    "The core failed; its log says why under the request's id.",
);

/// Placeholders in paths, and what they stand for.
const PLACEHOLDERS: [(&str, &str); 5] = [
    (
        "project",
        "The project's name; `default` exists from the start.",
    ),
    ("name", "The resource's name."),
    (
        "digest",
        "The bytes' SHA-256, as 64 hexadecimal digits in lower case.",
    ),
    ("tag", "The tag, as in `debian:12`."),
    ("id", "The job's id."),
];

/// What is answered with an ETag.
const TAGGED: [&str; 9] = [
    "Component",
    "Image",
    "ImageTag",
    "Instance",
    "Network",
    "Peer",
    "Project",
    "Quota",
    "SshKey",
];

/// Adds all of it to a document.
pub fn complete(document: &mut OpenApi) {
    let components = document.components.get_or_insert_default();
    add_components(components);
    for (path, item) in &mut document.paths.paths {
        for (method, operation) in operations(item) {
            add_placeholders(operation, path);
            add_headers(operation, &method);
            add_problems(operation, &method, path);
            describe(operation);
            leave_bytes(operation);
        }
    }
}

/// All operations of a path.
pub fn operations(item: &mut PathItem) -> Vec<(Method, &mut Operation)> {
    [
        (Method::GET, &mut item.get),
        (Method::HEAD, &mut item.head),
        (Method::POST, &mut item.post),
        (Method::PUT, &mut item.put),
        (Method::PATCH, &mut item.patch),
        (Method::DELETE, &mut item.delete),
    ]
    .into_iter()
    .filter_map(|(method, operation)| Some((method, operation.as_mut()?)))
    .collect()
}

fn add_components(components: &mut Components) {
    let mut schemas = vec![(Problem::name().into_owned(), Problem::schema())];
    Problem::schemas(&mut schemas);
    components.schemas.extend(schemas);
    for (name, _, description) in PROBLEMS.into_iter().chain([INTERNAL]) {
        let content = ContentBuilder::new()
            .schema(Some(Ref::from_schema_name("Problem")))
            .build();
        let mut response = ResponseBuilder::new()
            .description(description)
            .content("application/problem+json", content)
            .build();
        add_header(&mut response, "X-Request-Id");
        if name == "TooMany" {
            add_header(&mut response, "Retry-After");
        }
        components
            .responses
            .insert(name.to_owned(), response.into());
    }
    let header = |description: &str| {
        HeaderBuilder::new()
            .schema(Some(string()))
            .description(Some(description))
            .build()
    };
    let headers: [(&str, Header); 4] = [
        (
            "Retry-After",
            header("How many seconds to pause before the next request."),
        ),
        (
            "X-Request-Id",
            header("Finds the request in the core's log."),
        ),
        ("ETag", header("The resource's state, for If-Match.")),
        (
            "Idempotency-Replayed",
            header("`true` where the answer is an earlier request's."),
        ),
    ];
    for (name, header) in headers {
        components.headers.insert(name.to_owned(), header.into());
    }
    components
        .parameters
        .insert("IdempotencyKey".to_owned(), idempotency_key().into());
    components
        .parameters
        .insert("IfMatch".to_owned(), if_match().into());
}

fn string() -> Schema {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .build()
        .into()
}

fn idempotency_key() -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(128));
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "Makes the request safe to repeat: 1 to 128 visible ASCII characters.",
        ))
        .schema(Some(Schema::from(schema.build())))
        .build()
}

fn if_match() -> Parameter {
    ParameterBuilder::new()
        .name("If-Match")
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some("The ETag of the state that the caller has seen."))
        .schema(Some(string()))
        .build()
}

fn add_placeholders(operation: &mut Operation, path: &str) {
    for (name, description) in PLACEHOLDERS {
        if !path.contains(&format!("{{{name}}}")) {
            continue;
        }
        let parameters = operation.parameters.get_or_insert_default();
        let known = parameters.iter_mut().find_map(|parameter| match parameter {
            RefOr::T(parameter) if parameter.name == name => Some(parameter),
            RefOr::T(_) | RefOr::Ref(_) => None,
        });
        if let Some(parameter) = known {
            parameter.description = Some(description.to_owned());
            continue;
        }
        let parameter = ParameterBuilder::new()
            .name(name)
            .parameter_in(ParameterIn::Path)
            .required(Required::True)
            .description(Some(description))
            .schema(Some(string()))
            .build();
        parameters.insert(0, parameter.into());
    }
}

fn add_headers(operation: &mut Operation, method: &Method) {
    let id = operation.operation_id.as_deref();
    let reference = match *method {
        Method::POST => Some("IdempotencyKey"),
        Method::PUT | Method::DELETE if id != Some("blob_upload") => Some("IfMatch"),
        _ => None,
    };
    if let Some(name) = reference {
        let reference = Ref::new(format!("#/components/parameters/{name}"));
        operation
            .parameters
            .get_or_insert_default()
            .push(RefOr::Ref(reference));
    }
    for response in operation.responses.responses.values_mut() {
        let RefOr::T(response) = response else {
            continue;
        };
        add_header(response, "X-Request-Id");
        if is_tagged(response) {
            add_header(response, "ETag");
        }
        if *method == Method::POST {
            add_header(response, "Idempotency-Replayed");
        }
    }
}

fn add_header(response: &mut Response, name: &str) {
    let reference = Ref::new(format!("#/components/headers/{name}"));
    response
        .headers
        .insert(name.to_owned(), RefOr::Ref(reference));
}

fn is_tagged(response: &Response) -> bool {
    let Some(RefOr::T(content)) = response.content.get("application/json") else {
        return false;
    };
    let Some(RefOr::Ref(schema)) = &content.schema else {
        return false;
    };
    TAGGED
        .iter()
        .any(|name| schema.ref_location == format!("#/components/schemas/{name}"))
}

fn add_problems(operation: &mut Operation, method: &Method, path: &str) {
    // Empty security: an operation for everybody. Without a body it refuses nobody but who asks too often, or with parameters that
    // it does not know.
    let open = operation.security.is_some() && operation.request_body.is_none();
    let knows_parameters = path.starts_with("/v1/") || path == "/join";
    let id = operation.operation_id.clone();
    let is_upload = id.as_deref() == Some("blob_upload");
    let writes = *method != Method::GET && *method != Method::HEAD;
    // A host that has not made an instance yet has no console of it.
    let asks_host = id
        .as_deref()
        .is_some_and(|id| id.starts_with("instance_console"));
    let takes_bytes = is_upload || id.as_deref() == Some("upload_append");
    let has_json = operation.request_body.is_some() && !takes_bytes;
    for (name, status, _) in PROBLEMS.into_iter().chain([INTERNAL]) {
        let applies = match status {
            "429" => true,
            "422" if open => knows_parameters,
            _ if open => false,
            "404" if id.as_deref() == Some("invitation_redeem") => true,
            "400" | "408" | "413" | "415" => has_json,
            "404" => path.contains('{'),
            "409" => writes || asks_host,
            "411" => is_upload,
            "412" => matches!(*method, Method::PUT | Method::DELETE) && !is_upload,
            _ => true,
        };
        if applies {
            let reference = Ref::new(format!("#/components/responses/{name}"));
            operation
                .responses
                .responses
                .insert(status.to_owned(), RefOr::Ref(reference));
        }
    }
}

/// Answers that need no more words than their status has.
fn describe(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        let RefOr::T(response) = response else {
            continue;
        };
        if response.description.is_empty() {
            let text = match status.as_str() {
                "201" => "It is created.",
                "202" => "It is under way.",
                "204" => "It is gone.",
                _ => "Done.",
            };
            response.description = text.to_owned();
        }
    }
}

/// Raw bytes have no schema (OpenAPI 3.1, "Considerations for File Uploads").
fn leave_bytes(operation: &mut Operation) {
    let Some(RefOr::T(body)) = &mut operation.request_body else {
        return;
    };
    if let Some(RefOr::T(content)) = body.content.get_mut("application/octet-stream") {
        content.schema = None;
    }
}
