use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;
use crate::samples::web;

const NOW: SystemTime = SystemTime::UNIX_EPOCH;
const USER_DATA: &str = "/latest/user-data";

/// The status and the text that a request gets; headers are `name: value`.
fn ask(
    tokens: &Tokens,
    access: MetadataAccess,
    (method, path): (&str, &str),
    headers: &[(&str, &str)],
) -> (u16, String) {
    let mut told = web();
    told.guest.metadata = access;
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = answer(tokens, &told, &request.body(()).unwrap(), NOW);
    let status = answer.status().as_u16();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let body = runtime.block_on(http_body_util::BodyExt::collect(answer.into_body()));
    (
        status,
        String::from_utf8(body.unwrap().to_bytes().to_vec()).unwrap(),
    )
}

#[test]
fn user_data_is_given_to_who_has_a_token() {
    let tokens = Tokens::new(&mut rand::rng());
    let required = MetadataAccess::TokenRequired;
    let (status, token) = ask(
        &tokens,
        required,
        ("PUT", paths::TOKEN),
        &[(TOKEN_TIME, "60")],
    );
    assert_eq!(status, 200);
    let (status, text) = ask(&tokens, required, ("GET", USER_DATA), &[(TOKEN, &token)]);
    assert_eq!(
        (status, text.as_str()),
        (200, "#cloud-config\npackages: [nginx]\n")
    );
    let check = |request, headers: &[(&str, &str)], expect| {
        assert_eq!(
            ask(&tokens, required, request, headers).0,
            expect,
            "{request:?} {headers:?}"
        );
    };
    check(("GET", USER_DATA), &[], 401);
    check(("GET", USER_DATA), &[(TOKEN, "x")], 401);
    check(("GET", "/nocloud/user-data"), &[], 401);
    check(("GET", "/latest/meta-data/instance-id"), &[], 401);
    check(("GET", "/no/such/path"), &[], 401);
    check(("GET", "/no/such/path"), &[(TOKEN, &token)], 404);
    check(("GET", paths::KEY_VALUES), &[], 200);
    check(("GET", paths::TOKEN), &[(TOKEN_TIME, "60")], 405);
    check(("POST", USER_DATA), &[(TOKEN, &token)], 405);
    for wrong in ["", "0", "21601", "-1", "soon"] {
        check(("PUT", paths::TOKEN), &[(TOKEN_TIME, wrong)], 400);
    }
    check(("PUT", paths::TOKEN), &[], 400);
}

#[test]
fn a_guest_may_do_without_tokens_or_without_the_service() {
    let tokens = Tokens::new(&mut rand::rng());
    let check = |access, path, headers: &[(&str, &str)], expect| {
        assert_eq!(ask(&tokens, access, ("GET", path), headers).0, expect);
    };
    check(MetadataAccess::TokenOptional, USER_DATA, &[], 200);
    check(
        MetadataAccess::TokenOptional,
        USER_DATA,
        &[(TOKEN, "stale")],
        401,
    );
    check(MetadataAccess::Off, USER_DATA, &[], 403);
    check(MetadataAccess::Off, paths::KEY_VALUES, &[], 403);
}

#[test]
fn what_somebody_else_had_a_guest_ask_is_refused() {
    let tokens = Tokens::new(&mut rand::rng());
    let check = |request: (&str, &str), headers: &[(&str, &str)], expect| {
        let got = ask(&tokens, MetadataAccess::TokenOptional, request, headers);
        assert_eq!(got.0, expect, "{request:?} {headers:?}");
    };
    check(("GET", USER_DATA), &[("x-forwarded-for", "10.0.0.1")], 403);
    let forwarded = [("x-forwarded-for", "10.0.0.1"), (TOKEN_TIME, "60")];
    check(("PUT", paths::TOKEN), &forwarded, 403);
    check(("GET", paths::KEY_VALUES), &[("x-forwarded-for", "")], 403);
    check(("GET", USER_DATA), &[("host", "evil.example")], 403);
    check(
        ("GET", USER_DATA),
        &[("host", "169.254.169.254"), ("host", "evil.example")],
        403,
    );
    check(("GET", "http://evil.example/latest/user-data"), &[], 403);
    check(("GET", USER_DATA), &[("host", "169.254.169.254")], 200);
    check(("GET", "http://169.254.169.254/latest/user-data"), &[], 200);
}

/// One instance at loopback's address; nobody anywhere else.
struct One;

impl Callers for One {
    fn at(&self, network: NetworkId, address: Ipv4Addr) -> Option<InstancePlacement> {
        (network == NetworkId(uuid::Uuid::nil()) && address == Ipv4Addr::LOCALHOST).then(web)
    }
}

async fn serve(network: NetworkId) -> std::net::SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(Arc::new(Service::new(Arc::new(One))).run(network, listener));
    address
}

async fn talk(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may be closed before all of it is sent.
    let _ = stream.write_all(request.as_bytes()).await;
    let mut bytes = Vec::new();
    let _ = stream.read_to_end(&mut bytes).await;
    String::from_utf8_lossy(&bytes).into_owned()
}

#[tokio::test]
async fn both_versions_of_http_are_spoken_and_strangers_are_not_spoken_with() {
    let address = serve(NetworkId(uuid::Uuid::nil())).await;
    let old = talk(address, "GET /rhyzome/v1/key-values HTTP/1.0\r\n\r\n").await;
    assert!(
        old.starts_with("HTTP/1.0 200 OK\r\n") && old.contains("\nipv4=10.1.0.2\n"),
        "{old}"
    );
    let close = "Host: 169.254.169.254\r\nConnection: close\r\n\r\n";
    let new = talk(
        address,
        &format!("GET /rhyzome/v1/key-values HTTP/1.1\r\n{close}"),
    )
    .await;
    assert!(new.starts_with("HTTP/1.1 200 OK\r\n"), "{new}");
    let long = format!("GET /{} HTTP/1.1\r\n{close}", "x".repeat(20_000));
    let refused = talk(address, &long).await;
    assert!(
        refused.is_empty() || refused.starts_with("HTTP/1.1 4"),
        "{refused}"
    );
    let elsewhere = serve(NetworkId(uuid::Uuid::max())).await;
    assert_eq!(talk(elsewhere, "GET / HTTP/1.0\r\n\r\n").await, "");
}

#[tokio::test]
async fn an_instance_has_no_more_than_so_many_connections() {
    let address = serve(NetworkId(uuid::Uuid::nil())).await;
    let request = "GET /rhyzome/v1/key-values HTTP/1.1\r\n\r\n";
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        // Answered, so that it counts.
        assert!(stream.read(&mut [0; 2048]).await.unwrap() > 0);
        open.push(stream);
    }
    assert_eq!(talk(address, request).await, "");
    drop(open);
    let again = async {
        while talk(address, "GET /rhyzome/v1/key-values HTTP/1.0\r\n\r\n")
            .await
            .is_empty()
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), again)
        .await
        .unwrap();
}
