//! The part of HTTP/1.1 that a page needs: reads the head of a request within limits, and writes the head of a response.
//!
//! Leaves out bodies: a request that has one is answered and then the connection is closed.
//! Source: RFC 9110, RFC 9112.

use core::fmt;

/// The longest request line and header fields together that are read.
pub const LONGEST_HEAD: usize = 4096;
const LONGEST_TARGET: usize = 1024;

/// What the bytes received so far are.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// The head is not all there yet.
    Incomplete,
    /// A request, and the length of its head in bytes.
    Request(Request<'a>, usize),
    /// Not a request to answer otherwise than with this status. The connection cannot be used further.
    Refused(Status),
}

/// A request's head.
#[derive(Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// What is asked for.
    pub method: Method,
    /// The path, without the query.
    pub path: &'a str,
    /// Whether the connection stays open after the response.
    pub keep_alive: bool,
}

/// What may be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// The resource.
    Get,
    /// The resource's head.
    Head,
    /// What is not done here.
    Other,
}

/// What a response says first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Here it is.
    Ok,
    /// Not HTTP.
    BadRequest,
    /// No such page.
    NotFound,
    /// Only GET and HEAD.
    MethodNotAllowed,
    /// The request did not come in time.
    RequestTimeout,
    /// The target is longer than any here.
    UriTooLong,
    /// The head is longer than the limit.
    HeadTooLarge,
    /// HTTP, but neither 1.0 nor 1.1.
    VersionNotSupported,
}

impl Status {
    /// Code and reason.
    pub fn line(self) -> &'static str {
        match self {
            Self::Ok => "200 OK",
            Self::BadRequest => "400 Bad Request",
            Self::NotFound => "404 Not Found",
            Self::MethodNotAllowed => "405 Method Not Allowed",
            Self::RequestTimeout => "408 Request Timeout",
            Self::UriTooLong => "414 URI Too Long",
            Self::HeadTooLarge => "431 Request Header Fields Too Large",
            Self::VersionNotSupported => "505 HTTP Version Not Supported",
        }
    }
}

/// The head of a response; its `Display` is what is sent.
pub struct Head {
    /// How it went.
    pub status: Status,
    /// The body's media type.
    pub media_type: &'static str,
    /// The body's bytes.
    pub length: usize,
    /// Whether the connection stays open.
    pub keep_alive: bool,
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            status,
            media_type,
            length,
            keep_alive,
        } = self;
        write!(f, "HTTP/1.1 {}\r\nServer: hello\r\n", status.line())?;
        write!(
            f,
            "Content-Type: {media_type}\r\nContent-Length: {length}\r\n"
        )?;
        f.write_str("Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n")?;
        f.write_str("Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'; img-src data:\r\n")?;
        if *status == Status::MethodNotAllowed {
            f.write_str("Allow: GET, HEAD\r\n")?;
        }
        write!(
            f,
            "Connection: {}\r\n\r\n",
            if *keep_alive { "keep-alive" } else { "close" }
        )
    }
}

/// Reads the head of the first request in `bytes`.
pub fn parse(bytes: &[u8]) -> Parsed<'_> {
    // RFC 9112, 2.2: empty lines before a request are passed over.
    let start = bytes
        .iter()
        .position(|byte| !matches!(byte, b'\r' | b'\n'))
        .unwrap_or(bytes.len());
    let Some(len) = head_len(&bytes[start..]) else {
        return if bytes.len() >= LONGEST_HEAD {
            Parsed::Refused(too_long(&bytes[start..]))
        } else {
            Parsed::Incomplete
        };
    };
    if start + len > LONGEST_HEAD {
        return Parsed::Refused(too_long(&bytes[start..]));
    }
    match request(&bytes[start..start + len]) {
        Ok(request) => Parsed::Request(request, start + len),
        Err(status) => Parsed::Refused(status),
    }
}

fn too_long(bytes: &[u8]) -> Status {
    let line = bytes
        .iter()
        .position(|byte| *byte == b'\n')
        .unwrap_or(bytes.len());
    if line > LONGEST_TARGET {
        Status::UriTooLong
    } else {
        Status::HeadTooLarge
    }
}

