//! `logd`, `logread` and `logger`: the router's log, in memory.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;

const SOCKET: &str = "/dev/log";
const FILE: &str = "/tmp/run/log";
/// From how many bytes on the older half is thrown away.
const LIMIT: u64 = 256 * 1024;

/// Takes what is said over the socket, until it is killed.
pub fn run_daemon() -> ExitCode {
    let _ = fs::remove_file(SOCKET);
    let socket = UnixDatagram::bind(SOCKET).expect("/dev is ours");
    let mut message = vec![0; 8192];
    while let Ok(length) = socket.recv(&mut message) {
        let text = String::from_utf8_lossy(&message[..length]);
        // `<priority>` is not shown.
        let text = text.split_once('>').map_or(&*text, |(_, text)| text);
        append(text.trim_end());
    }
    ExitCode::FAILURE
}

fn append(line: &str) {
    if fs::metadata(FILE).is_ok_and(|file| file.len() > LIMIT) {
        let text = fs::read_to_string(FILE).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let _ = fs::write(FILE, lines[lines.len() / 2..].join("\n") + "\n");
    }
    let file = OpenOptions::new().create(true).append(true).open(FILE);
    if let Ok(mut file) = file {
        let _ = writeln!(file, "{}", line.replace('\n', " "));
    }
}

pub fn read() -> ExitCode {
    print!("{}", fs::read_to_string(FILE).unwrap_or_default());
    ExitCode::SUCCESS
}

/// `logger [-t TAG] [-p PRIORITY] WORDS…`
pub fn write(words: &[String]) -> ExitCode {
    let mut tag = "root";
    let mut text = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "-t" => tag = words.next().map_or("", String::as_str),
            "-p" => drop(words.next()),
            "-s" => {}
            _ => text.push(word.as_str()),
        }
    }
    say(tag, &text.join(" "));
    ExitCode::SUCCESS
}

/// Says something in the log, if there is one.
pub fn say(tag: &str, text: &str) {
    if let Ok(socket) = UnixDatagram::unbound() {
        let _ = socket.send_to(format!("<14>{tag}: {text}").as_bytes(), SOCKET);
    }
}
