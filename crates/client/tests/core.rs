//! The client against small servers that behave as the contract says, and against some that do not.

#![expect(clippy::unwrap_used, reason = "what the tests share are tests, too")]

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, put};
use axum::{Json, Router};
use rhyzome_client::{Client, ClientOptions, Deleted, Error, Heard, Scope};
use rhyzome_model::{Digest, Name};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server that answers one connection after the other out of a script; none hangs up instead.
struct Scripted {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    async fn start(script: Vec<Option<String>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (log, mut script) = (Arc::clone(&heard), VecDeque::from(script));
        tokio::spawn(async move {
            while let Some(answer) = script.pop_front() {
                let (mut stream, _) = listener.accept().await.unwrap();
                let request = read_request(&mut stream).await;
                log.lock().unwrap().push(request);
                if let Some(answer) = answer {
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            }
        });
        Self { address, heard }
    }

    fn client(&self) -> Client {
        client(self.address)
    }

    fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = header(head, "content-length")
                .and_then(|l| l.parse().ok())
                .unwrap_or(0);
            if body.len() >= length {
                return text;
            }
        }
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await.unwrap();
        if count == 0 {
            return text;
        }
        bytes.extend_from_slice(&piece[..count]);
    }
}

fn header<'a>(request: &'a str, name: &str) -> Option<&'a str> {
    request.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

fn answer(status: &str, more: &str, body: &Value) -> Option<String> {
    let body = body.to_string();
    let length = body.len();
    Some(format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{more}\r\n{body}"
    ))
}

fn client(address: SocketAddr) -> Client {
    Client::new(ClientOptions {
        url: format!("http://{address}"),
        token: Some("rz_test".to_owned()),
        authority_pem: None,
    })
    .unwrap()
}

