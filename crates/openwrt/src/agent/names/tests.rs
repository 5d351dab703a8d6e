use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::base::message::Message;
use domain::base::message_builder::MessageBuilder;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::task::AbortOnDropHandle;

use super::*;

/// Long enough for a busy machine.
const WAIT: Duration = Duration::from_millis(500);

/// How a server answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// What it knows, by datagram.
    Plain,
    /// That the answer is too long for a datagram; all of it over TCP.
    Truncated,
    /// Not to the first datagram of each name.
    Forgetful,
    Silent,
    Fails,
}

/// A DNS server on loopback, and files that name it.
struct Site {
    folder: TempDir,
    port: u16,
    questions: Arc<AtomicUsize>,
    _running: [AbortOnDropHandle<()>; 2],
}

/// `core.example` has three addresses, `alias.example` is another name of it, `six.example` has no IPv4 address and
/// `empty.example` none at all; all others are unknown.
fn records(name: &str, rtype: Rtype) -> Option<Vec<IpAddr>> {
    let four: &[IpAddr] = &[[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
    let six: &[IpAddr] = &[[0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()];
    match (name, rtype) {
        ("core.example" | "alias.example" | "short.lan", Rtype::A) => Some(four.to_vec()),
        ("core.example" | "alias.example" | "six.example", Rtype::AAAA) => Some(six.to_vec()),
        ("six.example" | "empty.example" | "short.lan", _) => Some(Vec::new()),
        _ => None,
    }
}

fn answer(question: &[u8], manner: Manner, datagram: bool) -> Vec<u8> {
    let message = Message::from_slice(question).unwrap();
    let asked = message.first_question().unwrap();
    let name = asked.qname().to_string();
    let found = records(&name, asked.qtype());
    let rcode = match (&found, manner) {
        (_, Manner::Fails) => Rcode::SERVFAIL,
        (None, _) => Rcode::NXDOMAIN,
        (Some(_), _) => Rcode::NOERROR,
    };
    let builder = MessageBuilder::new_vec();
    let mut answer = builder.start_answer(message, rcode).unwrap();
    if manner == Manner::Truncated && datagram {
        answer.header_mut().set_tc(true);
        return answer.finish();
    }
    let found = found.filter(|_| manner != Manner::Fails);
    let canonical: Name<Vec<u8>> = "core.example".parse().unwrap();
    let mut owner: Name<Vec<u8>> = name.parse().unwrap();
    if name == "alias.example" {
        let alias = domain::rdata::Cname::new(canonical.clone());
        answer.push((&owner, 60, alias)).unwrap();
        owner = canonical;
    }
    for address in found.into_iter().flatten() {
        match address {
            IpAddr::V4(address) => answer.push((&owner, 60, A::new(address))).unwrap(),
            IpAddr::V6(address) => answer.push((&owner, 60, Aaaa::new(address))).unwrap(),
        }
    }
    answer.finish()
}

async fn datagrams(socket: UdpSocket, manner: Manner, questions: Arc<AtomicUsize>) {
    let mut seen = Vec::new();
    let mut buffer = [0; 1500];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
        questions.fetch_add(1, Ordering::SeqCst);
        let question = buffer[12..length].to_vec();
        let forget = manner == Manner::Forgetful && !seen.contains(&question);
        seen.push(question);
        if forget || manner == Manner::Silent {
            continue;
        }
        let answer = answer(&buffer[..length], manner, true);
        socket.send_to(&answer, from).await.unwrap();
    }
}

async fn streams(listener: TcpListener, manner: Manner) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            while let Ok(length) = stream.read_u16().await {
                let mut question = vec![0; length.into()];
                stream.read_exact(&mut question).await.unwrap();
                let answer = answer(&question, manner, false);
                let length = u16::try_from(answer.len()).unwrap();
                stream.write_u16(length).await.unwrap();
                stream.write_all(&answer).await.unwrap();
            }
        });
    }
}

impl Site {
    async fn new(manner: Manner) -> Self {
        Self::at([127, 0, 0, 1].into(), manner).await
    }

