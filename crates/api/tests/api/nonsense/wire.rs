//! Bytes that are no message, below everything that would refuse to send them.

use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::stream::{self, BoxStream, StreamExt as _};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::Frame;
use hyper::{Request, Response};
use rhyzome_pki::Identity;
use rhyzome_pki::client::joining_config;
use rhyzome_proto::pb;
use rhyzome_proto::pb::enrollment_client::EnrollmentClient;
use rhyzome_proto::session::FromCore;
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::body::Body;
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::says;
use crate::raw::{Raw, channel, connect, joined};
use crate::{DEFAULT, Site};

/// What is sent behind what the generated client sends, or in its place; its end ends the request.
enum Sent {
    Behind(UnboundedReceiverStream<Bytes>),
    Instead(Bytes),
}

/// A connection that sends what it was not asked to, in its one request.
struct Tampering {
    channel: Channel,
    sent: Mutex<Option<Sent>>,
}

impl Tampering {
    fn new(channel: Channel, sent: Sent) -> Self {
        let sent = Mutex::new(Some(sent));
        Self { channel, sent }
    }
}

impl tower::Service<Request<Body>> for Tampering {
    type Response = Response<Body>;
    type Error = tonic::transport::Error;
    type Future = <Channel as tower::Service<Request<Body>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Pin::new(&mut self.channel).poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let sent = self.sent.lock().expect("nobody panicked").take();
        let request = request.map(|body| {
            let all: BoxStream<'static, Result<Bytes, Status>> = match sent.expect("one request") {
                Sent::Instead(bytes) => stream::iter([Ok(bytes)]).boxed(),
                Sent::Behind(more) => {
                    let begun = body.into_data_stream();
                    stream::select(begun, more.map(Ok)).boxed()
                }
            };
            Body::new(StreamBody::new(all.map(|data| data.map(Frame::data))))
        });
        self.channel.call(request)
    }
}

/// A message as it is on the wire (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
fn framed(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).expect("a short one");
    [&[0], &length.to_be_bytes()[..], message].concat()
}

/// A field that has a length (<https://protobuf.dev/programming-guides/encoding/>).
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).expect("a short one");
    assert!(number < 16 && length < 128, "one byte each");
    [&[number << 3 | 2, length], content].concat()
}

/// What cannot be read, with what is said of it.
fn unreadable() -> Vec<(&'static str, Vec<u8>, &'static str)> {
    // FromComponent.progress is 3, and the step in it is 3 too.
    let step = |text: &[u8]| framed(&field(3, &field(3, text)));
    let utf8 = "invalid string value: data is not UTF-8 encoded";
    let mut deep = vec![15 << 3 | 3; 5000];
    deep.extend(vec![15 << 3 | 4; 5000]);
    vec![
        ("a byte of no text", step(&[0xff]), utf8),
        ("a surrogate", step(&[0xed, 0xa0, 0x80]), utf8),
        ("a character cut off", step(&[0xe2, 0x82]), utf8),
        (
            "a number where a message is due",
            framed(&[3 << 3, 1]),
            "invalid wire type: Varint (expected LengthDelimited)",
        ),
        (
            "a text where a number is due",
            framed(&field(3, &field(2, b"1"))),
            "invalid wire type: LengthDelimited (expected Varint)",
        ),
        (
            "a wire type that is none",
            framed(&[3 << 3 | 7]),
            "invalid wire type",
        ),
        (
            "a field of the number 0",
            framed(&[2, 0]),
            "invalid tag value: 0",
        ),
        (
            "a number of eleven bytes",
            framed(&[&[15 << 3][..], &[0xff; 10], &[1]].concat()),
            "invalid varint",
        ),
        (
            "a field cut off",
            framed(&[3 << 3 | 2, 9, 1]),
            "buffer underflow",
        ),
        (
            "a field of 32 GiB",
            framed(&[3 << 3 | 2, 0xff, 0xff, 0xff, 0xff, 0x7f]),
            "buffer underflow",
        ),
        (
            "a group in a group in a group",
            framed(&deep),
            "recursion limit",
        ),
        (
            "a group that does not end",
            framed(&[15 << 3 | 3]),
            "invalid varint",
        ),
        (
            "text",
            framed(b"GET / HTTP/1.1\r\n\r\n"),
            "this is no message: ",
        ),
        (
            "compression that nobody agreed on",
            vec![1, 0, 0, 0, 1, 0],
            "compressed-flag",
        ),
        (
            "a frame of a kind that is none",
            vec![9, 0, 0, 0, 0],
            "invalid compression flag: 9",
        ),
        (
            "a message of 4 GiB",
            vec![0, 0xff, 0xff, 0xff, 0xff],
            "a message has at most 16777216 bytes",
        ),
    ]
}