/// Bytes up to and with the empty line that ends the head.
fn head_len(bytes: &[u8]) -> Option<usize> {
    let mut line_start = 0;
    for (index, _) in bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n') {
        if matches!(&bytes[line_start..index], b"" | b"\r") {
            return Some(index + 1);
        }
        line_start = index + 1;
    }
    None
}

fn request(head: &[u8]) -> Result<Request<'_>, Status> {
    let mut lines = head
        .split(|byte| *byte == b'\n')
        .map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let (method, path, minor) = request_line(lines.next().unwrap_or_default())?;
    let mut fields = Fields::default();
    for line in lines.take_while(|line| !line.is_empty()) {
        fields.read(line)?;
    }
    if minor == 1 && fields.hosts != 1 || fields.hosts > 1 {
        return Err(Status::BadRequest);
    }
    let asked = if minor == 1 {
        !fields.close
    } else {
        fields.keep_alive && !fields.close
    };
    Ok(Request {
        method,
        path,
        keep_alive: asked && !fields.has_body,
    })
}

/// Method, path and minor version of `GET /path HTTP/1.1`.
fn request_line(line: &[u8]) -> Result<(Method, &str, u8), Status> {
    let line = core::str::from_utf8(line).map_err(|_| Status::BadRequest)?;
    let mut parts = line.split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Status::BadRequest);
    };
    if method.is_empty() || !method.bytes().all(is_token) {
        return Err(Status::BadRequest);
    }
    let minor = match version {
        "HTTP/1.1" => 1,
        "HTTP/1.0" => 0,
        _ if version.starts_with("HTTP/") => return Err(Status::VersionNotSupported),
        _ => return Err(Status::BadRequest),
    };
    if target.len() > LONGEST_TARGET {
        return Err(Status::UriTooLong);
    }
    let method = match method {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        _ => Method::Other,
    };
    Ok((method, path(target, method)?, minor))
}

/// The path of a target in any of its forms (RFC 9112, 3.2).
fn path(target: &str, method: Method) -> Result<&str, Status> {
    if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(Status::BadRequest);
    }
    let after_scheme = target
        .get(..7)
        .filter(|scheme| scheme.eq_ignore_ascii_case("http://"))
        .map(|_| &target[7..]);
    let target = match after_scheme {
        Some(rest) => rest.find(['/', '?']).map_or("/", |at| &rest[at..]),
        None => target,
    };
    match target.split('?').next() {
        Some("") if after_scheme.is_some() => Ok("/"),
        Some(path) if path.starts_with('/') => Ok(path),
        // `*` and `host:port` belong to methods that are refused later.
        Some(path) if method == Method::Other && !path.is_empty() => Ok(path),
        _ => Err(Status::BadRequest),
    }
}

/// What the header fields say about the connection.
#[derive(Default)]
struct Fields {
    hosts: usize,
    close: bool,
    keep_alive: bool,
    has_body: bool,
    length: Option<u64>,
}

impl Fields {
    fn read(&mut self, line: &[u8]) -> Result<(), Status> {
        let colon = line
            .iter()
            .position(|byte| *byte == b':')
            .ok_or(Status::BadRequest)?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        // A space in or before the name, and a line that continues the one before, end here too.
        if name.is_empty()
            || !name.iter().copied().all(is_token)
            || value.iter().any(|byte| is_control(*byte))
        {
            return Err(Status::BadRequest);
        }
        if name.eq_ignore_ascii_case(b"host") {
            self.hosts += 1;
        } else if name.eq_ignore_ascii_case(b"connection") {
            let mut options = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
            self.close |= options
                .clone()
                .any(|option| option.eq_ignore_ascii_case(b"close"));
            self.keep_alive |= options.any(|option| option.eq_ignore_ascii_case(b"keep-alive"));
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.has_body = true;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let length = number(value).ok_or(Status::BadRequest)?;
            if self.length.is_some_and(|before| before != length) {
                return Err(Status::BadRequest);
            }
            self.length = Some(length);
            self.has_body |= length > 0;
        }
        Ok(())
    }
}

fn number(value: &[u8]) -> Option<u64> {
    if !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    core::str::from_utf8(value).ok()?.parse().ok()
}

/// RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_control(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

#[cfg(test)]
mod tests;