    async fn at(address: IpAddr, manner: Manner) -> Self {
        let listener = TcpListener::bind((address, 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let socket = UdpSocket::bind((address, port)).await.unwrap();
        let questions = Arc::new(AtomicUsize::new(0));
        let folder = tempfile::tempdir().unwrap();
        let conf = format!("search lan\nnameserver {address}\n");
        std::fs::write(folder.path().join("resolv.conf"), conf).unwrap();
        let udp = tokio::spawn(datagrams(socket, manner, Arc::clone(&questions)));
        let running = [udp, tokio::spawn(streams(listener, manner))].map(AbortOnDropHandle::new);
        Self {
            folder,
            port,
            questions,
            _running: running,
        }
    }

    fn names(&self) -> FileNames {
        FileNames {
            hosts: self.folder.path().join("hosts"),
            resolv_conf: self.folder.path().join("resolv.conf"),
            port: self.port,
            answer_within: WAIT,
        }
    }

    async fn check(&self, host: &str, expect: Result<&[&str], &str>) {
        let found = self.names().addresses(host).await;
        let found = found.map_err(|error| error.to_string());
        let found = found.map(|found| found.iter().map(ToString::to_string).collect::<Vec<_>>());
        match (found, expect) {
            (Ok(found), Ok(expect)) => assert_eq!(found, expect, "{host}"),
            (Err(said), Err(expect)) => assert_eq!(said, expect, "{host}"),
            (found, _) => panic!("{host}: {found:?}"),
        }
    }
}

const ALL: &[&str] = &["2001:db8::1", "192.0.2.1", "192.0.2.2"];

#[tokio::test]
async fn a_server_is_asked_for_both_kinds_of_addresses() {
    let site = Site::new(Manner::Plain).await;
    site.check("core.example", Ok(ALL)).await;
    site.check("core.example.", Ok(ALL)).await;
    site.check("alias.example", Ok(ALL)).await;
    site.check("six.example", Ok(&["2001:db8::1"])).await;
    site.check("short", Ok(&["192.0.2.1", "192.0.2.2"])).await;
}

#[tokio::test]
async fn what_a_server_does_not_have_is_said_with_who_says_so() {
    let site = Site::new(Manner::Plain).await;
    let server = "says the DNS server at 127.0.0.1";
    let unknown = format!("no host is called nobody.example, {server}");
    site.check("nobody.example", Err(&unknown)).await;
    let empty = format!("empty.example has no addresses, {server}");
    site.check("empty.example", Err(&empty)).await;
    let long = format!("{}.example", "x".repeat(64));
    let invalid = format!("{long:?} is no name of a host");
    site.check(&long, Err(&invalid)).await;
    let failing = Site::new(Manner::Fails).await;
    let failed =
        "the DNS server at 127.0.0.1 cannot say what the addresses of core.example are: SERVFAIL";
    failing.check("core.example", Err(failed)).await;
}

#[tokio::test]
async fn an_answer_that_is_too_long_for_a_datagram_is_had_over_tcp() {
    let site = Site::new(Manner::Truncated).await;
    site.check("core.example", Ok(ALL)).await;
}

#[tokio::test]
async fn a_datagram_that_is_lost_is_sent_again_and_a_silent_server_is_waited_for_with_an_end() {
    let site = Site::new(Manner::Forgetful).await;
    site.check("core.example", Ok(ALL)).await;
    assert!(site.questions.load(Ordering::SeqCst) >= 4);
    let silent = Site::new(Manner::Silent).await;
    let begin = tokio::time::Instant::now();
    let said = "no answer from the DNS server at 127.0.0.1, asked for core.example";
    silent.check("core.example", Err(said)).await;
    assert!(begin.elapsed() >= WAIT, "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_server_may_be_reached_over_ipv6() {
    let site = Site::at(std::net::Ipv6Addr::LOCALHOST.into(), Manner::Plain).await;
    site.check("core.example", Ok(ALL)).await;
}

#[tokio::test]
async fn what_the_hosts_file_says_is_not_asked_for() {
    let site = Site::new(Manner::Plain).await;
    let hosts = "198.51.100.7 core.example\n";
    std::fs::write(site.folder.path().join("hosts"), hosts).unwrap();
    site.check("CORE.example", Ok(&["198.51.100.7"])).await;
    assert_eq!(site.questions.load(Ordering::SeqCst), 0);
}
