//! Whom to find at a guest's SSH port, out of what cloud-init prints on the console at the first boot.
//!
//! The first complete block since the instance was made is believed, and only near the beginning of a
//! boot: whoever may write to the console of a guest that has been running for long cannot put other keys
//! in their place. Kernel messages between and before the lines are passed over.
//!
//! The lines are those of cloud-init's `keys_to_console` and `ssh_authkey_fingerprints`.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rhyzome_model::Timestamp;
use rhyzome_model::instance::SshIdentity;

const BEGIN: &str = "-----BEGIN SSH HOST KEY KEYS-----";
const END: &str = "-----END SSH HOST KEY KEYS-----";
const KINDS: [&str; 5] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "ssh-rsa",
];
/// How much of a boot is looked at, and for how long. Milliseconds.
const MOST_BYTES: usize = 1 << 20;
const MOST_TIME: i64 = 30 * 60 * 1000;
/// A longer line is none of those.
const LINE: usize = 4096;
const MOST_KEYS: usize = 16;

/// Looks at the console of one boot.
#[derive(Debug)]
pub struct Scanner {
    since: Timestamp,
    seen: usize,
    line: Vec<u8>,
    keys: Option<Vec<String>>,
    user: Option<String>,
}

impl Scanner {
    pub fn new(since: Timestamp) -> Self {
        Self {
            since,
            seen: 0,
            line: Vec::new(),
            keys: None,
            user: None,
        }
    }

    /// Whether nothing that comes now would be believed any more.
    pub fn is_over(&self, now: Timestamp) -> bool {
        self.seen > MOST_BYTES || now.as_millis() - self.since.as_millis() > MOST_TIME
    }

    /// Takes what the guest wrote; answers once the block is complete.
    pub fn feed(&mut self, bytes: &[u8]) -> Option<SshIdentity> {
        self.seen += bytes.len();
        for byte in bytes {
            if *byte != b'\n' {
                if self.line.len() < LINE {
                    self.line.push(*byte);
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            if let Some(found) = self.take(&String::from_utf8_lossy(&line)) {
                return Some(found);
            }
        }
        None
    }

    fn take(&mut self, line: &str) -> Option<SshIdentity> {
        if line.contains(BEGIN) {
            self.keys = Some(Vec::new());
        } else if line.contains(END) {
            let host_keys = self.keys.take().filter(|keys| !keys.is_empty())?;
            return Some(SshIdentity {
                host_keys,
                user: self.user.take(),
            });
        } else if let Some(keys) = &mut self.keys {
            if let Some(key) = host_key(line).filter(|_| keys.len() < MOST_KEYS) {
                keys.push(key);
            }
        } else if self.user.is_none() {
            self.user = user(line);
        }
        None
    }
}

/// Type and base64 of a public key, wherever in a line they stand.
fn host_key(line: &str) -> Option<String> {
    let mut words = line.split_whitespace();
    let kind = words.find(|word| KINDS.contains(word))?;
    let key = words.next()?;
    let base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '=');
    (key.starts_with("AAAA") && key.chars().all(base64)).then(|| format!("{kind} {key}"))
}

/// As in `Authorized keys from /home/debian/.ssh/authorized_keys for user debian+++`.
fn user(line: &str) -> Option<String> {
    let (_, rest) = line.split_once("Authorized keys from ")?;
    let (_, rest) = rest.split_once(" for user ")?;
    let usual = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = rest.chars().take_while(|c| usual(*c)).take(32).collect();
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        .then_some(name)
}

fn path(folder: &Path) -> PathBuf {
    folder.join("ssh.json")
}

/// What was found before; unknown where nothing was, or nothing that can be read.
pub fn read(folder: &Path) -> SshIdentity {
    let bytes = fs::read(path(folder)).unwrap_or_default();
    serde_json::from_slice(&bytes).unwrap_or_default()
}

/// Writes down what was found: whole or not at all.
pub fn write(folder: &Path, identity: &SshIdentity) -> io::Result<()> {
    let new = path(folder).with_extension("new");
    let mut file = File::create(&new)?;
    file.write_all(&serde_json::to_vec(identity)?)?;
    file.sync_all()?;
    fs::rename(new, path(folder))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONSOLE: &str = "\
[   11.2] cloud-init[401]: Cloud-init v. 22.4.2 running 'modules:final'\r
ci-info: +++Authorized keys from /home/debian/.ssh/authorized_keys for user debian++++\r
<14>Nov 25 10:00:00 cloud-init: -----BEGIN SSH HOST KEY FINGERPRINTS-----\r
-----BEGIN SSH HOST KEY KEYS-----\r
ecdsa-sha2-nistp256 AAAAE2VjZHNh root@web\r
[   12.0] random: crng init done\r
[   12.1] cloud-init[401]: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5 root@web\r
ssh-rsa rm -rf root@web\r
-----END SSH HOST KEY KEYS-----\r
";

    fn scanner() -> Scanner {
        Scanner::new(Timestamp::from_millis(0))
    }

    #[test]
    fn host_keys_and_user_are_what_cloud_init_prints() {
        let found = scanner().feed(CONSOLE.as_bytes()).unwrap();
        assert_eq!(
            found.host_keys,
            [
                "ecdsa-sha2-nistp256 AAAAE2VjZHNh",
                "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"
            ]
        );
        assert_eq!(found.user.as_deref(), Some("debian"));
    }

    #[test]
    fn a_block_without_a_key_or_an_end_is_none() {
        assert_eq!(scanner().feed(format!("{BEGIN}\n{END}\n").as_bytes()), None);
        let open = format!("{BEGIN}\nssh-ed25519 AAAAC3 root@web\n");
        assert_eq!(scanner().feed(open.as_bytes()), None);
    }

    #[test]
    fn keys_that_come_late_are_not_looked_at() {
        let mut scanner = scanner();
        assert!(!scanner.is_over(Timestamp::from_millis(MOST_TIME)));
        assert!(scanner.is_over(Timestamp::from_millis(MOST_TIME + 1)));
        scanner.feed(&vec![b'x'; MOST_BYTES + 1]);
        assert!(scanner.is_over(Timestamp::from_millis(0)));
        assert!(scanner.line.len() <= LINE);
    }

    proptest! {
        #[test]
        fn pieces_say_the_same_as_the_whole(cut in 1_usize..CONSOLE.len()) {
            let mut scanner = scanner();
            let first = scanner.feed(&CONSOLE.as_bytes()[..cut]);
            let found = first.or_else(|| scanner.feed(&CONSOLE.as_bytes()[cut..]));
            prop_assert_eq!(found.map(|found| found.host_keys.len()), Some(2));
        }

        #[test]
        fn any_bytes_make_lines_of_known_hosts_or_none(bytes in any::<Vec<u8>>()) {
            let text = [BEGIN.as_bytes(), b"\nssh-ed25519 AAAA", &bytes, b"\n", END.as_bytes(), b"\n"].concat();
            for key in scanner().feed(&text).into_iter().flat_map(|found| found.host_keys) {
                prop_assert!(key.split(' ').count() == 2 && !key.chars().any(char::is_control));
            }
        }
    }
}
