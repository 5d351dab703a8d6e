//! Server-sent events as bytes, read piece by piece (WHATWG HTML, section 9.2.6). Pure.
//!
//! `retry:` is left out: the client has pauses of its own.

/// One event as the server sent it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Message {
    pub id: Option<String>,
    pub event: String,
    pub data: String,
}

/// More than any event has; a server that sends no line end fills no memory.
const MAX_BUFFER: usize = 1 << 20;

/// Takes bytes in, gives events out.
#[derive(Default)]
pub(crate) struct Reader {
    buffer: Vec<u8>,
    draft: Message,
}

impl Reader {
    /// Takes the next bytes of the stream and gives the events that they complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<Message> {
        self.buffer.extend_from_slice(bytes);
        let mut messages = Vec::new();
        let mut from = 0;
        while let Some(length) = self.buffer[from..].iter().position(|byte| *byte == b'\n') {
            let line = &self.buffer[from..from + length];
            let line =
                String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
            from += length + 1;
            messages.extend(self.line(&line));
        }
        self.buffer.drain(..from);
        if self.buffer.len() > MAX_BUFFER {
            self.buffer.clear();
        }
        messages
    }

    fn line(&mut self, line: &str) -> Option<Message> {
        if line.is_empty() {
            let message = std::mem::take(&mut self.draft);
            return (!message.data.is_empty()).then_some(message);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "id" => self.draft.id = Some(value.to_owned()),
            "event" => self.draft.event = value.to_owned(),
            "data" => {
                if !self.draft.data.is_empty() {
                    self.draft.data.push('\n');
                }
                self.draft.data.push_str(value);
            }
            // A comment, which keeps the connection alive, or a field that says nothing to us.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = ": hello\n\nid: 7\r\nevent: ready\ndata: {\"a\":\ndata:1}\n\nid: 8\n\ndata: x\n\ndata: half";

    fn message(id: Option<&str>, event: &str, data: &str) -> Message {
        Message {
            id: id.map(str::to_owned),
            event: event.to_owned(),
            data: data.to_owned(),
        }
    }

    #[test]
    fn events_are_the_same_however_the_bytes_come() {
        let expect = [
            message(Some("7"), "ready", "{\"a\":\n1}"),
            message(None, "", "x"),
        ];
        for size in 1..=TEXT.len() {
            let mut reader = Reader::default();
            let got: Vec<Message> = TEXT
                .as_bytes()
                .chunks(size)
                .flat_map(|chunk| reader.push(chunk))
                .collect();
            assert_eq!(got, expect, "in pieces of {size}");
        }
    }

    #[test]
    fn a_line_without_end_is_not_kept_for_ever() {
        let mut reader = Reader::default();
        for _ in 0..40 {
            assert_eq!(reader.push(&[b'a'; 1 << 16]), []);
            assert!(reader.buffer.len() <= MAX_BUFFER);
        }
    }
}