fn lab(client: &Client) -> Scope {
    client.within(&Name::default_project())
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn project(name: &str) -> Value {
    json!({
        "id": "018f0000-0000-7000-8000-000000000001", "name": name, "generation": 1,
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
    })
}

fn problem(status: u16, code: &str, detail: &str) -> Value {
    json!({"type": "about:blank", "title": "…", "status": status, "code": code, "detail": detail})
}

#[tokio::test]
async fn a_post_whose_answer_got_lost_is_sent_again_with_the_same_key() {
    let server = Scripted::start(vec![
        None,
        answer(
            "503 Service Unavailable",
            "",
            &problem(503, "starting", "soon"),
        ),
        answer("201 Created", "", &project("lab")),
    ])
    .await;
    let created = server
        .client()
        .project()
        .create_named(&name("lab"))
        .await
        .unwrap();
    assert_eq!(created.meta.name, name("lab"));
    let heard = server.heard();
    assert_eq!(heard.len(), 3);
    let keys: Vec<_> = heard
        .iter()
        .map(|r| header(r, "idempotency-key").unwrap())
        .collect();
    assert_eq!(keys, [keys[0]; 3]);
    assert!(
        heard.iter().all(|r| r.ends_with(r#"{"name":"lab"}"#)),
        "{heard:?}"
    );
    assert!(
        heard
            .iter()
            .all(|r| header(r, "authorization") == Some("Bearer rz_test"))
    );
}

#[tokio::test]
async fn who_was_too_fast_asks_again_with_the_same_key_when_the_core_says() {
    let too_fast = || {
        answer(
            "429 Too Many Requests",
            "retry-after: 1\r\n",
            &problem(429, "too_many_requests", "too fast; try again in 1 s"),
        )
    };
    let server =
        Scripted::start(vec![too_fast(), answer("201 Created", "", &project("lab"))]).await;
    let created = server.client().project().create_named(&name("lab")).await;
    assert_eq!(created.unwrap().meta.name, name("lab"));
    let heard = server.heard();
    assert_eq!(
        header(&heard[0], "idempotency-key"),
        header(&heard[1], "idempotency-key")
    );
    // Not for ever: whoever asks is told at last.
    let server = Scripted::start((0..9).map(|_| too_fast()).collect()).await;
    let error = server.client().project().all().await.unwrap_err();
    assert_eq!(error.code(), Some("too_many_requests"));
    assert_eq!(server.heard().len(), 4);
}

#[tokio::test]
async fn who_would_have_to_pause_for_long_is_told_at_once() {
    let server = Scripted::start(vec![
        answer(
            "429 Too Many Requests",
            "retry-after: 300\r\n",
            &problem(429, "too_many_requests", "guessing; try again in 300 s"),
        ),
        answer("201 Created", "", &project("lab")),
    ])
    .await;
    let error = server.client().project().create_named(&name("lab")).await;
    assert_eq!(
        error.unwrap_err().to_string(),
        "guessing; try again in 300 s"
    );
    assert_eq!(server.heard().len(), 1);
}

#[tokio::test]
async fn a_stream_that_is_too_much_now_is_asked_for_again() {
    let server = Scripted::start(vec![
        answer(
            "429 Too Many Requests",
            "retry-after: 1\r\n",
            &problem(429, "too_many_open", "too many streams; try again in 1 s"),
        ),
        None,
    ])
    .await;
    // The second time there is no answer at all.
    let error = server.client().event().follow(None).next().await;
    assert!(error.unwrap_err().is_unreachable());
    assert_eq!(server.heard().len(), 2);
}

#[tokio::test]
async fn two_posts_have_two_keys() {
    let made = || answer("201 Created", "", &project("lab"));
    let server = Scripted::start(vec![made(), made()]).await;
    for _ in 0..2 {
        server
            .client()
            .project()
            .create_named(&name("lab"))
            .await
            .unwrap();
    }
    let heard = server.heard();
    assert_ne!(
        header(&heard[0], "idempotency-key"),
        header(&heard[1], "idempotency-key")
    );
}

#[tokio::test]
async fn a_problem_is_told_as_it_is_and_not_tried_again() {
    let server = Scripted::start(vec![
        answer(
            "409 Conflict",
            "",
            &problem(409, "name_taken", "the project lab exists already"),
        ),
        answer("201 Created", "", &project("lab")),
    ])
    .await;
    let error = server
        .client()
        .project()
        .create_named(&name("lab"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some("name_taken"));
    assert_eq!(error.to_string(), "the project lab exists already");
    assert_eq!(server.heard().len(), 1);
}

#[tokio::test]
async fn what_is_no_core_is_told_apart_from_one() {
    let server = Scripted::start(vec![
        Some("HTTP/1.1 404 Not Found\r\ncontent-length: 8\r\n\r\n\n<h1>no\n".to_owned()),
        answer("200 OK", "", &json!({"name": "here"})),
    ])
    .await;
    let error = server.client().site().get().await.unwrap_err();
    assert!(
        matches!(&error, Error::Foreign { status: 404, excerpt, .. } if excerpt == "<h1>no"),
        "{error:?}"
    );
    let error = server.client().site().get().await.unwrap_err();
    assert!(matches!(error, Error::Answer { .. }), "{error:?}");
}

#[tokio::test]
async fn nobody_there_is_said_so_after_a_few_tries() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = client(address).site().get().await.unwrap_err();
    assert!(matches!(&error, Error::Connect { .. }), "{error:?}");
    assert!(error.is_unreachable());
}

async fn serve(router: Router) -> Client {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    client(address)
}

#[derive(serde::Deserialize)]
struct ListQuery {
    after: Option<String>,
}

#[tokio::test]
async fn all_rows_of_a_list_are_read_page_by_page() {
    let list = |Query(query): Query<ListQuery>| async move {
        Json(match query.after.as_deref() {
            None => json!({"items": [project("a"), project("b")], "next": "b&x=1"}),
            Some("b&x=1") => json!({"items": [], "next": "c"}),
            Some("c") => json!({"items": [project("d")]}),
            Some(_) => unreachable!("a cursor that was not given"),
        })
    };
    let client = serve(Router::new().route("/v1/projects", get(list))).await;
    let names: Vec<String> = client
        .project()
        .all()
        .await
        .unwrap()
        .into_iter()
        .map(|p| p.meta.name.to_string())
        .collect();
    assert_eq!(names, ["a", "b", "d"]);
}

fn key(public_key: &str, generation: u64) -> Value {
    let mut key = project("mine");
    key["generation"] = json!(generation);
    key["spec"] = json!({"public_key": public_key});
    key["fingerprint"] = json!("SHA256:x");
    key
}

#[tokio::test]
async fn an_edit_that_somebody_else_came_before_is_made_again_on_what_is_there_now() {
    type Shared = Arc<Mutex<(u64, String)>>;
    let state: Shared = Arc::new(Mutex::new((1, "a".to_owned())));
    let read = async |State(state): State<Shared>| {
        let mut state = state.lock().unwrap();
        let answer = (
            [("etag", format!("\"{}\"", state.0))],
            Json(key(&state.1, state.0)),
        );
        // Somebody else is quicker, once.
        if state.0 == 1 {
            *state = (2, "b".to_owned());
        }
        answer
    };
    let write = async |State(state): State<Shared>, headers: HeaderMap, Json(body): Json<Value>| {
        let mut state = state.lock().unwrap();
        if headers["if-match"] != format!("\"{}\"", state.0) {
            let gone = problem(412, "changed", "it was changed meanwhile");
            return (StatusCode::PRECONDITION_FAILED, Json(gone));
        }
        *state = (3, body["spec"]["public_key"].as_str().unwrap().to_owned());
        (StatusCode::OK, Json(key(&state.1, state.0)))
    };
    let route = get(read).put(write);
    let router = Router::new()
        .route("/v1/projects/default/ssh-keys/mine", route)
        .with_state(state);
    let client = serve(router).await;
    let change = |key: &rhyzome_model::resource::SshKey| {
        let mut spec = key.spec.clone();
        spec.public_key.push('!');
        spec
    };
    let edited = lab(&client)
        .ssh_key()
        .edit(&name("mine"), change, None)
        .await
        .unwrap();
    assert_eq!(
        (edited.spec.public_key.as_str(), edited.meta.generation),
        ("b!", 3)
    );
}

#[tokio::test]
async fn a_deletion_says_whether_it_is_done() {
    let delete = async |Path(name): Path<String>, Query(query): Query<Value>| {
        assert_eq!(query["wait"], "7s");
        match name.as_str() {
            "gone" => StatusCode::NO_CONTENT.into_response(),
            "slow" => (StatusCode::ACCEPTED, Json(key("k", 2))).into_response(),
            _ => (StatusCode::OK, Json(key("k", 2))).into_response(),
        }
    };
    let route = axum::routing::delete(delete);
    let client = serve(Router::new().route("/v1/projects/default/ssh-keys/{name}", route)).await;
    let keys = lab(&client).ssh_key();
    let wait = Some(Duration::from_secs(7));
    assert!(matches!(
        keys.delete(&name("gone"), None, wait).await,
        Ok(Deleted::Gone(None))
    ));
    assert!(matches!(
        keys.delete(&name("slow"), None, wait).await,
        Ok(Deleted::Deleting(_))
    ));
    assert!(matches!(
        keys.delete(&name("told"), None, wait).await,
        Ok(Deleted::Gone(Some(_)))
    ));
}

#[tokio::test]
async fn an_upload_carries_its_length_and_tells_its_progress() {
    type Shared = Arc<Mutex<Vec<u8>>>;
    let store = Shared::default();
    let upload = async |State(store): State<Shared>, headers: HeaderMap, body: Bytes| {
        assert_eq!(headers["content-length"], body.len().to_string());
        *store.lock().unwrap() = body.to_vec();
        Json(json!({"digest": Digest::of(&body), "size": body.len()}))
    };
    let exists = async |State(store): State<Shared>| match store.lock().unwrap().is_empty() {
        true => StatusCode::NOT_FOUND,
        false => StatusCode::OK,
    };
    let route = put(upload).head(exists);
    let router = Router::new()
        .route("/v1/projects/default/blobs/{digest}", route)
        .with_state(store);
    let client = serve(router).await;
    let bytes = vec![7u8; 300_000];
    let digest = Digest::of(&bytes);
    let blobs = lab(&client).blob();
    assert!(!blobs.exists(&digest).await.unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let source = std::io::Cursor::new(bytes);
    let blob = blobs
        .upload(&digest, 300_000, source, move |sent| {
            log.lock().unwrap().push(sent)
        })
        .await
        .unwrap();
    assert_eq!((blob.digest, blob.size.as_bytes()), (digest, 300_000));
    assert!(blobs.exists(&digest).await.unwrap());
    let seen = seen.lock().unwrap();
    assert!(
        seen.len() > 1 && seen.is_sorted() && seen.last() == Some(&300_000),
        "{seen:?}"
    );
}

fn event(id: i64) -> String {
    let event = json!({
        "id": id, "time": "2026-01-01T00:00:00Z", "resource_kind": "network", "what": "ready",
        "resource_id": "018f0000-0000-7000-8000-000000000001", "resource_name": "lab", "message": "",
    });
    format!("id: {id}\nevent: ready\ndata: {event}\n\n")
}

#[tokio::test]
async fn a_follower_resumes_behind_the_last_event_when_the_connection_breaks() {
    let stream = |events: &str| {
        Some(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n: hi\n\n{events}"
        ))
    };
    let server = Scripted::start(vec![
        stream(&format!("{}{}id: 6\ndata: {{\"id\"", event(4), event(5))),
        None,
        stream(&format!("{}{}", event(5), event(6))),
    ])
    .await;
    let client = server.client();
    let mut follow = client.event().follow(Some(3));
    let (mut ids, mut lost) = (Vec::new(), 0);
    while ids.len() < 3 {
        match tokio::time::timeout(Duration::from_secs(20), follow.next())
            .await
            .unwrap()
            .unwrap()
        {
            Heard::Event(event) => ids.push(event.id),
            Heard::Lost(_) => lost += 1,
        }
    }
    assert_eq!((ids, lost), (vec![4, 5, 6], 1));
    let heard = server.heard();
    let resumed: Vec<_> = heard
        .iter()
        .map(|r| header(r, "last-event-id").unwrap())
        .collect();
    assert_eq!(resumed, ["3", "5", "5"]);
}
