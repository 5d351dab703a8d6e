//! A core that makes nothing: it keeps networks and peers in memory and goes through phases as told.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures::StreamExt;
use serde_json::{Value, json};

pub struct Behaviour {
    /// How often something is asked for until it has the phase at the end.
    pub polls_until_ready: usize,
    pub phase_at_the_end: &'static str,
    /// How long each question is held back.
    pub hold: Duration,
    /// Whether creations are refused.
    pub refuse: bool,
    /// Whether creations are never answered.
    pub hang: bool,
    pub polls: usize,
    pub bodies: Vec<String>,
    pub seen: BTreeSet<String>,
    /// What the project may have.
    pub quota: Value,
    things: BTreeMap<(String, String), Value>,
}

type Shared = Arc<Mutex<Behaviour>>;

pub struct Core {
    state: Shared,
    address: SocketAddr,
    _runtime: tokio::runtime::Runtime,
}

impl Core {
    pub fn start() -> Self {
        let state = Arc::new(Mutex::new(Behaviour {
            polls_until_ready: 0,
            phase_at_the_end: "ready",
            hold: Duration::ZERO,
            refuse: false,
            hang: false,
            polls: 0,
            bodies: Vec::new(),
            seen: BTreeSet::new(),
            quota: json!({"memory": "2GiB", "peers": 4}),
            things: BTreeMap::new(),
        }));
        let router = Router::new()
            .route(
                "/v1/site",
                get(async || axum::Json(json!({"name": "home", "version": "0", "caller": "me"}))),
            )
            .route("/v1/components/gw", get(async || axum::Json(gateway())))
            .route("/v1/projects/{project}/jobs", get(jobs))
            .route("/v1/projects/{project}/events", get(events))
            .route("/v1/projects/{project}/quota", get(quota).put(set_quota))
            .route("/v1/projects/{project}/{kind}", get(list).post(create))
            .route(
                "/v1/projects/{project}/{kind}/{name}",
                get(read).delete(delete),
            )
            .layer(axum::middleware::from_fn_with_state(
                Arc::clone(&state),
                note,
            ))
            .with_state(Arc::clone(&state));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))
            .unwrap();
        let address = listener.local_addr().unwrap();
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self {
            state,
            address,
            _runtime: runtime,
        }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn set(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.state.lock().unwrap());
    }

    /// What an instance's console says of its SSH server.
    pub fn set_host_key(&self, instance: &str, key: &str) {
        self.set(|state| {
            let at = ("instances".to_owned(), instance.to_owned());
            state.things.get_mut(&at).unwrap()["status"]["observed"]["ssh"] =
                json!({"host_keys": [key], "user": "debian"});
        });
    }

    pub fn get<T>(&self, look: impl FnOnce(&Behaviour) -> T) -> T {
        look(&self.state.lock().unwrap())
    }
}

async fn note(
    State(state): State<Shared>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    request: axum::extract::Request,
    next: axum::middleware::Next,
) -> Response {
    let who = headers
        .get("authorization")
        .and_then(|value| value.to_str().ok())
        .unwrap_or("-");
    state
        .lock()
        .unwrap()
        .seen
        .insert(format!("{who} {method} {}", uri.path()));
    next.run(request).await
}

fn problem(status: u16, code: &str, field: Option<&str>, detail: &str) -> Response {
    let body = json!({
        "type": "about:blank", "title": "…", "status": status, "code": code, "field": field, "detail": detail,
    });
    (StatusCode::from_u16(status).unwrap(), axum::Json(body)).into_response()
}

async fn create(
    State(state): State<Shared>,
    Path((_, kind)): Path<(String, String)>,
    body: Bytes,
) -> Response {
    let text = String::from_utf8(body.to_vec()).unwrap();
    let request: Value = serde_json::from_str(&text).unwrap();
    let hang = {
        let mut state = state.lock().unwrap();
        state.bodies.push(text);
        if state.refuse {
            return problem(
                422,
                "invalid",
                Some("spec.networks"),
                "there is no network lab",
            );
        }
        state.hang
    };
    if hang {
        return std::future::pending().await;
    }
    let name = request["name"].as_str().unwrap().to_owned();
    let mut state = state.lock().unwrap();
    let thing = make(&kind, &name, &request["spec"]);
    state.polls = 0;
    state.things.insert((kind, name), thing.clone());
    (StatusCode::CREATED, axum::Json(thing)).into_response()
}

async fn read(
    State(state): State<Shared>,
    Path((_, kind, name)): Path<(String, String, String)>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    let hold = state.lock().unwrap().hold;
    if query.contains_key("wait") {
        tokio::time::sleep(hold).await;
    }
    let mut state = state.lock().unwrap();
    state.polls += 1;
    let ended = state.polls > state.polls_until_ready;
    let phase = if ended {
        state.phase_at_the_end
    } else {
        "pending"
    };
    match state.things.get_mut(&(kind, name)) {
        Some(thing) => {
            thing["status"]["phase"] = json!(phase);
            axum::Json(thing.clone()).into_response()
        }
        None => problem(404, "not_found", None, "there is no such thing"),
    }
}

async fn list(State(state): State<Shared>, Path((_, kind)): Path<(String, String)>) -> Response {
    let state = state.lock().unwrap();
    let rows = state
        .things
        .iter()
        .filter(|((of, _), _)| *of == kind)
        .map(|(_, thing)| {
            let mut row = thing.clone();
            for (key, value) in thing["status"].as_object().unwrap() {
                row[key] = value.clone();
            }
            row["egress"] = json!(false);
            row
        });
    axum::Json(json!({"items": rows.collect::<Vec<_>>()})).into_response()
}