/// Opens a session, and sends bytes in it.
async fn send(core: &str, me: &Identity, bytes: Vec<u8>) -> (Raw, mpsc::UnboundedSender<Bytes>) {
    let address = core.trim_start_matches("https://");
    let (sender, receiver) = mpsc::unbounded_channel();
    let behind = Sent::Behind(UnboundedReceiverStream::new(receiver));
    let tampering = Tampering::new(connect(address, me).await, behind);
    let raw = Raw::open_on(tampering).await;
    sender.send(bytes.into()).expect("the session is open");
    (raw, sender)
}

impl Site {
    /// How often components connected.
    async fn connections(&self) -> usize {
        let admin = self.core.admin();
        let listed = admin.get("/v1/events?follow=false&limit=1000").await.good();
        let events = listed["items"].as_array().expect("items").iter();
        let connected = events.filter(|it| it["resource_kind"] == "component");
        connected.filter(|it| it["what"] == "connected").count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_message_end_their_session_with_what_is_wrong_and_no_other() {
    let site = Site::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let (admin, core) = (site.core.admin(), site.core.grpc_url());
    let me = joined(&admin, &core, "liar", folder.path()).await;
    let before = site.connections().await;
    assert_eq!(before, 2, "the router and the hypervisor");
    let cases = unreadable();
    for (what, bytes, wrong) in &cases {
        let (mut liar, _open) = send(&core, &me, bytes.clone()).await;
        let end = liar.end().await;
        let end = end.unwrap_or_else(|broken| panic!("{what}: no goodbye, but {broken}"));
        let FromCore::Goodbye { message, .. } = &end else {
            panic!("{end:?}")
        };
        assert!(message.contains(wrong), "{what}: {message}");
        let beginning = match message.contains("at most") {
            true => "a message has",
            false => "this is no message: ",
        };
        assert!(says(&end, beginning), "{what}: {end:?}");
    }
    // A request that ends in the middle of a message.
    let half = framed(&field(3, &field(3, b"half")));
    let (liar, open) = send(&core, &me, half[..9].to_vec()).await;
    drop(open);
    let end = liar.hang_up().await.expect("a goodbye");
    assert!(says(&end, "this is no message: Unexpected EOF"), "{end:?}");

    // The others have their sessions still, and are at work.
    site.network("lab").await;
    let ours = site.connections().await - cases.len() - 1;
    assert_eq!(ours, before, "a session of another one ended");
    // And the next of this one is welcome.
    Raw::open(&core, &me).await;
}

/// A call without a session, in whose place something else is sent.
async fn join(core: &str, authority: rhyzome_pki::Fingerprint, sent: Vec<u8>) -> Status {
    let address = core.trim_start_matches("https://");
    let config = joining_config(authority).expect("TLS");
    let sent = Sent::Instead(sent.into());
    let tampering = Tampering::new(channel(address, config).await, sent);
    let mut client = EnrollmentClient::new(tampering);
    let joined = client.join(pb::JoinRequest::default()).await;
    joined.expect_err("it has joined")
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_joins_with_bytes_that_are_no_message_is_told_and_others_join() {
    let site = Site::start().await;
    let authority = site.core.core().authority.fingerprint();
    let core = site.core.grpc_url();
    // JoinRequest.token is 1.
    for (sent, wrong) in [
        (framed(&field(1, &[0xff])), "data is not UTF-8 encoded"),
        (framed(&[1 << 3, 1]), "invalid wire type"),
        (framed(&[1 << 3 | 2, 9]), "buffer underflow"),
        (vec![0, 0, 0], "Unexpected EOF"),
    ] {
        let refused = join(&core, authority, sent).await;
        assert_eq!(refused.code(), Code::Internal, "{refused}");
        assert!(refused.message().contains(wrong), "{refused}");
    }
    let refused = join(&core, authority, vec![0, 0xff, 0xff, 0xff, 0xff]).await;
    assert_eq!(refused.code(), Code::OutOfRange, "{refused}");
    let folder = tempfile::tempdir().expect("a folder");
    let admin = site.core.admin();
    joined(&admin, &core, "honest", folder.path()).await;
    let networks = format!("{DEFAULT}/networks");
    admin.get(&networks).await.good();
}
