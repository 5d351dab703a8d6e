//! Messages for the router's log: datagrams of RFC 3164 to `/dev/log`, as logd takes them.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;

use rhyzome_model::Timestamp;
use tracing::Level;

use super::flood::Line;

/// RFC 3164, 4.1: a datagram may have 1024 bytes; logd cuts what is longer.
const LONGEST: usize = 1024;
/// `LOG_DAEMON` of syslog(3).
const DAEMON: u8 = 3 << 3;

/// Where messages go. Who listens there may come later, and be started again.
#[derive(Debug)]
pub struct Syslog {
    path: PathBuf,
    /// The program, as in `rhyzome-openwrt[231]`.
    tag: String,
    socket: Option<UnixDatagram>,
}

impl Syslog {
    pub fn new(path: impl Into<PathBuf>, program: &str, pid: u32) -> Self {
        Self {
            path: path.into(),
            tag: format!("{program}[{pid}]"),
            socket: None,
        }
    }

    /// Sends a message, at once or not at all: a log that is full holds up nobody.
    ///
    /// # Errors
    /// Where nobody takes it: the message is lost.
    pub fn send(&mut self, line: &Line, now: Timestamp) -> io::Result<()> {
        let datagram = datagram(&self.tag, line, now);
        if let Some(socket) = &self.socket
            && socket.send(&datagram).is_ok()
        {
            return Ok(());
        }
        // logd was not there yet, or is another one now.
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect(&self.path)?;
        let sent = socket.send(&datagram);
        self.socket = Some(socket);
        sent.map(drop)
    }
}

/// `<30>Nov 26 16:25:13 rhyzome-openwrt[231]: connected`; logd replaces the time by its own.
fn datagram(tag: &str, line: &Line, now: Timestamp) -> Vec<u8> {
    let priority = DAEMON | severity(line.level);
    let text = line.text.replace(|c: char| c.is_control(), " ");
    let mut datagram = format!("<{priority}>{} {tag}: {text}", when(now));
    if datagram.len() > LONGEST {
        datagram.truncate(datagram.floor_char_boundary(LONGEST - "…".len()));
        datagram.push('…');
    }
    datagram.into_bytes()
}

/// As syslog(3) has them.
fn severity(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

/// The time of RFC 3164, in UTC: `Nov  6 16:25:13`.
fn when(now: Timestamp) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    // 2026-11-26T16:25:13Z
    let text = now.to_string();
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
    let month = part(5..7).parse::<usize>().unwrap_or(1);
    let month = MONTHS[month.clamp(1, 12) - 1];
    let day = part(8..10).trim_start_matches('0');
    format!("{month} {day:>2} {}", part(11..19))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn line(level: Level, text: &str) -> Line {
        let text = text.to_owned();
        Line { level, text }
    }

    fn noon() -> Timestamp {
        Timestamp::from_millis(1_794_052_800_000)
    }

    fn check(line: &Line, expect: &str) {
        let datagram = datagram("rhyzome-openwrt[7]", line, noon());
        assert_eq!(String::from_utf8(datagram).unwrap(), expect);
    }

    #[test]
    fn a_message_is_as_logd_takes_it_and_one_line_whatever_is_in_it() {
        check(
            &line(Level::INFO, "connected"),
            "<30>Nov  7 12:00:00 rhyzome-openwrt[7]: connected",
        );
        check(
            &line(Level::ERROR, "two\nlines\0and \x1b[31m"),
            "<27>Nov  7 12:00:00 rhyzome-openwrt[7]: two lines and  [31m",
        );
    }

    #[test]
    fn a_long_message_is_cut_between_two_characters() {
        let sent = datagram("x[1]", &line(Level::WARN, &"ä".repeat(2000)), noon());
        assert!(
            (LONGEST - 2..=LONGEST).contains(&sent.len()),
            "{}",
            sent.len()
        );
        assert!(String::from_utf8(sent).unwrap().ends_with("ä…"));
    }

    #[test]
    fn what_is_sent_arrives_also_at_a_log_that_was_started_again_and_is_lost_where_there_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut syslog = Syslog::new(&path, "rhyzome-openwrt", 7);
        let line = line(Level::INFO, "x");
        syslog.send(&line, noon()).expect_err("nobody is there");
        for _ in 0..2 {
            let log = UnixDatagram::bind(&path).unwrap();
            log.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
            syslog.send(&line, noon()).unwrap();
            let mut buffer = [0; 2048];
            let length = log.recv(&mut buffer).unwrap();
            assert!(buffer[..length].ends_with(b"rhyzome-openwrt[7]: x"));
            drop(log);
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn a_log_that_reads_nothing_holds_up_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let _log = UnixDatagram::bind(&path).unwrap();
        let mut syslog = Syslog::new(&path, "rhyzome-openwrt", 7);
        let line = line(Level::INFO, &"x".repeat(900));
        let lost = (0..100_000).find_map(|_| syslog.send(&line, noon()).err());
        assert_eq!(lost.expect("it is full").kind(), io::ErrorKind::WouldBlock);
    }
}
