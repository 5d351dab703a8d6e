//! What is said on the WebSocket of a console besides its bytes.

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum ConsoleEvent {
    /// The first message.
    Attached {
        /// Of the first byte that comes.
        position: u64,
        /// Whether what is sent is typed.
        writing: bool,
        /// Who writes, if anybody does.
        writer: Option<String>,
    },
    /// The reader was slow, or came late: bytes are missing before the next ones.
    Lost { bytes: u64 },
    /// Somebody else writes now, or nobody.
    Writer {
        writing: bool,
        writer: Option<String>,
    },
}
