use super::*;

fn request(text: &str) -> Request<'_> {
    match parse(text.as_bytes()) {
        Parsed::Request(request, len) => {
            assert_eq!(len, text.len(), "{text:?}");
            request
        }
        other => panic!("{text:?} is {other:?}"),
    }
}

fn refused(text: &str, expect: Status) {
    assert_eq!(parse(text.as_bytes()), Parsed::Refused(expect), "{text:?}");
}

#[test]
fn a_browser_s_request_is_read() {
    let text = "GET /healthz?x=1 HTTP/1.1\r\nHost: 10.0.0.5\r\nUser-Agent: a (b; c)\r\nAccept: */*\r\n\r\n";
    assert_eq!(
        request(text),
        Request {
            method: Method::Get,
            path: "/healthz",
            keep_alive: true
        }
    );
}

#[test]
fn every_prefix_of_a_request_is_incomplete() {
    let text = "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n";
    for len in 0..text.len() {
        assert_eq!(parse(&text.as_bytes()[..len]), Parsed::Incomplete, "{len}");
    }
    assert_eq!(request(text).path, "/");
}

#[test]
fn a_second_request_is_left_for_later() {
    let text = b"HEAD / HTTP/1.1\nHost: a\n\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n";
    let Parsed::Request(first, len) = parse(text) else {
        panic!()
    };
    assert_eq!((first.method, len), (Method::Head, 25));
    let Parsed::Request(second, rest) = parse(&text[len..]) else {
        panic!()
    };
    assert_eq!((second.path, len + rest), ("/b", text.len()));
}

#[test]
fn the_connection_stays_open_as_version_and_fields_say() {
    let check = |text: &str, expect| assert_eq!(request(text).keep_alive, expect, "{text:?}");
    check("GET / HTTP/1.0\r\n\r\n", false);
    check("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true);
    check(
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: TE, Close\r\n\r\n",
        false,
    );
    check(
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        true,
    );
    check(
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n",
        false,
    );
    check(
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n",
        false,
    );
}

#[test]
fn targets_of_every_form_are_read() {
    let check = |text: &str, method, path| {
        let request = request(text);
        assert_eq!((request.method, request.path), (method, path), "{text:?}");
    };
    check(
        "GET http://a/b?c HTTP/1.1\r\nHost: a\r\n\r\n",
        Method::Get,
        "/b",
    );
    check("GET HTTP://a HTTP/1.1\r\nHost: a\r\n\r\n", Method::Get, "/");
    check(
        "GET http://a?b HTTP/1.1\r\nHost: a\r\n\r\n",
        Method::Get,
        "/",
    );
    check("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Method::Other, "*");
    check(
        "CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n",
        Method::Other,
        "a:443",
    );
    refused("GET * HTTP/1.1\r\nHost: a\r\n\r\n", Status::BadRequest);
}

#[test]
fn what_is_not_http_is_refused() {
    for text in [
        "\x16\x03\x01\n\n",
        "hello\r\n\r\n",
        "GET /\r\n\r\n",
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        "G@T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n folded: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\u{0}\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    ] {
        refused(text, Status::BadRequest);
    }
    refused("GET / HTTP/2.0\r\n\r\n", Status::VersionNotSupported);
}

#[test]
fn what_is_too_long_is_refused() {
    let head = format!("GET / HTTP/1.1\r\nHost: {}", "a".repeat(LONGEST_HEAD));
    refused(&head, Status::HeadTooLarge);
    refused(&format!("{head}\r\n\r\n"), Status::HeadTooLarge);
    refused(
        &format!("GET /{}", "a".repeat(LONGEST_HEAD)),
        Status::UriTooLong,
    );
    refused(
        &format!(
            "GET /{} HTTP/1.1\r\nHost: a\r\n\r\n",
            "a".repeat(LONGEST_TARGET)
        ),
        Status::UriTooLong,
    );
}

#[test]
fn no_bytes_make_it_panic() {
    // Cut, doubled and flipped requests, in a fixed order.
    let seed =
        b"GET http://a/b?c HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
    let mut refusals = 0;
    for index in 0..seed.len() {
        for byte in 0..=255 {
            let mut bytes = seed.to_vec();
            bytes[index] = byte;
            refusals += usize::from(matches!(parse(&bytes), Parsed::Refused(_)));
            bytes.remove(index);
            refusals += usize::from(matches!(parse(&bytes), Parsed::Refused(_)));
        }
    }
    assert!(refusals > 1000, "{refusals}");
}

#[test]
fn a_response_s_head_says_what_the_body_is() {
    let head = Head {
        status: Status::MethodNotAllowed,
        media_type: "text/plain",
        length: 3,
        keep_alive: false,
    };
    let text = head.to_string();
    assert!(
        text.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"),
        "{text}"
    );
    for field in [
        "Content-Type: text/plain",
        "Content-Length: 3",
        "Allow: GET, HEAD",
        "Connection: close",
    ] {
        assert!(text.contains(&format!("\r\n{field}\r\n")), "{text}");
    }
    assert!(text.ends_with("\r\n\r\n"), "{text}");
}
