//! An instance's serial console as a stream: bytes at positions, counted from the first that it ever wrote.

use uuid::Uuid;

use crate::placement::PlacementRef;

/// Where a reader begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsoleFrom {
    /// At a position, or at the first byte behind it that is still kept.
    Position(u64),
    /// So many bytes before the end.
    Last(u32),
}

/// The core's request to a hypervisor to open a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsoleRequest {
    /// Names the stream; the hypervisor says it when it opens it.
    pub stream: Uuid,
    pub target: PlacementRef,
    pub from: ConsoleFrom,
}

/// What an instance wrote. Where a position is not that behind the piece before, bytes were lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsolePiece {
    /// Of its first byte.
    pub position: u64,
    pub bytes: Vec<u8>,
}