async fn delete(
    State(state): State<Shared>,
    Path((_, kind, name)): Path<(String, String, String)>,
) -> Response {
    match state.lock().unwrap().things.remove(&(kind, name)) {
        Some(thing) => axum::Json(thing).into_response(),
        None => problem(404, "not_found", None, "there is no such thing"),
    }
}

async fn quota(State(state): State<Shared>, Path(project): Path<String>) -> axum::Json<Value> {
    axum::Json(json!({
        "id": ID, "project": project, "generation": 1, "updated_at": TIME,
        "spec": state.lock().unwrap().quota,
        "status": {"used": {
            "instances": 3, "cpus": 6, "memory": "1536MiB", "disk": "0B", "networks": 1, "peers": 5,
            "images": "20MiB", "tokens": 0,
        }},
    }))
}

async fn set_quota(state: State<Shared>, project: Path<String>, body: Bytes) -> axum::Json<Value> {
    let mut asked: Value = serde_json::from_slice(&body).unwrap();
    state.lock().unwrap().quota = asked["spec"].take();
    quota(state, project).await
}

async fn jobs() -> axum::Json<Value> {
    axum::Json(json!({"items": [{
        "id": "018f0000-0000-7000-8000-0000000000aa", "verb": "ensure", "placement_kind": "network",
        "resource_id": ID, "resource_name": "lab", "component": "host1-linux", "generation": 1,
        "state": "leased", "attempts": 1, "step": "making the bridge", "amount": [1, 2],
        "created_at": TIME,
    }]}))
}

/// One event, and then nothing for ever.
async fn events() -> Response {
    let event = json!({
        "id": 1, "time": TIME, "resource_kind": "network", "resource_id": ID, "resource_name": "lab",
        "what": "ready", "message": "",
    });
    let first =
        futures::stream::iter([Ok::<_, std::io::Error>(format!("id: 1\ndata: {event}\n\n"))]);
    let body = axum::body::Body::from_stream(first.chain(futures::stream::pending()));
    ([("content-type", "text/event-stream")], body).into_response()
}

pub const ID: &str = "018f0000-0000-7000-8000-000000000001";
const TIME: &str = "2026-01-01T00:00:00Z";

/// A router that has not made all that it is to make.
fn gateway() -> Value {
    let difference = |name: &str, wanted: bool, message: &str| {
        json!({
            "kind": "network", "project": "default", "name": name, "network": name, "wanted": wanted,
            "reason": "Refused", "message": message, "since": TIME,
        })
    };
    json!({
        "id": ID, "name": "gw", "generation": 1, "created_at": TIME, "updated_at": TIME, "kind": "openwrt",
        "spec": {}, "connected": true, "revoked": false,
        "facts": {
            "hostname": "gw", "segmentations": ["vlan", "vxlan"], "trunk": {"device": "eth1", "mtu": 1500},
        },
        "used": {"cpus": 0, "memory": 0, "instances": 0, "networks": 2},
        "differing": {
            "total": 150,
            "first": [
                difference("lab", true, "VLAN 100 of eth1 is there already as printers"),
                difference("old", false, "ubus does not answer"),
            ],
        },
    })
}

fn make(kind: &str, name: &str, spec: &Value) -> Value {
    // RFC 7748, section 6.1.
    let endpoint = json!({
        "address": "192.0.2.1:51820", "port": 51820,
        "public_key": "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08=",
    });
    let condition = json!({
        "kind": "Network", "holds": false, "reason": "Waiting",
        "message": "there is no router with a free port", "since": TIME,
    });
    let mut status =
        json!({"phase": "pending", "observed_generation": 0, "conditions": [condition]});
    let more = match kind {
        "networks" => json!({
            "ipv4": "10.96.1.0/24", "ipv6": "fd5a::/64", "router_ipv4": "10.96.1.1", "router_ipv6": "fd5a::1",
            "domain": "lab.home", "mtu": 1420, "router": "host1-linux", "endpoint": endpoint,
            "segment": {"kind": "vlan", "number": 100, "trunk": "eth1"},
        }),
        "instances" => json!({
            "host": "host1-libvirt", "image": "0".repeat(64),
            "format": {"family": "linux"}, "command_line": "",
            "interfaces": [{
                "network": "lab", "mac": "52:54:00:00:00:01", "ipv4": "10.96.1.5", "ipv6": "fd5a::5",
                "dns_name": "web.lab.default.home",
            }],
            "observed": {
                "state": "running", "reason": "", "since": TIME, "restarts": 0, "needs_restart": false,
                "accelerator": "qemu",
            },
        }),
        "ssh-keys" => json!({}),
        _ => json!({
            "ipv4": "10.127.0.2", "ipv6": "fd5a:ff::2",
            "networks": [{
                "network": "lab", "ipv4": "10.96.1.0/24", "ipv6": "fd5a::/64", "mtu": 1420, "domain": "lab.home",
                "dns": "10.96.1.1", "endpoint": endpoint, "ready": true, "asked_at": TIME,
                "applied_at": "2026-01-01T00:00:00.017Z",
            }],
        }),
    };
    for (key, value) in more.as_object().unwrap() {
        status[key] = value.clone();
    }
    json!({
        "fingerprint": "SHA256:x",
        "id": ID, "project": "default", "name": name, "generation": 1, "created_at": TIME,
        "updated_at": TIME, "spec": spec, "status": status,
    })
}
