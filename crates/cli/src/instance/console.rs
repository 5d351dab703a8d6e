//! `rhyzome instance console`: what a guest wrote, once or as it comes.

use std::time::Duration;

use clap::Args;
use clap_complete::ArgValueCandidates;
use rhyzome_model::Name;

use crate::complete;
use crate::failure::Failure;
use crate::output::Mode;
use crate::session::Cx;

/// How often a followed console is asked for.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug, Args)]
pub struct Console {
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(complete::instances))]
    name: Name,
    /// Go on with what it writes.
    #[arg(long, short)]
    follow: bool,
    /// How many of the last bytes to begin with.
    #[arg(long, value_name = "COUNT", default_value_t = 65_536)]
    bytes: u32,
    /// Print the guest's bytes as they are: it may then give this terminal orders.
    #[arg(long)]
    raw: bool,
}

impl Console {
    pub async fn run(self, cx: &Cx) -> Result<(), Failure> {
        let session = cx.session()?;
        let instances = session.scope.instance();
        let tame = cx.output.is_terminal() && !self.raw;
        let mut seen = instances.console(&self.name, self.bytes).await?;
        if cx.output.mode == Mode::Json && !self.follow {
            return cx.output.json(&String::from_utf8_lossy(&seen));
        }
        print(cx, &seen, tame)?;
        if !self.follow {
            return Ok(());
        }
        loop {
            tokio::time::sleep(PAUSE).await;
            let now = instances.console(&self.name, self.bytes).await?;
            print(cx, fresh(&seen, &now), tame)?;
            seen = now;
        }
    }
}

fn print(cx: &Cx, bytes: &[u8], tame: bool) -> Result<(), Failure> {
    if bytes.is_empty() {
        return Ok(());
    }
    match (cx.output.mode, tame) {
        (Mode::Json, _) => cx.output.json_line(&String::from_utf8_lossy(bytes)),
        (_, true) => cx.output.print(&tamed(bytes)),
        (_, false) => cx.output.bytes(bytes),
    }
}

/// What is new of the last bytes: the console is a ring, so that old ones go as new ones come.
fn fresh<'a>(seen: &[u8], now: &'a [u8]) -> &'a [u8] {
    let overlap = (0..seen.len())
        .map(|from| &seen[from..])
        .find(|rest| now.starts_with(rest));
    &now[overlap.map_or(0, <[u8]>::len)..]
}

/// Without what gives a terminal orders: escape sequences go, other control characters but line ends
/// and tabs too.
fn tamed(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut tame = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => {
                // ESC [ parameters final, as in ECMA-48; of others, the two characters.
                if chars.next() == Some('[') {
                    while chars.next_if(|c| !matches!(c, '@'..='~')).is_some() {}
                    chars.next();
                }
            }
            '\n' | '\t' => tame.push(c),
            c if c.is_control() => {}
            c => tame.push(c),
        }
    }
    tame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_new_is_printed() {
        let check = |seen: &str, now: &str, expect: &str| {
            assert_eq!(
                fresh(seen.as_bytes(), now.as_bytes()),
                expect.as_bytes(),
                "{seen} {now}"
            );
        };
        check("", "abc", "abc");
        check("abc", "abc", "");
        check("abc", "abcd", "d");
        check("abcdef", "defgh", "gh");
        check("abc", "xyz", "xyz");
        check("aab", "abaa", "aa");
    }

    #[test]
    fn a_guest_gives_no_orders_to_the_terminal() {
        assert_eq!(tamed(b"a\x1b[1;31mb\x1b[0m\r\n\x07c\x1b]d\te"), "ab\ncd\te");
    }
}
