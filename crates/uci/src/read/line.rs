//! Parts a line into its command and its arguments.
//!
//! ```text
//!   bare        up to white space, # or ;     \x is x, and \ at the end of a line joins the next one
//!   '…'         as it stands, over lines too
//!   "…"         \x is x (so \n is n), over lines too
//! ```
//!
//! Adjacent pieces join. `#` ends the line, also in the middle of a bare word. `;` ends the command; but
//! directly behind a bare word libuci overwrites it, and drops the rest of the line. A command's own word is
//! ended by a space or tab alone and knows no quotes.

use super::{ReadError, What};

pub(super) struct Lines<'a> {
    unread: &'a str,
    /// How many lines were read.
    number: usize,
    /// The line that is being parted, with those that it goes on in.
    buffer: Vec<u8>,
    at: usize,
}

/// As `isspace` says in the C locale.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}

impl<'a> Lines<'a> {
    pub fn new(text: &'a str) -> Result<Self, ReadError> {
        if let Some(zero) = text.find('\0') {
            let line = text[..zero].matches('\n').count() + 1;
            return Err(ReadError {
                line,
                what: What::Zero,
            });
        }
        Ok(Self {
            unread: text,
            number: 0,
            buffer: Vec::new(),
            at: 0,
        })
    }

    /// The number of the line that was read last, from 1.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Goes to the next line, past the space that it begins with. False where there is none.
    pub fn advance(&mut self) -> bool {
        self.at = 0;
        let more = self.extend();
        self.skip_space();
        more
    }

    /// The next command of this line.
    pub fn command(&mut self) -> Option<String> {
        let blank = |byte: &&u8| matches!(byte, b' ' | b'\t');
        let rest = &self.buffer[self.at..];
        let start = rest.iter().take_while(blank).count();
        let length = rest[start..].iter().take_while(|byte| !blank(byte)).count();
        if length == 0 {
            return None;
        }
        let word = text(rest[start..start + length].to_vec());
        self.at = (self.at + start + length + 1).min(self.buffer.len());
        Some(word)
    }

    /// The next argument of the command; empty where there is none.
    pub fn argument(&mut self) -> Result<String, ReadError> {
        self.skip_space();
        if self.here() == Some(b';') {
            self.at += 1;
            return Ok(String::new());
        }
        let (start, mut word) = (self.at, Vec::new());
        loop {
            match self.here() {
                None => break,
                Some(b'#') => {
                    self.buffer.truncate(self.at);
                    break;
                }
                Some(b';') => {
                    if word.len() == self.at - start {
                        self.buffer.truncate(self.at);
                    }
                    return Ok(text(word));
                }
                Some(b'\'') => self.single_quoted(&mut word)?,
                Some(b'"') => self.double_quoted(&mut word)?,
                Some(b'\\') => self.escaped(&mut word),
                Some(byte) => self.take(byte, &mut word),
            }
            if self.here().is_none_or(is_space) {
                break;
            }
        }
        if self.here().is_some() {
            self.at += 1;
        }
        Ok(text(word))
    }

    fn here(&self) -> Option<u8> {
        self.buffer.get(self.at).copied()
    }

    fn take(&mut self, byte: u8, word: &mut Vec<u8>) {
        word.push(byte);
        self.at += 1;
    }

    fn skip_space(&mut self) {
        while self.here().is_some_and(is_space) {
            self.at += 1;
        }
    }

    /// Puts the next line in the place of what follows. False where there is none.
    fn extend(&mut self) -> bool {
        self.buffer.truncate(self.at);
        let length = self
            .unread
            .find('\n')
            .map_or(self.unread.len(), |end| end + 1);
        let (line, unread) = self.unread.split_at(length);
        self.buffer.extend_from_slice(line.as_bytes());
        self.unread = unread;
        self.number += usize::from(length > 0);
        length > 0
    }

    /// A backslash: the character behind it as it is, or the next line.
    fn escaped(&mut self, word: &mut Vec<u8>) {
        self.at += 1;
        match self.buffer[self.at..] {
            [] | [b'\n', ..] | [b'\r', b'\n'] => {
                self.extend();
            }
            [byte, ..] => self.take(byte, word),
        }
    }

    fn single_quoted(&mut self, word: &mut Vec<u8>) -> Result<(), ReadError> {
        let opened = self.number;
        self.at += 1;
        loop {
            match self.here() {
                Some(b'\'') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(byte) => self.take(byte, word),
                None => self.go_on('\'', opened)?,
            }
        }
    }

    fn double_quoted(&mut self, word: &mut Vec<u8>) -> Result<(), ReadError> {
        let opened = self.number;
        self.at += 1;
        loop {
            match self.here() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escaped(word),
                Some(byte) => self.take(byte, word),
                None => self.go_on('"', opened)?,
            }
        }
    }

    fn go_on(&mut self, quote: char, opened: usize) -> Result<(), ReadError> {
        if self.extend() {
            return Ok(());
        }
        Err(ReadError {
            line: opened,
            what: What::Unterminated(quote),
        })
    }
}

/// Only whole characters are ever left out of a text.
fn text(bytes: Vec<u8>) -> String {
    String::from_utf8_lossy(&bytes).into_owned()
}
