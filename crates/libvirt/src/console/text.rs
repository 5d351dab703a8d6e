//! What a person reads of a console's bytes.

use rhyzome_model::Timestamp;

const BOOT: &str = "--- rhyzome: started ";
/// How much of a console goes into a reason.
const LINES: usize = 6;
const LINE: usize = 200;

/// The line that begins a guest's recording.
pub fn boot_line(now: Timestamp) -> String {
    format!("\n{BOOT}{now} ---\n")
}

/// What was written since the last guest started.
pub fn last_boot(bytes: &[u8]) -> &[u8] {
    let text = BOOT.as_bytes();
    match bytes.windows(text.len()).rposition(|window| window == text) {
        Some(at) => {
            let line = bytes[at..].iter().position(|byte| *byte == b'\n');
            line.map_or(&[], |end| &bytes[at + end + 1..])
        }
        None => bytes,
    }
}

/// The lines that say something, without what steers a terminal.
pub fn lines(bytes: &[u8]) -> Vec<String> {
    let plain = without_escapes(&String::from_utf8_lossy(bytes));
    plain
        .split(['\n', '\r'])
        .map(str::trim_end)
        .filter(|line| !line.trim().is_empty())
        .map(str::to_owned)
        .collect()
}

/// The last of these lines, as many and as much of each as goes into a reason.
pub fn last_lines(lines: &[String]) -> Vec<String> {
    let last = &lines[lines.len().saturating_sub(LINES)..];
    last.iter().map(|line| shortened(line)).collect()
}

fn shortened(line: &str) -> String {
    match line.char_indices().nth(LINE) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line.to_owned(),
    }
}

/// Leaves out control sequences (ECMA-48: ESC, or ESC [ up to a final byte) and control characters.
fn without_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        match c {
            '\x1b' => {
                if rest.next() == Some('[') {
                    while rest.next().is_some_and(|c| !('\x40'..='\x7e').contains(&c)) {}
                }
            }
            '\n' | '\r' | '\t' => out.push(c),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    out
}
